"""One round trip on a stream of a multiplexed connection: a request out, its response back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from bastion.http.fields import Field
from bastion.kube.endpoint import Endpoint
from bastion.network.errors import NetworkError, NotProcessed, ReceiveError, SendError, UpstreamTimeout
from bastion.network.http1.response import Interim, Response
from bastion.network.http2.codec import Code, ConnectionFault, Pair
from bastion.network.http2.head import MalformedResponse, pairs_of, response_of, trailer_pairs
from bastion.network.relay import Stream
from bastion.network.roundtrip import Request
from bastion.settings.sections import Timeouts

MAX_INTERIM = 10


class Connection(Protocol):
    loop: asyncio.AbstractEventLoop

    @property
    def endpoint(self) -> Endpoint: ...

    def open(self, trip: StreamTrip, fields: Sequence[Pair], *, ended: bool) -> int:
        """Raises ConnectionFault."""
        ...

    def send_data(self, stream: int, data: bytes, *, ended: bool = False) -> None: ...

    def send_trailers(self, stream: int, fields: Sequence[Pair]) -> None: ...

    def writable(self, stream: int) -> bool: ...

    async def drain(self, stream: int) -> None: ...

    def consumed(self, stream: int, count: int) -> None: ...

    def leave(self, trip: StreamTrip, stream: int, code: Code | None) -> None:
        """The trip is over; with a code its stream is reset, if it is open."""
        ...

    def retire(self) -> None: ...


class StreamResponse(Response):
    """What is read of it gives the backend its window back."""

    __slots__ = ("_trip",)

    def __init__(
        self,
        trip: StreamTrip,
        status: int,
        fields: list[Field],
        length: int | None,
        bodiless: bool,
    ) -> None:
        super().__init__(trip, status, b"", fields, length, bodiless)
        self._trip: StreamTrip | None = trip
        self.keep_alive = True

    async def read(self) -> bytes:
        data = await super().read()
        if data and self._trip is not None:
            self._trip.consumed(len(data))
        return data

    @property
    def held(self) -> int:
        """Bytes that came and were not read."""
        return self._held

    def let_go(self) -> None:
        super().let_go()
        self._trip = None


class StreamTrip:
    """Implements `transport.RoundTrip`, and is the source of its response."""

    def __init__(self, connection: Connection, request: Request, timeouts: Timeouts, *, reused: bool) -> None:
        self.reused = reused
        self.loop = connection.loop
        self.interim: Interim | None = request.interim
        self.deadline: float | None = None
        self._connection = connection
        self._request = request
        self._timeouts = request.timeouts or timeouts
        self._stream = 0
        self._upload: asyncio.Task[None] | None = None
        self._head: asyncio.Future[Response] = self.loop.create_future()
        self._response: StreamResponse | None = None
        self._interims = 0
        self._closed = False  # the stream is

    @property
    def endpoint(self) -> Endpoint:
        return self._connection.endpoint

    # --- of what asked for it

    def send(self) -> None:
        request, body = self._request, self._request.body
        with_body = body is not None and body.length != 0
        scheme = b"https" if self.endpoint.tls is not None else b"http"
        try:
            fields = pairs_of(request.head, scheme)
            self._stream = self._connection.open(self, fields, ended=not with_body)
        except ConnectionFault:
            self.fail(NotProcessed(f"{self.endpoint} closed the connection"))
            return
        if with_body:
            self._upload = asyncio.create_task(self._send_body())
        else:
            self._sent()

    def abandon(self) -> None:
        """Nothing is sent: the connection leads where it should not."""
        self._connection.retire()
        self._connection.leave(self, self._stream, None)

    async def answer(self) -> Response:
        """Raises NetworkError, or what reading the client's body raised."""
        if self._upload is not None:
            await asyncio.wait((self._head, self._upload), return_when=asyncio.FIRST_COMPLETED)
            if not self._head.done() and self._upload.done():
                self._upload.result()  # the client's body is bad: no answer will come
        return await self._head

    def take_over(self) -> Stream:
        raise NotImplementedError("an upgrade goes over HTTP/1.1")

    def close(self, *, clean: bool) -> None:
        upload, self._upload = self._upload, None
        sent = upload is None or upload.done()
        if upload is not None and not upload.done():
            upload.cancel()
        elif upload is not None and not upload.cancelled():
            upload.exception()  # it was told, or nothing waits for it any more
        self._head.cancel()
        response, self._response = self._response, None
        if response is not None:
            if response.held:
                self._connection.consumed(self._stream, response.held)
            response.let_go()
            clean = clean and response.complete
        whole = clean and sent
        self._connection.leave(self, self._stream, None if whole else Code.CANCEL)

    # --- of the connection

    def consumed(self, count: int) -> None:
        self._connection.consumed(self._stream, count)

    def pause_reading(self) -> None:
        """The stream's window bounds what comes."""

    def resume_reading(self) -> None:
        """The window is given back as it is read."""

    def head_came(self, fields: Sequence[Pair], ended: bool) -> None:
        try:
            status, kept, length = response_of(fields)
        except MalformedResponse as error:
            self.fail(ReceiveError(f"{self.endpoint}: {error}"))
            self._connection.leave(self, self._stream, Code.PROTOCOL_ERROR)
            return
        bodiless = ended or self._request.method == "HEAD" or status in (204, 304)
        self._response = StreamResponse(self, status, kept, length, bodiless)
        self._await_more()
        if not self._head.done():
            self._head.set_result(self._response)
        if ended:
            self._end()

    def interim_came(self, fields: Sequence[Pair]) -> None:
        self._interims += 1
        if self._interims > MAX_INTERIM:
            self.fail(ReceiveError(f"{self.endpoint}: more than {MAX_INTERIM} interim responses"))
            self._connection.leave(self, self._stream, Code.PROTOCOL_ERROR)
        elif self.interim is not None:
            status = int(fields[0][1])
            if status != 100:
                self.interim(status, b"", [(name, name, value) for name, value in fields[1:]])

    def data_came(self, data: bytes, ended: bool) -> None:
        response = self._response
        if response is None:
            self._connection.consumed(self._stream, len(data))
            return
        if data:
            response.feed(data)
        self._await_more()
        if ended:
            self._end()

    def trailers_came(self, fields: Sequence[Pair]) -> None:
        if self._response is not None:
            self._response.trailers = [(name, name, value) for name, value in fields]
        self._end()

    def closed(self, code: int) -> None:
        """The stream is, in good order or not."""
        self._closed = True
        response = self._response
        if response is not None and response.complete:
            # RFC 9113, 8.1: it may be whole before the request is, whose rest is not wanted then
            if self._upload is not None and not self._upload.done():
                self._upload.cancel()
            return
        if response is None and code == Code.REFUSED_STREAM:
            self.fail(NotProcessed(f"{self.endpoint} did not take the request"))
        elif response is None:
            self.fail(ReceiveError(f"{self.endpoint} ended the request without a response ({_name(code)})"))
        else:
            self.fail(ReceiveError(f"{self.endpoint} broke off its response ({_name(code)})"))

    def lost(self) -> None:
        """The connection is."""
        self._closed = True
        if self._response is None:
            self.fail(SendError(f"{self.endpoint} closed the connection without a response"))
        elif not self._response.complete:
            self.fail(ReceiveError(f"{self.endpoint} closed the connection before the end of its response"))

    def look(self, now: float) -> None:
        if self.deadline is None or now < self.deadline:
            return
        if self._response is not None and self._response.held:
            self._await_more()  # that the client does not read is no fault of the backend's
            return
        what = "response" if self._response is None else "rest of its response"
        self.fail(UpstreamTimeout(f"timed out waiting for the {what} from {self.endpoint}"))
        self._connection.retire()  # it may lead nowhere by now
        self._connection.leave(self, self._stream, Code.CANCEL)

    def fail(self, error: NetworkError) -> None:
        self.deadline = None
        if not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # what waits gets it; that nothing waits is no fault
        elif self._response is not None and not self._response.complete:
            self._response.fail(error)

    # --- within

    async def _send_body(self) -> None:
        connection, stream, body = self._connection, self._stream, self._request.body
        assert body is not None
        while data := await body.read():
            if self._closed:
                return
            connection.send_data(stream, data)
            if self._response is not None:
                self._await_more()  # it may be silent for as long as it is spoken to
            if not connection.writable(stream):
                await connection.drain(stream)
        trailers = trailer_pairs(self._request.trailers() if self._request.trailers is not None else b"")
        if trailers:
            connection.send_trailers(stream, trailers)
        else:
            connection.send_data(stream, b"", ended=True)
        self._sent()

    def _sent(self) -> None:
        """From here on the backend is waited for."""
        if self._response is None and not self._head.done():
            self.deadline = self.loop.time() + self._timeouts.response_header

    def _await_more(self) -> None:
        self.deadline = self.loop.time() + self._timeouts.response_idle

    def _end(self) -> None:
        self.deadline = None
        if self._response is not None:
            self._response.end()


def _name(code: int) -> str:
    try:
        return Code(code).name
    except ValueError:
        return f"error {code}"
