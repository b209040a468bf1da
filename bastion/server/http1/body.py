"""The body of one request: fed by the connection, read by what forwards it."""

from __future__ import annotations

from bastion.http.fields import Field, field_of
from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError
from bastion.network.held import Held
from bastion.server.http1.connection import Connection
from bastion.server.http1.framing import ChunkedFraming, Framing, LengthFraming
from bastion.server.http1.head import Head

LEAST_RATE = 500  # bytes a second of a body, after `body_grace`


class RequestBody(Held):
    """`touched`: a byte of it was read; `received` counts what came."""

    __slots__ = (
        "_error",
        "_expects_continue",
        "_framing",
        "_protocol",
        "_unwanted",
        "_waited",
        "chunked",
        "length",
        "received",
        "touched",
    )

    def __init__(self, protocol: Connection, head: Head) -> None:
        super().__init__()
        self._protocol = protocol
        self.length = head.length
        self.chunked = head.chunked
        self.touched = False
        self.received = 0
        self._framing: Framing = ChunkedFraming() if head.chunked else LengthFraming(head.length or 0)
        self._expects_continue = head.expects_continue
        self._error: StatusError | None = None
        self._unwanted = False
        self._waited = 0.0  # seconds of waiting for the client

    @property
    def complete(self) -> bool:
        """Its last byte has come from the client (it may still be held here)."""
        return self._framing.done

    @property
    def trailers(self) -> list[Field]:
        return [field_of(line) for line in self._framing.trailers]

    @property
    def promised(self) -> bool:
        """The client waits for a 100 before it sends the body, and none was sent."""
        return self._expects_continue and not self.received

    @property
    def awaited(self) -> bool:
        return self._waiter is not None

    async def read(self) -> bytes:
        """The next piece, b"" at the end.

        Raises StatusError where the client breaks the framing or is too slow.
        """
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._framing.done:
                return b""
            await self._wait()
        full, data = self.full, self._take()
        if full:
            self._protocol.resume_reading()
        self.touched = True
        return data

    async def _wait(self) -> None:
        """For the client to send more."""
        if self.promised:
            self._expects_continue = False
            self._protocol.write_continue()
        loop = self._protocol.loop
        waiter = self._waiter = loop.create_future()
        began = loop.time()
        self._protocol.await_body()
        await waiter
        self._waited += loop.time() - began
        grace = self._protocol.server.body_grace
        if self._waited > grace and self.received < self._waited * LEAST_RATE and not self.complete:
            raise unreadable(
                f"the request's body arrived at less than {LEAST_RATE} bytes a second", code=408, close=True
            )

    # --- called by the connection

    def feed(self, data: bytes) -> bytes:
        """Returns what follows the body, or is to be fed again later.  Raises StatusError 400."""
        pieces, rest = self._framing.feed(data)
        self.received += sum(map(len, pieces))
        if self._unwanted:
            return rest
        for piece in pieces:
            self._pieces.append(piece)
            self._held += len(piece)
        if self.full:
            self._protocol.pause_reading()
        if pieces or self._framing.done:
            self._wake()
        return rest

    def discard(self) -> None:
        """The rest will not be read."""
        self._unwanted = True
        self._drop()

    def fail(self, error: StatusError) -> None:
        self._error = error.with_traceback(None)
        self._wake()
