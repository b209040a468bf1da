"""What is asked on one stream, and by whom."""

from __future__ import annotations

from bastion.http.fields import Field, field_of
from bastion.server.http1.connection import Peer
from bastion.server.http1.head import Head
from bastion.server.http1.known import line_of


class StreamRequest:
    minor = 1  # what is asked of an HTTP/1.1 client holds for one of HTTP/2, too
    http2 = True

    def __init__(self, head: Head, peer: Peer) -> None:
        self.method = head.method
        self.target = head.target
        self.host = head.host
        self._fields = None if head.decided else head.fields
        self._lines = head.lines
        self.passed = head.passed
        self.key = head.key
        self.client = peer.address
        self.to_proxy = head.to_proxy
        self.scheme = b"http" if head.to_proxy else peer.scheme
        self.certificate = peer.certificate

    @property
    def fields(self) -> list[Field]:
        """Read when they are asked for first, where what they decide is remembered."""
        if self._fields is None:
            self._fields = [field_of(line) for line in self._lines]
        return self._fields

    def all_fields(self) -> list[Field]:
        return [field_of(line) for line in self._lines]

    def line(self, name: bytes) -> bytes:
        return line_of(self._lines, name)
