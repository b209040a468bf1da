"""Enough of WebSocket (RFC 6455) for the sample workloads: sends every message back with a prefix."""

from __future__ import annotations

import asyncio
import base64
import functools
import hashlib

from bastion.demo.samplehttp import LARGEST_BODY, SampleRequest, SampleResponse

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR = (1002).to_bytes(2, "big")
UPGRADE = ("Upgrade", "websocket")
# Once more for `Upgrade`, which is of this connection alone (RFC 9110, 7.8).
NO_WEBSOCKET = SampleResponse(code=426, headers=(UPGRADE, ("Connection", "Upgrade")))
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def say_back(name: str, request: SampleRequest) -> SampleResponse:
    """Sends every message back after `name`, until the client closes.

    Chooses the first subprotocol offered: a browser that offered some and got none would close.
    """
    key = request.header("sec-websocket-key")
    if not key:
        return NO_WEBSOCKET
    accept = base64.b64encode(
        hashlib.sha1(key.encode("latin-1") + _GUID, usedforsecurity=False).digest()
    ).decode()
    offered = request.header("sec-websocket-protocol").partition(",")[0].strip()
    chosen = (("Sec-WebSocket-Protocol", offered),) if offered else ()
    return SampleResponse(
        headers=(UPGRADE, ("Sec-WebSocket-Accept", accept), *chosen),
        talk=functools.partial(_talk, name.encode()),
    )


async def _talk(name: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await _say_back(name, reader, writer):
            await writer.drain()
    except ValueError:
        writer.write(_frame(CLOSE, PROTOCOL_ERROR))


async def _say_back(name: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One message.  False where it was the last.  Raises ValueError for anything but WebSocket."""
    message, kind = b"", CONTINUATION
    while True:
        final, opcode, data = await _read_frame(reader, LARGEST_BODY - len(message))
        if opcode == CLOSE:
            writer.write(_frame(CLOSE, data[:2]))
            return False
        if opcode == PING:
            writer.write(_frame(PONG, data))
        elif opcode != PONG:
            if (opcode == CONTINUATION) != bool(kind):
                raise ValueError("a message within a message, or the rest of none")
            message, kind = message + data, kind or opcode
            if final:
                writer.write(_frame(kind, name + b": " + message))
                return True


async def _read_frame(reader: asyncio.StreamReader, most: int) -> tuple[bool, int, bytes]:
    """(whether it ends its message, opcode, payload)."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    if (
        first & 0x70
        or not second & 0x80
        or length > most
        or first & 0xF not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
    ):
        raise ValueError("an extension, no mask, too much, or no kind of frame")
    mask = await reader.readexactly(4)
    masked = int.from_bytes(await reader.readexactly(length), "big")
    unmasked = masked ^ int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return bool(first & 0x80), first & 0xF, unmasked.to_bytes(length, "big")


def _frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = bytes((size,))
    else:
        head = b"\x7e" + size.to_bytes(2, "big") if size < 65536 else b"\x7f" + size.to_bytes(8, "big")
    return bytes((0x80 | opcode,)) + head + payload
