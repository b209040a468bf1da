"""TLS without a connection: bytes of the wire in, bytes of the application out, and the other way round."""

from __future__ import annotations

import ssl

SLICE = 16384  # bytes given to OpenSSL at once, about one record: its memory BIOs never shrink
READ_SIZE = 65536


class Records:
    """`ready`: the handshake is done.  `ended`: the peer has said that it will send no more."""

    __slots__ = ("_incoming", "_outgoing", "ended", "ready", "tls")

    def __init__(self, context: ssl.SSLContext, server_side: bool, server_hostname: str | None) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=server_side, server_hostname=server_hostname
        )
        self.ready = False
        self.ended = False

    def feed(self, wire: memoryview) -> None:
        self._incoming.write(wire)

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
        pieces: list[bytes] = []
        failure: ssl.SSLError | None = None
        while self._incoming.pending:
            try:
                count: int = self.tls.read(READ_SIZE, clear)  # type: ignore[assignment]
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
            pieces.append(bytes(clear[:count]))
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), failure

    def seal(self, data: bytes | bytearray | memoryview) -> bytes:
        """For the wire.  Raises ssl.SSLError."""
        self.tls.write(data)
        return self._outgoing.read()

    def end(self) -> None:
        """Put a close_notify into `outgoing`; reading goes on (RFC 8446, 6.1)."""
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass

    def outgoing(self) -> bytes:
        """What OpenSSL wants to send: a handshake, a key update, an alert."""
        return self._outgoing.read() if self._outgoing.pending else b""
