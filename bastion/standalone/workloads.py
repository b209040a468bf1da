"""The demo's cluster: four sample workloads as real servers, at the addresses and ports that its manifests say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import functools
import hashlib
import html
import json
import re
import secrets
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from bastion.certificates import Authority
from bastion.standalone.manifests import load
from bastion.standalone.resources import Object
from bastion.standalone.samplehttp import LARGEST_BODY, LARGEST_HEAD, SampleAnswer, SampleRequest, converse
from bastion.standalone.tls import server_context

MANIFESTS = Path(__file__).with_name("demo")
NETWORK = "127.77.0.0/24"
TICK = 1.0  # seconds between two events
USERS = {"alice": ("developers",), "bob": (), "carol": ("auditors",)}
JSON = "application/json"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def demo_tokens() -> dict[str, tuple[str, tuple[str, ...]]]:
    """User -> (a token made now, groups)."""
    return {user: (secrets.token_urlsafe(24), groups) for user, groups in USERS.items()}


class Workloads:
    """Use as an asynchronous context manager.  Entering raises OSError where an address or port is taken."""

    def __init__(self) -> None:
        self._open = contextlib.AsyncExitStack()
        self._conversations: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Workloads:
        objects = (await asyncio.to_thread(load, [MANIFESTS])).objects
        async with contextlib.AsyncExitStack() as opening:
            for key, pod in objects.items():
                if key[0] == "pods":
                    server = await self._serve(pod)
                    opening.callback(server.close)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _serve(self, pod: Object) -> asyncio.Server:
        application, serve = _application(pod)
        address, port = _place(pod)
        tls = await asyncio.to_thread(_unknown_certificate, address) if application.tls else None
        accept = functools.partial(self._accept, serve)
        try:
            return await asyncio.start_server(accept, address, port, ssl=tls, limit=LARGEST_HEAD)
        except OSError as error:
            name = pod["metadata"]["name"]
            raise OSError(error.errno, f"the demo's pod {name} cannot listen at {address}:{port}: {error.strerror}") from error

    async def _accept(self, serve: Serve, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            await serve(reader, writer)
        except asyncio.CancelledError:
            pass  # the end of the demo; asyncio's streams would report a task that was cancelled
        finally:
            self._conversations.discard(task)


def _place(pod: Object) -> tuple[str, int]:
    return pod["status"]["podIP"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]


def _unknown_certificate(address: str) -> ssl.SSLContext:
    """TLS as workloads have it who made their certificate themselves: nobody who asks knows the authority."""
    return server_context(Authority("orders").issue(["orders.shop.svc", address]))


# --- the applications


@dataclass(frozen=True, slots=True)
class Application:
    """Path -> what is answered there; `talk` serves a whole connection instead.  All get the name of the pod."""

    pages: dict[str, Callable[[str, SampleRequest], SampleAnswer]] = field(default_factory=dict)
    tls: bool = False
    talk: Callable[[str, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]] | None = None


def _application(pod: Object) -> tuple[Application, Serve]:
    """The application, and what serves one of its connections."""
    application = APPLICATIONS[pod["metadata"]["labels"]["app"]]
    name: str = pod["metadata"]["name"]
    if application.talk is not None:
        return application, functools.partial(application.talk, name)

    async def answer(request: SampleRequest) -> SampleAnswer:
        page = application.pages.get(request.path)
        return page(name, request) if page is not None else SampleAnswer(b"not found\n", code=404)

    return application, functools.partial(converse, answer=answer)


PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>shop</title></head>
<body>
<h1>shop</h1>
<p>Answered by <strong>{pod}</strong>.</p>
<ul>
<li><a href="/">again</a></li>
<li><a href="/headers">the headers that this pod was sent</a></li>
<li><a href="/healthz">health</a></li>
</ul>
</body>
</html>
"""


def _page(pod: str, request: SampleRequest) -> SampleAnswer:
    return SampleAnswer(PAGE.format(pod=html.escape(pod)).encode(), "text/html; charset=utf-8")


def _health(pod: str, request: SampleRequest) -> SampleAnswer:
    return SampleAnswer(b"ok\n")


def _headers(pod: str, request: SampleRequest) -> SampleAnswer:
    said = {"pod": pod, "method": request.method, "target": request.target, "headers": [list(header) for header in request.headers]}
    return SampleAnswer(json.dumps(said, indent=2).encode() + b"\n", JSON)


def _orders(pod: str, request: SampleRequest) -> SampleAnswer:
    orders = [{"id": 1, "item": "lantern", "quantity": 2}, {"id": 2, "item": "rope", "quantity": 1}]
    return SampleAnswer(json.dumps({"pod": pod, "orders": orders}).encode() + b"\n", JSON)


def _events(pod: str, request: SampleRequest) -> SampleAnswer:
    return SampleAnswer(_ticks(pod), "text/event-stream")


async def _ticks(pod: str) -> AsyncIterator[bytes]:
    number = 0
    while True:
        number += 1
        yield f"id: {number}\ndata: {json.dumps({'pod': pod, 'tick': number})}\n\n".encode()
        await asyncio.sleep(TICK)


def _metrics(pod: str, request: SampleRequest) -> SampleAnswer:
    text = f'# HELP ticker_up Whether the ticker runs.\n# TYPE ticker_up gauge\nticker_up{{pod="{pod}"}} 1\n'
    return SampleAnswer(text.encode(), "text/plain; version=0.0.4; charset=utf-8")


# --- chat, which speaks WebSocket (RFC 6455) and nothing else

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PROTOCOL_ERROR = (1002).to_bytes(2, "big")
NO_WEBSOCKET = b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 0\r\n\r\n"
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_KEY = re.compile(rb"(?im)^sec-websocket-key:[ \t]*([!-~]+)")
_OFFERED = re.compile(rb"(?im)^sec-websocket-protocol:[ \t]*([!-+\--~]+)")


async def _chat(pod: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says back every message, the pod's name in front, until the client has said enough."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        key = _KEY.search(head)
        writer.write(_switch(key[1], _OFFERED.search(head)) if key else NO_WEBSOCKET)
        while key and await _say_back(pod.encode(), reader, writer):
            await writer.drain()
    except ValueError:
        writer.write(_frame(CLOSE, PROTOCOL_ERROR))
    except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        pass  # the client left, or does not speak HTTP
    finally:
        writer.close()


def _switch(key: bytes, offered: re.Match[bytes] | None) -> bytes:
    """Of the subprotocols offered the first: a browser that offered some and got none would leave."""
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    chosen = b"Sec-WebSocket-Protocol: %b\r\n" % offered[1] if offered else b""
    head = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n%b\r\n"
    return head % (accept, chosen)


async def _say_back(pod: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
    """One message.  False where it was the last.  Raises ValueError for what is no WebSocket."""
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
                writer.write(_frame(kind, pod + b": " + message))
                return True


async def _read_frame(reader: asyncio.StreamReader, most: int) -> tuple[bool, int, bytes]:
    """(whether it ends its message, opcode, payload)."""
    first, second = await reader.readexactly(2)
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(await reader.readexactly(2 if length == 126 else 8), "big")
    if first & 0x70 or not second & 0x80 or length > most or first & 0xF not in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG):
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


APPLICATIONS = {
    "frontend": Application({"/": _page, "/healthz": _health, "/headers": _headers}),
    "orders": Application({"/orders": _orders, "/healthz": _health}, tls=True),
    "ticker": Application({"/events": _events, "/metrics": _metrics, "/healthz": _health}),
    "chat": Application(talk=_chat),
}
