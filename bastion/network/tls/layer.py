"""TLS over a plain transport, for both sides: bytes of the wire in, bytes of the application out.

Ours, because uvloop's and asyncio's hold 256 KiB per connection, allocate as much for each read (31 or 44
microseconds a request, by luck of the allocator), cannot half-close and hide close_notify.  This one holds
what a record needs: the read buffers are shared by all connections, and the memory BIOs are fed in slices,
because they never shrink.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from typing import Any

from bastion.runtime.deadlines import Deadlines

HANDSHAKE_SECONDS = 10.0
CLOSE_SECONDS = 60.0  # without progress, for what is written to go out after a close
SLICE = 16384  # bytes given to OpenSSL at once: about one record
READ_SIZE = 65536


class SharedBuffers:
    """Reading is synchronous: what one connection read is out of the buffers before the next one reads."""

    def __init__(self) -> None:
        self.wire = memoryview(bytearray(READ_SIZE))
        self.clear = memoryview(bytearray(READ_SIZE))


class TLSLayer(asyncio.BufferedProtocol):
    """The protocol of the plain transport; `connected` becomes the application's transport once the handshake
    is done.

    `established` is awaited by whoever dials; a server needs not.
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

        `not_tls`: what is answered in plain to a handshake that failed on these bytes (empty: the alert).
        """
        self._application = application
        self._deadlines = deadlines
        self._buffers = buffers
        self._lost = lost
        self._not_tls = not_tls
        self._loop = asyncio.get_running_loop()
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self._transport: asyncio.Transport | None = None
        self._ready = False  # the handshake is done
        self._ended = False  # the peer has said that it will send no more
        self._end_told = False
        self._closing = False
        self._abandoned = False
        self._unsent = 0
        self._application_told = False  # of the end of the connection
        self.deadline: float | None = None
        self.established: asyncio.Future[None] = self._loop.create_future()
        self.error: Exception | None = None

    # --- asyncio.BufferedProtocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if self._abandoned:
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
        if self._ended:  # RFC 8446, 6.1: what follows close_notify is ignored
            return
        for at in range(0, nbytes, SLICE):
            self._incoming.write(wire[at : min(at + SLICE, nbytes)])
            if not self._ready:
                self._handshake()
            if self._ready:
                self._read()

    def eof_received(self) -> bool:
        if not self._ready:
            self._fail(ConnectionResetError("closed during the TLS handshake"))
            return False
        # A FIN without close_notify: for HTTP and WebSocket the message's own framing tells a cut from an
        # end.
        return self._end_of_input()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None  # first: who hears of it may still ask for a close
        self._deadlines.discard(self)
        self.deadline = None
        if self._lost is not None:
            self._lost()
        if not self.established.done():
            self._set_failure(exc or ConnectionResetError("closed during the TLS handshake"))
        if self._ready and not self._application_told:
            self._application_told = True
            self._application.connection_lost(exc)

    def pause_writing(self) -> None:
        self._application.pause_writing()

    def resume_writing(self) -> None:
        self._application.resume_writing()

    def expired(self) -> None:
        """The handshake takes too long, or after a close the peer takes nothing any more."""
        if not self._ready:
            self._set_failure(TimeoutError("TLS handshake timed out"))
        elif (
            self._transport is not None and (unsent := self._transport.get_write_buffer_size()) < self._unsent
        ):
            self._unsent = unsent
            self.deadline = self._loop.time() + CLOSE_SECONDS
            return
        self.abort()

    # --- reading

    def _handshake(self) -> None:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            answer = self._not_tls(error, self._buffers.wire) if self._not_tls is not None else b""
            if answer and self._transport is not None:
                self._transport.write(answer)
            else:
                self._flush()  # the alert
            self._fail(error)
            return
        self._ready = True
        self.deadline = None
        self._deadlines.discard(self)
        self._flush()
        self._application.connection_made(TLSTransport(self))
        if not self.established.done():
            self.established.set_result(None)

    def _read(self) -> None:
        clear, pieces = self._buffers.clear, []
        failure: Exception | None = None
        while self._incoming.pending:
            try:
                count: int = self._tls.read(READ_SIZE, clear)  # type: ignore[assignment]
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self._ended = True
                break
            except ssl.SSLError as error:
                failure = error
                break
            if not count:
                self._ended = True
                break
            pieces.append(bytes(clear[:count]))
        if self._outgoing.pending:  # a key update, an alert
            self._flush()
        if pieces and not self._closing:
            self._application.data_received(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if failure is not None:
            self._fail(failure)
        elif self._ended:
            self._end_of_input()

    def _end_of_input(self) -> bool:
        """True: the connection stays open for what is still to be written.  The application is told once."""
        if self._end_told:
            return not self._closing
        self._ended = self._end_told = True
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
                self._tls.write(data)
                self._transport.write(self._outgoing.read())
            else:
                view = memoryview(data)
                self._transport.writelines(
                    [self._sealed(view[at : at + SLICE]) for at in range(0, len(view), SLICE)]
                )
        except ssl.SSLError as error:
            self._fail(error)

    def _sealed(self, piece: memoryview) -> bytes:
        self._tls.write(piece)
        return self._outgoing.read()

    def write_eof(self) -> None:
        """Sends close_notify; reading goes on (RFC 8446, 6.1)."""
        try:
            self._tls.unwrap()
        except ssl.SSLError:
            pass
        self._flush()

    def close(self) -> None:
        """After what is written has gone out, as long as the peer takes it; its close_notify is not waited
        for.
        """
        if self._closing or self._transport is None:
            return
        self._closing = True
        if self._ready:
            self.write_eof()
        self._unsent = self._transport.get_write_buffer_size()
        self.deadline = self._loop.time() + CLOSE_SECONDS
        self._deadlines.add(self)
        self._transport.close()

    def abort(self) -> None:
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def abandon(self) -> None:
        """Whoever dialled has left: uvloop closes such a transport without a word to its protocol."""
        self._abandoned = True
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
        return self._tls

    @property
    def closing(self) -> bool:
        return self._closing or self._transport is None

    # --- the end

    def _flush(self) -> None:
        if self._outgoing.pending and self._transport is not None:
            self._transport.write(self._outgoing.read())

    def _fail(self, error: Exception) -> None:
        self._set_failure(error)
        if self._ready and not self._application_told:
            self._application_told = True
            self._application.connection_lost(error)
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def _set_failure(self, error: Exception) -> None:
        self.error = error
        if not self.established.done():
            self.established.set_exception(error)
            self.established.exception()  # a server does not wait for it


class TLSTransport(asyncio.Transport):
    """What the application writes to and closes."""

    def __init__(self, layer: TLSLayer) -> None:
        super().__init__()
        self._layer = layer
        self.write = layer.write  # type: ignore[method-assign]

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "ssl_object":
            return self._layer.tls
        plain = self._layer.plain
        return plain.get_extra_info(name, default) if plain is not None else default

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        for data in list_of_data:
            self._layer.write(data)

    def write_eof(self) -> None:
        self._layer.write_eof()

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self._layer.close()

    def abort(self) -> None:
        self._layer.abort()

    def is_closing(self) -> bool:
        return self._layer.closing

    def pause_reading(self) -> None:
        if self._layer.plain is not None:
            self._layer.plain.pause_reading()

    def resume_reading(self) -> None:
        if self._layer.plain is not None:
            self._layer.plain.resume_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if self._layer.plain is not None:
            self._layer.plain.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        return self._layer.plain.get_write_buffer_size() if self._layer.plain is not None else 0

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        assert isinstance(protocol, asyncio.Protocol)
        self._layer.set_application(protocol)

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._layer.application
