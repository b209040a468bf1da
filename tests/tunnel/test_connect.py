"""CONNECT and forward-proxy requests, as the clients that people have make them."""

from __future__ import annotations

import asyncio
import base64
import functools
import shutil
import socket
import ssl
import subprocess
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bastion.network.sockets import linger_none
from tests.e2e.harness import ALICE, BOB, PORT, Bastion, Cluster, Place, serving
from tests.e2e.wire import Visit, backend
from tests.http2 import frames as f
from tests.http2.client import client

CURL, GIT = shutil.which("curl"), shutil.which("git")


@pytest.fixture(scope="module")
def proxy(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    folder = tmp_path_factory.mktemp("proxy")
    with serving(cluster, folder, "--enable-tunnels") as running:
        yield running


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **more: Any) -> None:
        asyncio.run(test(*args, **more))

    return run


async def asked(bastion: Bastion, head: bytes, *, half: bytes | None = None) -> bytes:
    """All that comes back for these bytes, and `half` once 200 has come."""

    def talk() -> bytes:
        with socket.create_connection(("127.0.0.1", bastion.port)) as plain:
            plain.settimeout(10)
            with bastion.trust.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
                tls.sendall(head)
                got = tls.recv(65536)
                if half is not None:
                    tls.sendall(half)
                try:
                    while data := tls.recv(65536):
                        got += data
                except (TimeoutError, ssl.SSLError, ConnectionError):
                    pass
                return got

    return await asyncio.to_thread(talk)


def connect(authority: str, token: str = ALICE, *, more: bytes = b"") -> bytes:
    field = f"Proxy-Authorization: Bearer {token}\r\n" if token else ""
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{field}\r\n".encode() + more


