"""How the API server is reached: through proxies, upgrades as well, and what fails by the way."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bastion.runtime.certificates import Authority
from tests.fakes import run, server_tls
from tests.localproxy.ground import SWITCHED, Api, kubeconfig, proxy, secure, websocket


class Forward:
    """A forward proxy; `asked` is what it was asked for."""

    def __init__(self, kind: str, tls: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.port = 0
        self._kind = kind
        self._tls = tls

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Forward]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, OSError):
            host, port = await (self._socks if self._kind == "socks5" else self._http)(reader, writer)
            there, out = await asyncio.open_connection(host, port)
            await asyncio.gather(self._pump(reader, out), self._pump(there, writer))
        writer.close()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.asked.append(head)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        host, _, port = head.split()[1].rpartition(":")
        return host, int(port)

    async def _socks(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> tuple[str, int]:
        _, count = await reader.readexactly(2)
        await reader.readexactly(count)
        writer.write(b"\x05\x00")
        *_, kind = await reader.readexactly(4)
        size = {1: 4, 4: 16}.get(kind) or (await reader.readexactly(1))[0]
        address = await reader.readexactly(size)
        port = int.from_bytes(await reader.readexactly(2), "big")
        host = address.decode() if kind == 3 else ".".join(map(str, address))
        self.asked.append(f"{host}:{port}")
        writer.write(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
        return host, port

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
        writer.close()


@pytest.mark.parametrize("kind", ["http", "https", "socks5"])
def test_requests_and_upgrades_take_the_proxy_of_the_kubeconfig(tmp_path: Path, kind: str) -> None:
    async def conversation() -> None:
        authority = Authority()
        tls = server_tls(authority, "127.0.0.1") if kind == "https" else None
        api = Api(lambda sent: SWITCHED if sent.one("upgrade") else b"HTTP/1.1 204 No\r\n\r\n")
        api.tls = server_tls(authority, "127.0.0.1")
        (tmp_path / "ca.crt").write_bytes(authority.pem)
        async with Forward(kind, tls).serving() as forward, api.serving():
            way = {"certificate-authority": "ca.crt", "proxy-url": f"{kind}://127.0.0.1:{forward.port}"}
            async with proxy(kubeconfig(api.url, {"token": "t"}, way), tmp_path) as made:
                assert (await made.get("/x")).status == 204
                assert (await made.raw(websocket("/ws"))).status == 101
                assert [f"127.0.0.1:{api.port}" in asked for asked in forward.asked] == [True, True]
                assert {sent.one("authorization") for sent in api.sent} == {"Bearer t"}

    run(conversation())


def test_a_proxys_login_is_for_the_proxy(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with Forward("http").serving() as forward, Api().serving() as api:
            way = {"proxy-url": f"http://me:s%40crt@127.0.0.1:{forward.port}"}
            async with proxy(kubeconfig(api.url, None, way), tmp_path) as made:
                assert (await made.get("/x")).status == 200
        assert "Proxy-Authorization: Basic bWU6c0BjcnQ=" in forward.asked[0]
        assert "proxy-authorization" not in api.sent[0].fields

    run(conversation())


FAILURES = [
    ("https://127.0.0.1:9", {}, b"refused"),
    ("https://a..b:6443", {}, b"no such host"),
    ("https://127.0.0.1:99999", {}, b"invalid port"),
    ("http://127.0.0.1:9", {"proxy-url": "http://127.0.0.1:9"}, b"refused"),
]


@pytest.mark.parametrize(("server", "cluster", "why"), FAILURES, ids=str)
def test_what_cannot_be_reached_is_a_502_that_says_why(
    tmp_path: Path, server: str, cluster: dict[str, str], why: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    async def conversation() -> None:
        async with proxy(kubeconfig(server, None, cluster), tmp_path) as made:
            for request in (b"GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n", websocket("/ws")):
                got = await made.raw(request)
                assert (got.status, why in got.body) == (502, True), got.body

    run(conversation())
    assert "Error while proxying request: " in capfd.readouterr().err


@pytest.mark.parametrize(
    ("names", "cluster", "status"),
    [
        (("127.0.0.1",), {}, 200),
        (("api.test",), {}, 502),
        (("api.test",), {"tls-server-name": "api.test"}, 200),
        (("api.test",), {"insecure-skip-tls-verify": True}, 200),
    ],
    ids=str,
)
def test_whose_certificate_is_believed(
    tmp_path: Path, names: tuple[str, ...], cluster: dict[str, object], status: int
) -> None:
    async def conversation() -> None:
        authority = Authority()
        (tmp_path / "ca.crt").write_bytes(authority.pem)
        trust = {} if "insecure-skip-tls-verify" in cluster else {"certificate-authority": "ca.crt"}
        api = Api(tls=server_tls(authority, *names))
        async with api.serving(), proxy(kubeconfig(api.url, None, {**trust, **cluster}), tmp_path) as made:
            assert (await made.get("/x")).status == status

    run(conversation())


def test_a_kept_connection_that_died_is_replaced(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with secure(tmp_path, answer=lambda sent: b"HTTP/1.1 200 OK\r\n\r\nuntil the end") as (
            made,
            api,
        ):
            for method in ("GET", "POST", "GET"):
                got = await made.get("/x", method=method, body=b"x" if method == "POST" else b"")
                assert got.body == b"until the end"
            assert len(api.sent) == 3

    run(conversation())
