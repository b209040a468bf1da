"""· Does a request ask for an upgrade, and does a response accept it?

RFC 9110 section 7.8, RFC 6455 section 4.  Only listed protocols are tunnelled (kubernetes#72112); an upgrade
to another one is an ordinary request, as RFC 9110 allows.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from bastion.http.fields import Field, first_value, values
from bastion.kube.errors import unreadable

WEBSOCKET = b"websocket"
PROTOCOLS = frozenset((WEBSOCKET, b"spdy/3.1"))
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


class UpgradeRequest(msgspec.Struct, frozen=True, gc=False):
    """`protocol` as the client wrote it; `key` is the Sec-WebSocket-Key, empty where there is none."""

    protocol: bytes
    key: bytes = b""

    @property
    def websocket(self) -> bool:
        return self.protocol.lower() == WEBSOCKET


def names_upgrade(minor: int, fields: list[Field]) -> bool:
    """Whether a head asks for one of the protocols that are tunnelled, as it should or not."""
    if minor == 0:  # RFC 9110, 7.8: Upgrade from HTTP/1.0 is ignored
        return False
    offered = values(fields, b"upgrade")
    if len(offered) != 1 or offered[0].lower() not in PROTOCOLS:
        return False
    options = values(fields, b"connection")
    return any(token.strip(b" \t").lower() == b"upgrade" for value in options for token in value.split(b","))


def asked_upgrade(method: str, minor: int, fields: list[Field], *, has_body: bool) -> UpgradeRequest | None:
    """None for an ordinary request.  Raises StatusError 400 for an upgrade that cannot be one."""
    if not names_upgrade(minor, fields):
        return None
    if has_body or values(fields, b"expect"):
        # CVE-2026-69243
        raise unreadable("an upgrade request may have neither a body nor an expectation", close=True)
    keys = values(fields, b"sec-websocket-key")
    asked = UpgradeRequest(first_value(fields, b"upgrade"), keys[0] if keys else b"")
    if asked.websocket and method != "GET":
        raise unreadable("a WebSocket handshake is a GET request", close=True)
    if len(keys) > 1:
        raise unreadable("more than one Sec-WebSocket-Key", close=True)
    return asked


def accepts(asked: UpgradeRequest, fields: list[Field]) -> bool:
    """Whether a 101 with these fields switches to what was asked for, and proves it where a key was sent (RFC
    6455, 4.1).
    """
    offered = values(fields, b"upgrade")
    if len(offered) != 1 or offered[0].lower() != asked.protocol.lower():
        return False
    if not asked.websocket or not asked.key:
        return True
    proof = base64.b64encode(hashlib.sha1(asked.key + _GUID, usedforsecurity=False).digest())
    return values(fields, b"sec-websocket-accept") == [proof]


def request_lines(asked: UpgradeRequest) -> bytes:
    """The hop's own fields, for the backend."""
    return b"Connection: Upgrade\r\nUpgrade: %b\r\n" % asked.protocol


def answer_fields(asked: UpgradeRequest) -> list[Field]:
    """The hop's own fields, for the client."""
    return [(b"connection", b"Connection", b"Upgrade"), (b"upgrade", b"Upgrade", asked.protocol)]
