"""WebSocket on the wire, as far as is needed here: the handshake and whole binary frames (RFC 6455); pure."""

from __future__ import annotations

import base64
import hashlib

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3
_BINARY = 0x82  # the only frame of a binary message
_MASKED = 0x80


def accept(key: bytes) -> bytes:
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def handshake(path: str, key: str, authorization: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\nConnection:"
        f" Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def frame(payload: bytes, mask: bytes = b"") -> bytes:
    """`mask` of four bytes for what a client sends; a server sends without (RFC 6455, 5.1)."""
    masked = _MASKED if mask else 0
    size = len(payload)
    if size < 126:
        head = bytes((_BINARY, masked | size))
    elif size < 65536:
        head = bytes((_BINARY, masked | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((_BINARY, masked | 127)) + size.to_bytes(8, "big")
    return head + mask + (apply(mask, payload) if mask else payload)


def take(buffer: bytearray) -> bytes | None:
    """The payload of the first frame, unmasked and removed from the buffer; None where it is not yet
    whole.
    """
    if len(buffer) < 2:
        return None
    size, offset = buffer[1] & 0x7F, 2
    if size >= 126:
        offset = 4 if size == 126 else 10
        size = int.from_bytes(buffer[2:offset], "big")
    masked = bool(buffer[1] & _MASKED)
    begin = offset + 4 * masked
    if len(buffer) < begin or len(buffer) < begin + size:
        return None
    mask, payload = bytes(buffer[offset:begin]), bytes(buffer[begin : begin + size])
    del buffer[: begin + size]
    return apply(mask, payload) if masked else payload


def apply(mask: bytes, payload: bytes) -> bytes:
    """All bytes at once, as one large number: masking is its own inverse."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
