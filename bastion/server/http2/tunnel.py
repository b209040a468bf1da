"""A stream as a raw connection: what a WebSocket's relay reads from and writes to."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from bastion.network.http2.codec import Code
from bastion.network.relay import Stream
from bastion.network.sockets import CutTransport


class Connection(Protocol):
    """The client's connection, as far as the stream's bytes concern it."""

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None: ...

    def reset(self, stream: int, code: Code) -> None: ...

    def unsent(self, stream: int) -> int: ...

    def consumed(self, stream: int, count: int) -> None: ...

    def extra_info(self, name: str, default: Any) -> Any: ...


class StreamTransport(CutTransport):
    """From the request's head on; what comes before `hand_over` is held, and bounded by the stream's window.

    `taken`: it was handed over.
    """

    def __init__(self, connection: Connection, stream: int, broken: Code) -> None:
        """`broken`: what the stream is reset with where the other connection breaks."""
        super().__init__()
        self._broken = broken
        self.taken = False
        self.ended = False  # the client will send no more
        self._connection = connection
        self._stream = stream
        self._protocol: asyncio.Protocol | None = None
        self._held: list[bytes] = []
        self._paused = True
        self._closing = False
        self._lost = False
        self._full = False
        self._high = 65536

    def hand_over(self) -> Stream:
        if self._lost:
            raise asyncio.CancelledError  # the client has left
        self.taken = True
        early, self._held = b"".join(self._held), []
        if early:
            self._connection.consumed(self._stream, len(early))
        return Stream(self, early, _nothing, self.ended)

    # --- called by the connection

    def feed(self, data: bytes, ended: bool) -> None:
        if data:
            self._held.append(data)
        self.ended = self.ended or ended
        self._deliver()

    def flushed(self) -> None:
        """Something of what was written has gone out."""
        if self._full and self._connection.unsent(self._stream) <= self._high // 2:
            self._full = False
            if self._protocol is not None:
                self._protocol.resume_writing()

    def lose(self, error: Exception | None) -> None:
        """The stream is closed."""
        if not self._lost:
            self._lost = self._closing = True
            if self._protocol is not None:
                self._protocol.connection_lost(error)

    def _deliver(self) -> None:
        protocol = self._protocol
        while self._held and protocol is not None and not self._paused:
            data = self._held.pop(0)
            self._connection.consumed(self._stream, len(data))
            protocol.data_received(data)
        if self.ended and not self._held and protocol is not None and not self._paused and not self._lost:
            self._paused = True  # the end is told once
            if not protocol.eof_received():
                self.close()

    # --- asyncio.Transport

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if self._closing:
            return
        self._connection.send_data(self._stream, bytes(data))
        if not self._full and self._connection.unsent(self._stream) > self._high:
            self._full = True
            if self._protocol is not None:
                self._protocol.pause_writing()

    def write_eof(self) -> None:
        if not self._closing:
            self._connection.send_data(self._stream, b"", ended=True)

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self._connection.send_data(self._stream, b"", ended=True)
            self._connection.reset(self._stream, Code.NO_ERROR)

    def cut(self) -> None:
        if not self._closing:
            self.abort()

    def abort(self) -> None:
        self._closing = True
        self._connection.reset(self._stream, self._broken)

    def is_closing(self) -> bool:
        return self._closing

    def pause_reading(self) -> None:
        self._paused = True

    def resume_reading(self) -> None:
        self._paused = False
        self._deliver()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = high or self._high

    def get_write_buffer_size(self) -> int:
        return self._connection.unsent(self._stream)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        assert self._protocol is not None
        return self._protocol

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._connection.extra_info(name, default)


def _nothing() -> None:
    pass
