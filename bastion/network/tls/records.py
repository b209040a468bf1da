"""TLS without a connection: bytes of the wire in, bytes of the application out, and the other way round."""

from __future__ import annotations

import ssl

SLICE = 16384  # bytes given to OpenSSL at once, about one record: its memory BIOs never shrink
READ_SIZE = 65536


class Records:
    """`incoming`: what the wire brings is written there.  `ready`: the handshake is done.  `ended`: the peer
    has said that it will send no more.
    """

    __slots__ = ("_object", "_outgoing", "ended", "incoming", "ready", "tls")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self.incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self.incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.ready = False
        self.ended = False
        # reads and writes as SSLObject does, without a frame of its own for each
        self._object = self.tls._sslobj  # type: ignore[attr-defined]

    def handshake(self) -> bool:
        """Whether it is done.  Raises ssl.SSLError."""
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        self.ready = True
        return True

    def read(self, clear: memoryview) -> tuple[bytes, ssl.SSLError | None]:
        """What the wire has brought, and what went wrong behind that.  `clear` is room for one read."""
        first = b""
        pieces: list[bytes] = []  # behind the first, which nearly always is all
        failure: ssl.SSLError | None = None
        incoming = self.incoming
        while incoming.pending:
            try:
                count: int = self._object.read(READ_SIZE, clear)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                self.ended = True
                break
            except ssl.SSLError as error:
                failure = error
                break
            if not count:
                self.ended = True
                break
            if first:
                pieces.append(bytes(clear[:count]))
            else:
                first = bytes(clear[:count])
        return b"".join((first, *pieces)) if pieces else first, failure

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """For the wire.  Raises ssl.SSLError."""
        self._object.write(data)
        return self._outgoing.read()

    def end(self) -> None:
        """Put a close_notify into `outgoing`; reading goes on (RFC 8446, 6.1)."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass

    @property
    def pending(self) -> int:
        """Bytes that OpenSSL wants to send: a handshake, a key update, an alert."""
        return self._outgoing.pending

    def outgoing(self) -> bytes:
        """What these are."""
        return self._outgoing.read()