async def repeat(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that speaks first, and then repeats one message."""
    writer.write(b"hello ")
    writer.write(await reader.read(1000))
    await writer.drain()
    writer.close()


@awaited
async def test_a_tunnel_carries_bytes_and_leaves_one_record(proxy: Bastion, pod: Place) -> None:
    async with await asyncio.start_server(repeat, pod.address, 7000):
        got = await asked(proxy, connect(f"{pod.name}.default.pod:7000"), half=b"there")
    head, _, rest = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 Connection established\r\n")
    assert b"content-length" not in head.lower() and b"transfer-encoding" not in head.lower()
    assert rest == b"hello there"
    audit_id = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])[b"Audit-Id"].decode()
    line = await asyncio.to_thread(proxy.line, audit_id)
    assert (line["verb"], line["name"], line["user"]) == ("create", f"{pod.name}:7000", "alice")
    assert (line["bytesIn"], line["bytesOut"]) == (5, 11)


async def break_off(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that resets in the middle of what it says."""
    await reader.read(1)
    writer.write(b"half a")
    await writer.drain()
    await asyncio.sleep(0.1)
    linger_none(writer.get_extra_info("socket"))
    writer.transport.abort()


@pytest.mark.parametrize(("serve", "cut"), [(break_off, True), (repeat, False)])
@awaited
async def test_a_reset_is_no_end(
    proxy: Bastion, pod: Place, serve: Callable[..., Coroutine[Any, Any, None]], cut: bool
) -> None:
    def talk() -> tuple[bytes, bool]:
        """(what came, whether it broke off without close_notify)"""
        with socket.create_connection(("127.0.0.1", proxy.port)) as plain:
            plain.settimeout(10)
            with proxy.trust.wrap_socket(
                plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False
            ) as tls:
                tls.sendall(connect(f"{pod.name}.default.pod:7000"))
                got = tls.recv(65536)
                tls.sendall(b"x")
                try:
                    while data := tls.recv(65536):
                        got += data
                except ssl.SSLEOFError:
                    return got, True
                return got, False

    async with await asyncio.start_server(serve, pod.address, 7000):
        got, broke = await asyncio.to_thread(talk)
    assert got.endswith(b"half a" if cut else b"hello x") and broke is cut


@pytest.mark.parametrize(("serve", "end"), [(break_off, "CONNECT_ERROR"), (repeat, "whole")])
@awaited
async def test_a_reset_is_no_end_over_http2(
    proxy: Bastion, pod: Place, serve: Callable[..., Coroutine[Any, Any, None]], end: str
) -> None:
    asked = [(":method", "CONNECT"), (":authority", f"{pod.name}.default.pod:7000")]
    asked.append(("proxy-authorization", f"Bearer {ALICE}"))
    async with await asyncio.start_server(serve, pod.address, 7000), client(proxy.port) as one:
        stream = one.stream()
        await one.say(f.headers(stream, asked, end=False), f.data(stream, b"x"))
        answer = one.reader.answer(stream)
        await one.until(lambda: answer.end)
        assert (answer.status, answer.end) == (200, end)


BEHIND = b"GET /.bastion/livez HTTP/1.1\r\nHost: h\r\n\r\n"
REFUSALS = [
    ("live.default.pod:8080", "", 407),
    ("live.default.pod:8080", "guessed", 407),
    ("live.default.pod:8080", BOB, 403),
    ("127.0.0.1:22", ALICE, 400),
    ("example.com:443", ALICE, 400),
    ("nothere.default.pod:1", ALICE, 404),
    ("two-ports.default.svc:9", ALICE, 404),
    ("nobody.default.svc:80", ALICE, 503),
    ("dead.default.pod:8080", ALICE, 503),
]


@pytest.mark.parametrize(("authority", "token", "code"), REFUSALS)
@awaited
async def test_what_follows_a_refused_connect_is_no_request(
    proxy: Bastion, authority: str, token: str, code: int
) -> None:
    got = await asked(proxy, connect(authority, token, more=BEHIND))
    assert got.startswith(b"HTTP/1.1 %d " % code) and got.count(b"HTTP/1.1 ") == 1
    assert (b"Proxy-Authenticate: Basic" in got) == (b"Proxy-Authenticate: Bearer" in got) == (code == 407)
    assert b"WWW-Authenticate" not in got


@awaited
async def test_an_ordinary_request_shows_nothing_to_a_proxy(proxy: Bastion) -> None:
    path = "/api/v1/namespaces/default/pods/live/proxy/"
    shown = {"Proxy-Authorization": f"Bearer {ALICE}"}
    with proxy.http("") as http:
        answer = await asyncio.to_thread(functools.partial(http.get, path, headers=shown))
    assert answer.status_code == 401 and "proxy-authenticate" not in answer.headers


@pytest.mark.parametrize("url", ["http://example.com/", "http://127.0.0.1:22/", "http://bastion.test/livez"])
@awaited
async def test_a_url_of_no_target_is_refused_by_the_proxy_alone(proxy: Bastion, url: str) -> None:
    head = f"GET {url} HTTP/1.1\r\nHost: bastion.test\r\n"
    got = await asked(proxy, f"{head}Proxy-Authorization: Bearer {ALICE}\r\n\r\n".encode())
    assert got.startswith(b"HTTP/1.1 400 ") and b"names no target" in got
    assert (await asked(proxy, f"{head}\r\n".encode())).startswith(b"HTTP/1.1 407 ")


@awaited
async def test_without_the_flag_the_refusal_names_it(bastion: Bastion) -> None:
    got = await asked(bastion, connect("live.default.pod:8080", more=BEHIND))
    assert got.startswith(b"HTTP/1.1 403 ") and b"--enable-tunnels" in got
    assert (await asked(bastion, connect("live.default.pod:8080", BOB, more=BEHIND))).count(
        b"enable-tun"
    ) == 0


async def say(visit: Visit) -> None:
    message = await visit.message()
    await visit.answer(message.start.removesuffix(" HTTP/1.1").encode())


@awaited
async def test_httpx_asks_for_a_url(proxy: Bastion, pod: Place) -> None:
    way = httpx.Proxy(proxy.url, auth=("x", ALICE), ssl_context=proxy.trust)
    async with backend(pod.address, say), httpx.AsyncClient(proxy=way, trust_env=False) as http:
        answer = await http.get(f"http://{pod.name}.default.pod:{PORT}/a//b?c")
    assert answer.text == "GET /a//b?c"


@pytest.mark.skipif(CURL is None, reason="curl is not installed")
@pytest.mark.parametrize("how", [(), ("-p",), ("--proxy-anyauth",), ("-p", "--proxy-anyauth")])
@awaited
async def test_curl_through_the_proxy(proxy: Bastion, pod: Place, how: tuple[str, ...]) -> None:
    async with backend(pod.address, say):
        command = [str(CURL), "-sS", "--proxy-cacert", str(proxy.cluster.ca), "-x", proxy.url]
        command += ["--proxy-user", f"x:{ALICE}", *how, f"http://{pod.name}.default.pod:{PORT}/x"]
        ran = await asyncio.to_thread(subprocess.run, command, capture_output=True)
    assert ran.stdout == b"GET /x", ran.stderr


@pytest.mark.skipif(GIT is None, reason="git is not installed")
@awaited
async def test_git_clones_over_the_proxy(proxy: Bastion, pod: Place, tmp_path: Path) -> None:
    source = tmp_path / "r.git"
    git = [str(GIT), "-c", "user.name=a", "-c", "user.email=a@b.test"]
    for words in (
        ["init", "-q", "-b", "main", str(source)],
        ["-C", str(source), "commit", "-q", "--allow-empty", "-m", "one"],
        ["-C", str(source), "update-server-info"],
    ):
        subprocess.run([*git, *words], check=True, capture_output=True)

    async def files(visit: Visit) -> None:
        target = (await visit.message()).start.split()[1]
        file = source / ".git" / target.partition("?")[0].removeprefix("/r.git/")
        known = file.is_file()
        await visit.answer(file.read_bytes() if known else b"", status="200 OK" if known else "404 Not Found")

    to = proxy.url.replace("https://", f"https://x:{ALICE}@")
    async with backend(pod.address, files):
        ran = await asyncio.to_thread(
            subprocess.run,
            [
                *git,
                "-c",
                f"http.proxy={to}",
                "-c",
                f"http.proxySSLCAInfo={proxy.cluster.ca}",
                "clone",
                "-q",
                f"http://{pod.name}.default.pod:{PORT}/r.git",
                str(tmp_path / "clone"),
            ],
            capture_output=True,
        )
    assert ran.returncode == 0, ran.stderr


def test_basic_has_the_token_as_password(proxy: Bastion) -> None:
    from bastion.authn.bearer import proxy_credentials

    def shown(pair: str) -> str | None:
        value = b"Basic " + base64.b64encode(pair.encode())
        return proxy_credentials([(b"proxy-authorization", b"Proxy-Authorization", value)]).token

    assert shown("x:token") == shown(":token") == "token"
