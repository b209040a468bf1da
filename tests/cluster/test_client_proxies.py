"""Is the API server reached through a proxy, whatever that speaks?  Over real connections."""

from __future__ import annotations

import asyncio
from asyncio.streams import StreamReader, StreamWriter
from collections.abc import Callable
from ssl import SSLContext
from typing import Any

import pytest

from bastion.cluster.errors import ApiError
from bastion.cluster.proxies import Proxies
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import client_context
from tests.cluster.access import GOOD, Access, client
from tests.fakes import LOOPBACK, SOMEBODY, Backend, backend, run, server_tls

AUTHORITY = Authority("proxies")


async def carried(reader: StreamReader, writer: StreamWriter, port: int) -> None:
    """Bytes in both directions, to their end."""
    there, back = await asyncio.open_connection(LOOPBACK, port)

    async def pump(source: Any, sink: Any) -> None:
        while data := await source.read(65536):
            sink.write(data)

    pumps = [asyncio.create_task(pump(reader, back)), asyncio.create_task(pump(there, writer))]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in pumps:
            one.cancel()
        back.close()
        writer.close()


def http_proxy(port: int, seen: list[Any], tls: SSLContext | None = None) -> Backend:
    async def script(reader: StreamReader, writer: StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await carried(reader, writer, port)

    return Backend(script, tls)


def socks_proxy(port: int, seen: list[Any]) -> Backend:
    async def script(reader: StreamReader, writer: StreamWriter) -> None:
        _, methods = await reader.readexactly(2)
        method = max(await reader.readexactly(methods))
        writer.write(bytes((5, method)))
        if method == 2:
            _, length = await reader.readexactly(2)
            name = await reader.readexactly(length)
            password = await reader.readexactly((await reader.readexactly(1))[0])
            seen.append(name + b":" + password)
            writer.write(b"\x01\x00")
        _, _, _, kind = await reader.readexactly(4)
        length = (await reader.readexactly(1))[0] if kind == 3 else {1: 4, 4: 16}[kind]
        seen.append(await reader.readexactly(length))
        await reader.readexactly(2)
        writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
        await carried(reader, writer, port)

    return Backend(script)


KINDS = [  # (the proxy's URL, the proxy, what it was told first)
    pytest.param("http://{}", http_proxy, b"CONNECT kube.example:6443 HTTP/1.1\r\n", id="http"),
    pytest.param(
        "http://u:p%40@{}", http_proxy, b"CONNECT kube.example:6443 HTTP/1.1\r\n", id="http-with-a-password"
    ),
    pytest.param("https://{}", http_proxy, b"CONNECT kube.example:6443 HTTP/1.1\r\n", id="https"),
    pytest.param("socks5://{}", socks_proxy, b"kube.example", id="socks5"),
    pytest.param("socks5h://{}", socks_proxy, b"kube.example", id="socks5h"),
    pytest.param("socks5://u:p%40@{}", socks_proxy, b"u:p@", id="socks5-with-a-password"),
]


@pytest.mark.parametrize(("url", "made", "told"), KINDS)
@pytest.mark.parametrize("server_name", ["", "other.example"])
def test_through_a_proxy(url: str, made: Callable[..., Any], told: bytes, server_name: str) -> None:
    """The name is the proxy's to look up; the certificate is the API server's, also where it has another
    name.
    """
    seen: list[Any] = []
    tls = server_tls(AUTHORITY, server_name or "kube.example")

    async def main() -> Any:
        async with backend(GOOD, GOOD, tls=tls) as server:
            more = {"tls": server_tls(AUTHORITY)} if url.startswith("https:") else {}
            async with made(server.port, seen, **more) as proxy:
                access = Access(server.port, tls=client_context(AUTHORITY.pem, server_name=server_name))
                access.servers = ["https://kube.example:6443"]
                access.proxies = Proxies(url.format(f"{LOOPBACK}:{proxy.port}"))
                access.proxy_tls = client_context(AUTHORITY.pem)  # type: ignore[assignment]
                async with client(access) as api:
                    assert await api.get("/version", {}, SOMEBODY) == b"{}"
                    assert await api.list("/version", {}) == b"{}"
            return server.heads

    assert len(run(main())) == 2
    assert seen[0].startswith(told)
    if "http://u:" in url:
        assert b"\r\nProxy-Authorization: Basic dTpwQA==\r\n" in seen[0]


FAILURES = [
    pytest.param(
        "http",
        b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n",
        "407 Proxy Authentication Required",
        id="who-are-you",
    ),
    pytest.param("http", b"SSH-2.0-OpenSSH\r\n", "disconnected", id="no-http"),
    pytest.param(
        "socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "the proxy does not speak SOCKS 5", id="no-socks"
    ),
    pytest.param("socks5", b"\x05\xff", "Requested", id="no-way-to-log-in"),
    pytest.param("socks5", b"", "the proxy does not speak SOCKS 5", id="nothing"),
]


@pytest.mark.parametrize(("scheme", "answer", "said"), FAILURES)
def test_a_proxy_that_does_not_help_is_told_of(scheme: str, answer: bytes, said: str) -> None:
    async def script(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.read(4096)
        writer.write(answer)
        writer.close()

    async def main() -> Any:
        async with Backend(script) as proxy:
            access = Access(1, tls=client_context(AUTHORITY.pem))
            access.proxies = Proxies(f"{scheme}://{LOOPBACK}:{proxy.port}")
            async with client(access) as api:
                with pytest.raises(ApiError) as caught:
                    await api.get("/version", {}, SOMEBODY)
            return str(caught.value)

    assert said in run(main())


def test_each_api_server_has_its_own_way() -> None:
    async def main() -> Any:
        async with backend(GOOD) as near, backend(GOOD) as proxy:
            access = Access(near.port)
            access.servers = [f"http://{LOOPBACK}:{near.port}", "http://kube.example:6443"]
            access.proxies = Proxies(http=f"http://{LOOPBACK}:{proxy.port}")
            async with client(access) as api:
                assert await api.get("/near", {}, SOMEBODY) == b"{}"
                api._servers.refused(api._servers.current)
                assert await api.get("/far", {}, SOMEBODY) == b"{}"
            return [
                [head.split(b"\r\n")[0] for head in server.heads if b"/readyz" not in head]
                for server in (near, proxy)
            ]

    assert run(main()) == [[b"GET /near HTTP/1.1"], [b"GET http://kube.example:6443/far HTTP/1.1"]]
