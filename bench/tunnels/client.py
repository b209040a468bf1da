"""A tunnel from the client's side: blocking, over TLS or plain."""

from __future__ import annotations

import base64
import json
import secrets
import socket
import ssl
from dataclasses import dataclass

from bench.fixture import BACKEND_PORT, Service, User
from bench.streams import BrokenResponse, read_head
from bench.tunnels import frames

PATIENCE = 20.0  # seconds


class UpgradeRefused(Exception):
    """The upgrade was answered with `status`, not 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"an upgrade is answered with {status}, not 101")
        self.status = status


@dataclass(frozen=True, slots=True)
class Entrance:
    """Where a proxy takes tunnels.  `tls` None: the plain port."""

    port: int
    tls: ssl.SSLContext | None

    def connect(self, source: str = "127.0.0.1") -> socket.socket:
        """From the loopback address `source`."""
        sock = socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=(source, 0))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self.tls.wrap_socket(sock, server_hostname="127.0.0.1") if self.tls else sock


class Tunnel:
    """Opened by the constructor.  Raises UpgradeRefused, BrokenResponse, OSError."""

    def __init__(
        self, entrance: Entrance, service: Service, path: str, user: User, source: str = "127.0.0.1"
    ) -> None:
        self.socket = entrance.connect(source)
        self._buffer = bytearray()
        try:
            self._upgrade(f"{service.prefix}{path}", user)
        except BaseException:
            self.socket.close()
            raise

    def send(self, payload: bytes) -> None:
        self.socket.sendall(frames.frame(payload, secrets.token_bytes(4)))

    def receive(self) -> bytes:
        while (payload := frames.take(self._buffer)) is None:
            self._more()
        return payload

    def close(self) -> None:
        self.socket.close()

    def _upgrade(self, path: str, user: User) -> None:
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        self.socket.sendall(frames.handshake(path, key, user.authorization))
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            self._more()
        status, fields = read_head(bytes(self._buffer[:end]))
        if status != 101:
            raise UpgradeRefused(status)
        if fields.get("sec-websocket-accept", "").encode() != frames.accept(key.encode()):
            raise BrokenResponse("the handshake was answered for another key")
        del self._buffer[: end + 4]

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise BrokenResponse("the tunnel has ended")
        self._buffer += data


def counts(service: Service) -> dict[str, int]:
    """What the backend has counted, asked without a proxy."""
    with socket.create_connection((service.addresses[0], BACKEND_PORT), PATIENCE) as sock:
        sock.sendall(b"GET /counts HTTP/1.1\r\nHost: backend\r\n\r\n")
        answer = sock.recv(65536)
    found: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found
