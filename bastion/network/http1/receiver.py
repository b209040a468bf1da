"""What a connection to a backend receives: segments go to the reader in portions, the head and the body to
what waits for them; behind a 101 the bytes are no longer HTTP's.
"""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Protocol

import msgspec

from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError, ReceiveError
from bastion.network.flow import ReadGate, WriteGate
from bastion.network.http1.reader import PORTION, Expected, Malformed, ResponseReader
from bastion.network.http1.response import Interim, Response

# chunks, about, in one turn of the loop: a quarter of a megabyte may hold 43 000, which are 9 ms of work
AT_ONCE = 128
UNASKED = 16  # bytes that tell what is spoken


class Upload(Enum):
    """Of the request's body."""

    NONE = "no body"
    UNDER_WAY = "not all is sent"
    SENT = "all is sent"


class Early(msgspec.Struct):
    """What followed a 101 before the tunnel was there; `ended`: nothing more will come."""

    data: bytes
    ended: bool = False


class Direct(Protocol):
    """What waits for a response without a task."""

    def received(self, data: bytes) -> bool:
        """The whole response, if that is one that needs no parser: then the exchange is over."""
        ...

    def hand_over(self) -> None:
        """To a task, which waits for `Connection.answer()`."""
        ...


class Receiver(asyncio.Protocol):
    """The receiving half of `connection.Connection`.  `deadline` in seconds of the loop's clock."""

    def __init__(self, endpoint: Endpoint, loop: asyncio.AbstractEventLoop) -> None:
        self.endpoint = endpoint
        self.loop = loop
        self.deadline: float | None = None
        self._transport: asyncio.Transport | None = None
        self._reader = ResponseReader()
        self._head: asyncio.Future[Response] | None = None  # None between exchanges, and while `_direct`
        self._direct: Direct | None = None
        self._gate = WriteGate(loop)
        self._reading = ReadGate()
        self._upload = Upload.NONE
        self._early: Early | None = None  # a 101 ended HTTP here
        self._body_idle = 0.0
        self._unasked = b""  # what came before anything was asked
        self.interim: Interim | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def resume_reading(self) -> None:
        if self._transport is not None and not self._gate.closed and self._reading.resume(self._transport):
            response = self._reader.response
            if response is not None and not response.complete:
                self.deadline = self.loop.time() + self._body_idle

    def pause_reading(self) -> None:
        """That the client does not read is no fault of the backend's: its deadline stops, too."""
        if self._transport is not None and not self._gate.closed:
            self._reading.pause(self._transport)
            self.deadline = None

    def data_received(self, data: bytes) -> None:
        if self._direct is not None:
            if self._direct.received(data):
                return
            self.leave_direct()
        reader = self._reader
        if self._early is not None:  # a paused TLS transport still hands over what it had read
            self._early.data += data
        elif self._head is None or (reader.response is not None and reader.response.complete):
            reader.surplus = True
            self._unasked = data[:UNASKED]
            self.close()
        elif self._reading.left:  # TLS hands over what it had read
            self._reading.left += data
        elif len(data) <= PORTION and reader.chunks <= AT_ONCE:
            self._received(data)
        else:
            self._in_portions(data)

    def _in_portions(self, data: bytes) -> None:
        """As long as chunks may come: their number is not known before they are read."""
        at, reader = 0, self._reader
        while at < len(data) and self._transport is not None and not self._transport.is_closing():
            response = reader.response
            end = at + reader.portion if response is None or response.chunked else len(data)
            if self._early is not None:
                self._early.data += data[at:end]
            elif response is not None and response.complete:
                # Said at once: were it kept for the next turn, it would be read as the beginning of the next
                # response.
                reader.surplus = True
            elif reader.chunks > AT_ONCE:
                self._reading.postpone(data[at:], self._transport, self.loop, self._read_on)
                return
            else:
                self._received(data[at:end])
            at = end

    def _read_on(self) -> None:
        """After every other connection had a turn."""
        data = self._reading.take()
        if not data or self._gate.closed:
            return
        self._reader.chunks = 0
        self._in_portions(data)
        response = self._reader.response
        if self._early is None and (response is None or not response.full):
            self.resume_reading()

    def _received(self, data: bytes) -> None:
        reader = self._reader
        before = reader.response
        if before is not None:
            self.deadline = self.loop.time() + self._body_idle
        elif self._upload is not Upload.NONE and not reader.begun and not self._is_sent():
            reader.last = True  # a backend that answers before the body is there may leave it unread
        try:
            behind = reader.feed(data)
        except Malformed as error:
            self._malformed(error)
            return
        response = reader.response
        if response is None:
            return
        if behind is not None:
            self._switch(behind)
        elif response.complete:
            self.deadline = None
        elif before is None and not self._reading.paused:
            self.deadline = self.loop.time() + self._body_idle
        if before is None:
            self._head_came(response)

    def _is_sent(self) -> bool:
        return self._upload is Upload.SENT and not (
            self._transport is not None and self._transport.get_write_buffer_size()
        )

    def leave_direct(self) -> None:
        """From here on a task waits for the response."""
        direct, self._direct = self._direct, None
        if direct is not None:
            self._head = self.loop.create_future()
            self._reader.begin(self, Expected.ORDINARY)
            direct.hand_over()

    def _head_came(self, response: Response) -> None:
        if self._head is not None and not self._head.done():
            self._head.set_result(response)

    def _switch(self, behind: bytes) -> None:
        """HTTP ends behind a 101."""
        if self._transport is not None:
            self._transport.pause_reading()
        self._early = Early(behind)
        self.deadline = None

    def eof_received(self) -> bool:
        if self._early is not None:
            self._early.ended = True
            return True
        if self._reading.left:  # TLS had read the end already
            self._received(self._reading.take())
        response = self._reader.response
        if response is not None and response.until_close:
            response.end()
        return False

    # --- the end

    def close(self) -> None:
        """At once, whatever is under way."""
        if self._reader.response is not None:
            self._reader.response.until_close = False  # an end of our making is not the end of a body
        if not self._gate.closed and self._transport is not None:
            self._transport.abort()

    def _malformed(self, what: Malformed) -> None:
        response = self._reader.response
        if response is not None and response.status != 101:
            self._head_came(response)  # its head was good
            if response.complete:
                self._reader.surplus = True
        self._broken(ReceiveError(f"{self.endpoint}: {what}", what.word))
        self.close()

    def _broken(self, error: NetworkError) -> None:
        self.leave_direct()
        response = self._reader.response
        if self._head is not None and not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # what waits gets it; that nothing waits is no fault
        elif response is not None and not response.complete:
            response.fail(error)
