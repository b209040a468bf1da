"""WebSocket frames as RFC 6455 has them."""

from __future__ import annotations

import pytest

from bench.tunnels import frames

MASK = b"\x37\xfa\x21\x3d"


@pytest.mark.parametrize(
    ("payload", "mask", "wire"),
    [
        (b"", b"", b"\x82\x00"),
        (b"Hello", b"", b"\x82\x05Hello"),
        # 5.7, with the opcode of binary data
        (b"Hello", MASK, b"\x82\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"),
        (bytes(125), b"", b"\x82\x7d" + bytes(125)),
        (bytes(126), b"", b"\x82\x7e\x00\x7e" + bytes(126)),
        (bytes(65535), b"", b"\x82\x7e\xff\xff" + bytes(65535)),
        (bytes(65536), b"", b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + bytes(65536)),
    ],
)
def test_frame_and_back(payload: bytes, mask: bytes, wire: bytes) -> None:
    assert frames.frame(payload, mask) == wire
    buffer = bytearray(wire + b"next")
    assert frames.take(buffer) == payload
    assert buffer == b"next"


@pytest.mark.parametrize("size", [5, 126, 65536])
def test_a_frame_that_is_not_yet_whole_stays(size: int) -> None:
    wire = frames.frame(bytes(size), MASK)
    for length in {0, 1, 2, 3, 7, 13, len(wire) - 1} & set(range(len(wire))):
        buffer = bytearray(wire[:length])
        assert frames.take(buffer) is None
        assert buffer == wire[:length]


def test_accept() -> None:
    assert frames.accept(b"dGhlIHNhbXBsZSBub25jZQ==") == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455, 1.3
