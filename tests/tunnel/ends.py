"""What both ends of a tunnel do: ask for it, accept it, and say frames."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import random
import re
import socket
import ssl
from collections.abc import AsyncIterator
from typing import Any

from tests.e2e.harness import ALICE, PORT, TLS_PORT, Bastion, Place
from tests.e2e.wire import Client, Message, Serve, Visit, client, request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
WEBSOCKET = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    f"Sec-WebSocket-Key: {KEY}",
)
SPDY = ("Connection: Upgrade", "Upgrade: SPDY/3.1")

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def switch(asked: bytes) -> bytes:
    """The 101 for a request head."""
    (protocol,) = re.findall(rb"(?i)\nupgrade: *([^\r]+)", asked)
    keys = re.findall(rb"(?i)\nsec-websocket-key: *([^\r]+)", asked)
    lines = [b"HTTP/1.1 101 Switching Protocols", b"Connection: Upgrade", b"Upgrade: " + protocol]
    if keys:
        digest = hashlib.sha1(keys[0] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
        lines.append(b"Sec-WebSocket-Accept: " + base64.b64encode(digest))
    return b"\r\n".join((*lines, b"", b""))


async def accept(visit: Visit) -> Message:
    """What was asked."""
    head = await visit.head()
    await visit.send(switch(head.head))
    return head


def accepting(then: Serve) -> Serve:
    """A backend that agrees to whatever upgrade is asked for, and goes on with `then`."""

    async def serve(visit: Visit) -> None:
        await accept(visit)
        await then(visit)

    return serve


async def echo(visit: Visit) -> None:
    while data := await visit.reader.read(1 << 16):
        await visit.send(data)


async def silent(visit: Visit) -> None:
    """Until the other end is gone."""
    await visit.ended()


class Upgraded(Client):
    """A client's end of a tunnel; `audit_id` names it in the access log."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, audit_id: str) -> None:
        super().__init__(reader, writer)
        self.audit_id = audit_id

    async def echoes(self) -> None:
        """It is alive, to the far end and back."""
        sent = frame(BINARY, random.randbytes(8))
        await self.send(sent)
        assert await asyncio.wait_for(self.reader.readexactly(len(sent)), 20) == sent


@contextlib.asynccontextmanager
async def tunnel(
    bastion: Bastion,
    path: str,
    protocol: tuple[str, ...] = WEBSOCKET,
    *,
    token: str = ALICE,
    plain: bool = False,
    small: bool = False,
) -> AsyncIterator[Upgraded]:
    """`small`: the kernel holds little for this client."""
    async with small_client(bastion, plain) if small else client(bastion, plain=plain) as wire:
        await wire.send(request(path, *protocol, token=token))
        answer = await wire.head()
        assert answer.status == 101, answer.head
        yield Upgraded(wire.reader, wire.writer, answer.one("Audit-Id"))


@contextlib.asynccontextmanager
async def small_client(bastion: Bastion, plain: bool) -> AsyncIterator[Client]:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(
        sock, ("127.0.0.1", bastion.plain_port if plain else bastion.port)
    )
    tls: dict[str, Any] = {} if plain else {"ssl": bastion.trust, "server_hostname": "127.0.0.1"}
    reader, writer = await asyncio.open_connection(sock=sock, **tls)
    try:
        yield Client(reader, writer)
    finally:
        writer.transport.abort()


def place(pod: Place, bastion: Bastion, tls: bool) -> tuple[str, dict[str, Any]]:
    """(the path to a pod over plain or over TLS, what its backend must be given)."""
    if not tls:
        return pod.path(), {"port": PORT}
    return pod.path(port=TLS_PORT, scheme="https"), {
        "port": TLS_PORT,
        "ssl": bastion.cluster.backend_tls(pod.address),
    }


def trusting_nobody() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, mask: bytes = b"") -> bytes:
    size, masked = len(payload), 0x80 if mask else 0
    if size < 126:
        head = bytes((masked | size,))
    else:
        head = (
            bytes((masked | 126,)) + size.to_bytes(2, "big")
            if size < 65536
            else bytes((masked | 127,)) + size.to_bytes(8, "big")
        )
    if mask:
        whole = (mask * (size // 4 + 1))[:size]
        payload = (int.from_bytes(payload, "big") ^ int.from_bytes(whole, "big")).to_bytes(size, "big")
    return bytes((0x80 * fin | opcode,)) + head + mask + payload


def closing(code: int) -> bytes:
    """The close frame of a server."""
    return frame(CLOSE, code.to_bytes(2, "big"))


def noise(size: int, seed: int = 0) -> bytes:
    return random.Random(size * 31 + seed).randbytes(size)


async def quiet(wire: Client) -> bytes:
    """What still comes before the end, which may be abrupt."""
    return await asyncio.wait_for(wire.ended(), 20)
