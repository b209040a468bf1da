"""An end of a connection on a blocking socket, TLS or plain, that can end its own direction and read on.

OpenSSL by hand: Python's own wrappers close both directions at once, or wait for the other end to do so.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from typing import Any

PIECE = 1 << 16


class Peer:
    """Its steps block, so they run in threads: one may read while another one sends.

    Without `context` it is plain.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext | None = None,
        *,
        server_side: bool = False,
        name: str | None = None,
    ) -> None:
        self.sock = sock
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(
                self._in, self._out, server_side=server_side, server_hostname=None if server_side else name
            )
        self._lock = threading.Lock()
        self._wire = threading.Lock()
        self._held = b""  # was read before anybody asked for it

    def handshake(self) -> None:
        if self._tls is not None:
            self._do(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        if self._tls is None:
            self.sock.sendall(data)
            return
        for at in range(0, len(data), PIECE):
            with self._wire:  # not the lock of what is read: who waits to send must still be able to read
                with self._lock:
                    self._tls.write(data[at : at + PIECE])
                    sealed = self._out.read()
                self.sock.sendall(sealed)

    def sealed(self, data: bytes) -> bytes:
        """The bytes of the wire for this, which are not sent."""
        assert self._tls is not None
        self._tls.write(data)
        return self._out.read()

    def recv(self, most: int = PIECE) -> bytes:
        """b"" at the end of the other's direction.  Raises ConnectionError where TLS was cut short."""
        if self._tls is None:
            return self.sock.recv(most)
        if self._held:
            held, self._held = self._held[:most], self._held[most:]
            return held
        try:
            data: bytes = self._do(self._tls.read, most)
        except ssl.SSLZeroReturnError:
            return b""
        return data

    def read(self, count: int) -> bytes:
        read = bytearray()
        while len(read) < count:
            data = self.recv(min(PIECE, count - len(read)))
            assert data, f"ended after {len(read)} of {count} bytes"
            read += data
        return bytes(read)

    def until(self, end: bytes) -> bytes:
        """Up to and with `end`; byte by byte, so that nothing behind it is taken."""
        read = bytearray()
        while not read.endswith(end):
            read += self.read(1)
        return bytes(read)

    def rest(self) -> bytes:
        """To the end of the other's direction."""
        read = bytearray()
        while data := self.recv():
            read += data
        return bytes(read)

    def end(self) -> None:
        """Ours ends, by FIN or close_notify; reading goes on."""
        if self._tls is None:
            self.fin()
            return
        with self._lock, contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            # OpenSSL wants no data to be left when it waits for the other's end
            while data := self._tls.read(PIECE):
                self._held += data
        with self._lock, contextlib.suppress(ssl.SSLWantReadError):
            self._tls.unwrap()
        self._flush()

    def fin(self) -> None:
        """Without a word of TLS."""
        self.sock.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def _do(self, step: Callable[..., Any], *arguments: Any) -> Any:
        while True:
            with self._lock:
                try:
                    return step(*arguments)
                except ssl.SSLWantReadError:
                    pass
                finally:
                    if self._out.pending:
                        self._flush()
            if not (data := self.sock.recv(PIECE)):
                raise ConnectionResetError("the connection ended, and TLS did not")
            with self._lock:
                self._in.write(data)

    def _flush(self) -> None:
        if data := self._out.read():
            self.sock.sendall(data)
