"""TLS over a plain transport, for both sides: bytes of the wire in, bytes of the application out.

Ours, because uvloop's and asyncio's hold 256 KiB per connection, allocate as much for each read (31 or 44
microseconds a request, by luck of the allocator), cannot half-close and hide close_notify.  This one holds
what a record needs: the read buffers are shared by all connections, and the memory BIOs are fed in slices,
because they never shrink.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from bastion.network.flow import Stall
from bastion.network.tls.records import READ_SIZE, SLICE, Records
from bastion.network.tls.transport import TLSTransport
from bastion.runtime.deadlines import Deadlines

HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 60.0  # without progress, for what is written to go out after a close


class SharedBuffers:
    """Reading is synchronous: what one connection read is out of the buffers before the next one reads."""

    def __init__(self) -> None:
        self.wire = memoryview(bytearray(READ_SIZE))
        self.clear = memoryview(bytearray(READ_SIZE))


class TLSLayer(asyncio.BufferedProtocol):
    """The protocol of the plain transport; `connected` becomes the application's transport once the handshake
    is done.

    `established` is awaited after a dial; a server does not need it.
    """

    def __init__(
        self,
        application: asyncio.Protocol,
        context: ssl.SSLContext,
        deadlines: Deadlines,
        buffers: SharedBuffers,
        *,
        server_side: bool = False,
        server_hostname: str | None = None,
        lost: Callable[[], None] | None = None,
        not_tls: Callable[[ssl.SSLError, memoryview], bytes] | None = None,
    ) -> None:
        """`lost` is called once the plain connection is gone, however far the handshake came.

        `not_tls`: the plaintext response to a handshake that failed on these bytes (empty: send the alert).
        """
        self._application = application
        self._deadlines = deadlines
        self._buffers = buffers
        self._lost = lost
        self._not_tls = not_tls
        self._loop = asyncio.get_running_loop()
        self._records = Records(context, server_side, server_hostname)
        self._transport: asyncio.Transport | None = None
        self._end_told = False  # the application knows that the peer will send no more
        self._lost_told = False  # and that the connection is gone
        self._closing = False
        self._stall = Stall()
        self.deadline: float | None = None
        self.established: asyncio.Future[None] = self._loop.create_future()
        self.error: Exception | None = None

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._closing:
            transport.close()
            return
        self._transport = transport  # type: ignore[assignment]
        self.deadline = self._loop.time() + HANDSHAKE_SECONDS
        self._deadlines.add(self)
        self._handshake()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffers.wire

    def buffer_updated(self, nbytes: int) -> None:
        wire = self._buffers.wire
        records = self._records
        if records.ended:  # RFC 8446, 6.1: what follows close_notify is ignored
            return
        if records.ready and nbytes <= SLICE:
            records.incoming.write(wire[:nbytes])
            self._read()
            return
        for at in range(0, nbytes, SLICE):
            records.incoming.write(wire[at : min(at + SLICE, nbytes)])
            if not records.ready:
                self._handshake()
            if records.ready:
                self._read()

    def eof_received(self) -> bool:
        if not self._records.ready:
            self._fail(ConnectionResetError("closed during the TLS handshake"))
            return False
        # A FIN without close_notify: for HTTP and WebSocket the message's own framing shows a cut from an
        # end.
        return self._end_of_input()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # first: what is called below may still ask for a close
        self._deadlines.discard(self)
        self.deadline = None
        if self._lost is not None:
            self._lost()
        if not self.established.done():
            self._set_failure(exc or ConnectionResetError("closed during the TLS handshake"))
        self._tell_lost(exc)

    def pause_writing(self) -> None:
        self._application.pause_writing()

    def resume_writing(self) -> None:
        self._application.resume_writing()

    def expired(self) -> None:
        """The handshake takes too long, or after a close the peer takes nothing any more."""
        until = self._loop.time() + CLOSE_SECONDS
        if not self._records.ready:
            self._set_failure(TimeoutError("TLS handshake timed out"))
        elif self._transport is not None and self._stall.has_moved(
            self._transport.get_write_buffer_size(), until
        ):
            self.deadline = until
            return
        self.abort()

    # --- reading

    def _handshake(self) -> None:
        try:
            done = self._records.handshake()
        except ssl.SSLError as error:
            answer = self._not_tls(error, self._buffers.wire) if self._not_tls is not None else b""
            if answer and self._transport is not None:
                self._transport.write(answer)
            else:
                self._flush()  # the alert
            self._fail(error)
            return
        self._flush()
        if not done:
            return
        self.deadline = None
        self._deadlines.discard(self)
        self._application.connection_made(TLSTransport(self))
        if not self.established.done():
            self.established.set_result(None)

    def _read(self) -> None:
        records = self._records
        data, failure = records.read(self._buffers.clear)
        if records.pending:
            self._flush()  # a key update, an alert
        if data and not self._closing:
            self._application.data_received(data)
        if failure is not None:
            self._fail(failure)
        elif records.ended:
            self._end_of_input()

    def _end_of_input(self) -> bool:
        """True: the connection stays open for what is still to be written.  `eof_received` is called once."""
        if self._end_told:
            return not self._closing
        self._records.ended = self._end_told = True
        if self._application.eof_received():
            return True
        self.close()
        return False

    # --- for the application's transport

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._closing or self._transport is None:
            return
        try:
            if len(data) <= SLICE:
                self._transport.write(self._records.seal(data))
            else:
                view = memoryview(data)
                self._transport.writelines(
                    [self._records.seal(view[at : at + SLICE]) for at in range(0, len(view), SLICE)]
                )
        except ssl.SSLError as error:
            self._fail(error)

    def write_eof(self) -> None:
        """Sends close_notify; reading goes on (RFC 8446, 6.1)."""
        self._records.end()
        self._flush()

    def close(self, *, orderly: bool = True) -> None:
        """After what is written has gone out, as long as the peer takes it; its close_notify is not waited
        for.  `orderly`: ours is sent.
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self._records.ready and orderly:
            self.write_eof()
        self.deadline = self._loop.time() + CLOSE_SECONDS
        self._stall.begin(self._transport.get_write_buffer_size(), self.deadline)
        self._deadlines.add(self)
        self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """The dial was given up: uvloop closes such a transport without calling its protocol."""
        self._deadlines.discard(self)
        self.abort()

    def set_application(self, application: asyncio.Protocol) -> None:
        self._application = application

    @property
    def application(self) -> asyncio.Protocol:
        return self._application

    @property
    def plain(self) -> asyncio.Transport | None:
        return self._transport

    @property
    def tls(self) -> ssl.SSLObject:
        return self._records.tls

    @property
    def closing(self) -> bool:
        return self._closing or self._transport is None

    # --- the end

    def _flush(self) -> None:
        if self._records.pending and self._transport is not None:
            self._transport.write(self._records.outgoing())

    def _tell_lost(self, error: Exception | None) -> None:
        if self._records.ready and not self._lost_told:
            self._lost_told = True
            self._application.connection_lost(error)

    def _fail(self, error: Exception) -> None:
        self._set_failure(error)
        self._tell_lost(error)
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _set_failure(self, error: Exception) -> None:
        self.error = error
        if not self.established.done():
            self.established.set_exception(error)
            self.established.exception()  # a server never awaits it
