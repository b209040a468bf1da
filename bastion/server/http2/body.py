"""The body of one request: fed by the stream, read by what forwards it.

What is read gives the client its window back, so that as much is on its way as the backend takes.
"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.http.fields import Field
from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError
from bastion.network.held import Held
from bastion.server.http1.body import LEAST_RATE
from bastion.server.http1.head import Head
from bastion.server.http2.connection import Connection


class StreamBody(Held):
    """Implements `proxy.exchange.Body`."""

    __slots__ = (
        "_connection",
        "_error",
        "_expects_continue",
        "_stream",
        "_unwanted",
        "_waited",
        "chunked",
        "complete",
        "length",
        "received",
        "streams",
        "touched",
        "trailers",
    )

    def __init__(self, connection: Connection, stream: int, head: Head) -> None:
        super().__init__()
        self._connection = connection
        self._stream = stream
        self.length = head.length
        self.chunked = head.chunked
        self.touched = False
        self.received = 0
        self.complete = head.length == 0
        self.trailers: Sequence[Field] = ()
        self.streams = False  # it may pause: both sides speak when they have something to say
        self._expects_continue = head.expects_continue
        self._error: StatusError | None = None
        self._unwanted = False
        self._waited = 0.0  # seconds of waiting for the client

    @property
    def awaited(self) -> bool:
        return self._waiter is not None

    async def read(self) -> bytes:
        """The next piece, b"" at the end.

        Raises StatusError where the client breaks off or is too slow.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self.complete:
                return b""
            await self._wait()
        data = self._take()
        self._connection.consumed(self._stream, len(data))
        self.touched = True
        return data

    async def _wait(self) -> None:
        """For the client to send more."""
        connection = self._connection
        if self._expects_continue and not self.received:
            self._expects_continue = False
            connection.send_interim(self._stream, [(b":status", b"100")])
        waiter = self._waiter = connection.loop.create_future()
        began = connection.loop.time()
        if not self.streams:
            connection.await_body(self._stream)
        await waiter
        if self.streams:
            return
        self._waited += connection.loop.time() - began
        grace = connection.server.body_grace
        if self._waited > grace and self.received < self._waited * LEAST_RATE and not self.complete:
            raise unreadable(f"the request's body arrived at less than {LEAST_RATE} bytes a second", code=408)

    # --- called by the stream

    def feed(self, data: bytes, ended: bool) -> None:
        self.received += len(data)
        if self._unwanted:
            self._connection.consumed(self._stream, len(data))
        elif data:
            self._pieces.append(data)
            self._held += len(data)
        if ended:
            self.complete = True
        if data or ended:
            self._wake()

    def discard(self) -> None:
        """The rest will not be read."""
        self._unwanted = True
        if self._held:
            self._connection.consumed(self._stream, self._held)
        self._drop()

    def fail(self, error: StatusError) -> None:
        self._error = error.with_traceback(None)
        self._wake()
