"""A client's connection below its requests: what is written and read, what is waited for, how it ends."""

from __future__ import annotations

import asyncio

from bastion.kube.status import StatusError
from bastion.network.flow import ReadGate, Stall, WriteGate
from bastion.network.sockets import peer_has_left, reset_on_close
from bastion.server.http1.waits import CLOSE, FIRST_BYTE, LINGER_SECONDS, LOOK_SECONDS, Wait
from bastion.server.state import ServerState


class Wire(asyncio.Protocol):
    """`deadline` in seconds of the loop's clock is the end of what is waited for now."""

    def __init__(self, server: ServerState, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.deadline: float | None = None
        self.gate = WriteGate(loop)
        self._transport: asyncio.Transport | None = None
        self._reading = ReadGate()
        self._wait: Wait = FIRST_BYTE
        self._stall = Stall()

    # --- of the requests above

    def refuse(self, error: StatusError) -> None:
        """Answer what is no request, and close."""
        raise NotImplementedError

    def give_up_body(self, error: StatusError) -> None:
        """The client sent nothing of a body for too long."""
        raise NotImplementedError

    # --- deadlines

    def _wait_for(self, wait: Wait) -> None:
        """While the client does not take what is written that is what ends first."""
        self._wait = wait
        if self.gate.writable:
            seconds = wait.seconds
            self.deadline = None if seconds is None else self.loop.time() + seconds(self.server.timeouts)

    def _look_soon(self) -> None:
        self.deadline = min(self.deadline or float("inf"), self.loop.time() + LOOK_SECONDS)

    def expired(self) -> None:
        if self._reading.paused and self._transport is not None and peer_has_left(self._transport):
            self.abort()
        elif not self.gate.writable:
            self.check_stall()
        elif self._reading.paused and self._wait is not CLOSE:
            self.deadline = self.loop.time() + LOOK_SECONDS
        else:
            self._wait.passed(self)

    def check_stall(self) -> None:
        if self._wait is CLOSE and not self._stall.unsent:
            self.abort()
            return
        moved = self._stall.has_moved(self._pending(), self._stall_ends())
        if not moved and self.loop.time() >= self._stall.until:
            self.abort()
            return
        self.deadline = self._stall.until
        if self._reading.paused:
            self._look_soon()

    def _stall_ends(self) -> float:
        """When a client that takes nothing from now on is given up."""
        return self.loop.time() + self.server.timeouts.response_stall

    def _pending(self) -> int:
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    # --- writing

    def write(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    def write_pieces(self, pieces: list[bytes]) -> None:
        if self._transport is not None:
            self._transport.writelines(pieces)

    def write_continue(self) -> None:
        self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def pause_writing(self) -> None:
        self.gate.pause()
        self.deadline = self._stall_ends()
        self._stall.begin(self._pending(), self.deadline)

    def resume_writing(self) -> None:
        self.gate.resume()
        if self._wait is not CLOSE:
            self._wait_for(self._wait)
            if self._reading.paused:
                self._look_soon()

    # --- reading

    def pause_reading(self) -> None:
        if self._transport is not None and not self._reading.paused:
            self._reading.pause(self._transport)
            self._look_soon()

    def resume_reading(self) -> None:
        if self._transport is not None:
            self._reading.resume(self._transport)

    # --- the end

    def close(self) -> None:
        """After what is written has gone out."""
        if self._transport is not None and self._wait is not CLOSE:
            self._wait = CLOSE
            unsent = self._pending()
            self._transport.close()
            self.deadline = self._stall_ends() if unsent else self.loop.time() + LINGER_SECONDS
            self._stall.begin(unsent, self.deadline)

    def abort(self) -> None:
        """With a reset: where nothing else delimits a response, a FIN would end it as if it were whole."""
        self._wait = CLOSE
        if self._transport is not None:
            reset_on_close(self._transport)
            self._transport.abort()
