"""An API server that answers as it is told and remembers what it was sent, and a proxy in front of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bastion.localproxy import options
from bastion.localproxy.run import LocalProxy
from bastion.runtime.certificates import Authority
from tests.fakes import server_tls

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nok\n"
NO = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)
ASKING = (
    b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)
PATIENCE = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Sent:
    """A request as the API server saw it."""

    line: str
    fields: dict[str, list[str]]
    body: bytes = b""

    def one(self, name: str) -> str:
        return ", ".join(self.fields.get(name, []))


@dataclass(slots=True)
class Api:
    """`answer` makes the bytes of each response; after a 101 what comes is echoed.  `ends`: it closes each
    connection after its response.
    """

    answer: Callable[[Sent], bytes] = lambda sent: OK
    tls: ssl.SSLContext | None = None
    sent: list[Sent] = field(default_factory=list)
    port: int = 0
    ends: bool = False

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Api]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                sent = await read_request(reader)
                self.sent.append(sent)
                answer = self.answer(sent)
                writer.write(answer)
                await writer.drain()
                if answer.startswith(b"HTTP/1.1 101"):
                    while data := await reader.read(65536):
                        writer.write(data)
                    break
                if self.ends or (
                    b"Content-Length" not in answer
                    and b"chunked" not in answer
                    and b" 204 " not in answer[:20]
                ):
                    break
        writer.close()


async def read_request(reader: asyncio.StreamReader) -> Sent:
    line, fields = split((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
    body = b""
    if fields.get("transfer-encoding"):
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readexactly(2)
    else:
        body = await reader.readexactly(int(fields.get("content-length", ["0"])[0]))
    return Sent(line, fields, body)


def split(head: str) -> tuple[str, dict[str, list[str]]]:
    line, *rest = head.rstrip("\r\n").split("\r\n")
    fields: dict[str, list[str]] = {}
    for one in rest:
        name, _, value = one.partition(":")
        fields.setdefault(name.lower(), []).append(value.strip())
    return line, fields


@dataclass(frozen=True, slots=True)
class Got:
    status: int
    fields: dict[str, list[str]]
    body: bytes

    def one(self, name: str) -> str:
        return ", ".join(self.fields.get(name, []))


@dataclass(frozen=True, slots=True)
class Proxy:
    port: int
    local: LocalProxy

    async def get(self, path: str, fields: bytes = b"", *, method: str = "GET", body: bytes = b"") -> Got:
        length = b"Content-Length: %d\r\n" % len(body) if body else b""
        host = b"" if b"host:" in fields.lower() else b"Host: localhost\r\n"
        head = b"%b %b HTTP/1.1\r\n%b%b%b\r\n" % (method.encode(), path.encode(), host, fields, length)
        return await self.raw(head + body)

    async def raw(self, request: bytes) -> Got:
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(read_response(reader, request[:5] == b"HEAD "), PATIENCE)
        finally:
            writer.close()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)


async def read_response(reader: asyncio.StreamReader, bodiless: bool = False) -> Got:
    while True:
        line, fields = split((await reader.readuntil(b"\r\n\r\n")).decode("latin-1"))
        status = int(line.split()[1])
        if status >= 101 and status != 103:
            break
    body = b""
    if bodiless or status in (101, 204, 304):
        return Got(status, fields, body)
    if "transfer-encoding" in fields:
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
    elif "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"][0]))
    else:
        body = await reader.read(-1)
    return Got(status, fields, body)


def kubeconfig(
    server: str, user: Mapping[str, Any] | None = None, cluster: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Of one context."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "clusters": [{"name": "main", "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": "main", "user": dict(user or {})}],
        "contexts": [{"name": "main", "context": {"cluster": "main", "user": "main"}}],
    }


@contextlib.asynccontextmanager
async def proxy(
    config: Mapping[str, Any], folder: Path, *flags: str, environ: Mapping[str, str] | None = None
) -> AsyncIterator[Proxy]:
    file = folder / "config"
    file.write_text(json.dumps(config))
    asked = options.read([f"--kubeconfig={file}", "--port=0", *flags])
    local = LocalProxy(asked, environ or {"PATH": "/usr/bin:/bin"})
    async with local.open() as listening:
        yield Proxy(listening.port, local)


@contextlib.asynccontextmanager
async def in_front(
    folder: Path,
    *flags: str,
    answer: Callable[[Sent], bytes] = lambda sent: OK,
    user: Mapping[str, Any] | None = None,
) -> AsyncIterator[tuple[Proxy, Api]]:
    """Over plain HTTP."""
    async with Api(answer).serving() as api, proxy(kubeconfig(api.url, user), folder, *flags) as made:
        yield made, api


def websocket(path: str, fields: Sequence[bytes] = ()) -> bytes:
    return b"GET %b HTTP/1.1\r\nHost: localhost\r\n%b%b\r\n" % (path.encode(), ASKING, b"".join(fields))


@contextlib.asynccontextmanager
async def secure(
    folder: Path,
    *flags: str,
    answer: Callable[[Sent], bytes] = lambda sent: OK,
    user: Mapping[str, Any] | None = None,
    path: str = "",
    **cluster: Any,
) -> AsyncIterator[tuple[Proxy, Api]]:
    """Over TLS, where credentials are sent."""
    authority = Authority()
    (folder / "ca.crt").write_bytes(authority.pem)
    async with Api(answer, server_tls(authority, "127.0.0.1")).serving() as api:
        config = kubeconfig(api.url + path, user, {"certificate-authority": "ca.crt", **cluster})
        async with proxy(config, folder, *flags) as made:
            yield made, api
