"""The demo's cluster: its manifests, who may do what there, and workloads that answer at the addresses they
say.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import json
import random
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK

from bastion.demo.workloads import MANIFESTS, NETWORK, Workloads, demo_tokens, manifests_at
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.standalone.apiserver import ApiServer
from bastion.standalone.contents import contents
from bastion.standalone.manifests import load
from bastion.standalone.rbac import RBAC
from bastion.standalone.sources import BOOTSTRAP
from bastion.standalone.tokens import read_tokens, token_file
from tests.loopback import own_network
from tests.standalone.api import get
from tests.standalone.objects import write

HERE = own_network(76)  # what is asked is where it was moved to; beside it a demo may be running
FRONTENDS = (f"http://{HERE}.10:8080", f"http://{HERE}.11:8080")
ORDERS, TICKER, CHAT = f"https://{HERE}.20:8443", f"http://{HERE}.30:8080", f"ws://{HERE}.40:8080/"


@contextlib.asynccontextmanager
async def workloads() -> AsyncIterator[None]:
    with tempfile.TemporaryDirectory() as folder:
        async with Workloads(manifests_at(f"{HERE}.0/24", Path(folder))):
            yield


@contextlib.asynccontextmanager
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with workloads(), httpx.AsyncClient(verify=False, trust_env=False, timeout=60) as http:
        yield http


def test_the_frontends_say_which_of_them_answered() -> None:
    async def main() -> None:
        async with client() as http:
            for number, url in enumerate(FRONTENDS):
                page = await http.get(url)
                assert page.headers["content-type"] == "text/html; charset=utf-8"
                assert f"<strong>frontend-{number}</strong>" in page.text
                assert 'href="/headers"' in page.text
                assert (await http.get(f"{url}/healthz")).text == "ok\n"
                said = (
                    await http.post(f"{url}/headers?x=%2F", headers={"X-Sent": "yes"}, content=b"body")
                ).json()
                assert (said["pod"], said["method"], said["target"]) == (
                    f"frontend-{number}",
                    "POST",
                    "/headers?x=%2F",
                )
                assert ["X-Sent", "yes"] in said["headers"]
                assert (await http.get(f"{url}/nowhere")).status_code == 404
                head = await http.head(url)
                assert (head.headers["content-length"], head.content) == (str(len(page.content)), b"")

    asyncio.run(main())


def test_orders_speaks_tls_that_nobody_has_reason_to_trust() -> None:
    async def main() -> None:
        async with client() as http:
            assert (await http.get(f"{ORDERS}/orders")).json()["pod"] == "orders-0"
            assert (await http.get(f"{ORDERS}/healthz")).text == "ok\n"
            with pytest.raises(ssl.SSLCertVerificationError):
                await asyncio.open_connection(f"{HERE}.20", 8443, ssl=ssl.create_default_context())

    asyncio.run(main())


def test_ticker_ticks_and_counts() -> None:
    async def main() -> None:
        async with client() as http:
            assert 'ticker_up{pod="ticker-0"} 1' in (await http.get(f"{TICKER}/metrics")).text
            async with http.stream("GET", f"{TICKER}/events") as response:
                assert response.headers["content-type"] == "text/event-stream"
                lines = response.aiter_lines()
                data = [json.loads(line[6:]) async for line in _first(lines, "data: ", 2)]
            assert data == [{"pod": "ticker-0", "tick": 1}, {"pod": "ticker-0", "tick": 2}]

    asyncio.run(main())


@contextlib.asynccontextmanager
async def chatting(**more: Any) -> AsyncIterator[ClientConnection]:
    async with workloads(), connect(CHAT, proxy=None, **more) as socket:
        yield socket


@pytest.mark.parametrize("size", [0, 1, 113, 114, 125, 126, 65523, 65524, 65536, 1_000_000])
def test_chat_says_back_what_it_is_sent(size: int) -> None:
    async def main() -> None:
        async with chatting() as chat:
            for message in ("ä" * (size // 2) + "x" * (size % 2), random.Random(size).randbytes(size)):
                await chat.send(message)
                said = await chat.recv()
                assert said == ("chat-0: " + message if isinstance(message, str) else b"chat-0: " + message)

    asyncio.run(main())


def test_chat_answers_pings_also_within_a_message() -> None:
    async def main() -> None:
        async with chatting() as chat:
            await (await chat.ping(b"still there?"))

            async def pieces() -> AsyncIterator[str]:
                for piece in ("in ", "three ", "pieces"):
                    await (await chat.ping())
                    yield piece

            await chat.send(pieces())
            assert await chat.recv() == "chat-0: in three pieces"
            await chat.pong(b"unasked")
            await chat.send("and on")
            assert await chat.recv() == "chat-0: and on"

    asyncio.run(main())


@pytest.mark.parametrize("code", [1000, 1001, 4000])
def test_chat_closes_as_it_is_asked_to(code: int) -> None:
    async def main() -> None:
        async with chatting() as chat:
            await chat.close(code, "enough")
            assert chat.protocol.close_rcvd is not None
            assert chat.protocol.close_rcvd.code == code

    asyncio.run(main())


def test_chat_speaks_the_first_subprotocol_offered() -> None:
    async def main() -> None:
        async with chatting(subprotocols=["one", "two"]) as chat:
            assert chat.subprotocol == "one"

    asyncio.run(main())


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\x05hello",  # no mask
        b"\xc1\x80mask",  # an extension that nobody agreed on
        b"\x83\x80mask",  # no kind of frame
        b"\x80\x80mask",  # the rest of nothing
        b"\x01\x80mask\x81\x80mask",  # a message within a message
        b"\x82\xff" + (1 << 40).to_bytes(8, "big") + b"mask",  # too much
    ],
    ids=repr,
)
def test_chat_closes_on_what_is_no_websocket(sent: bytes) -> None:
    async def main() -> None:
        async with chatting() as chat:
            chat.transport.write(sent)
            with pytest.raises((ConnectionClosedError, ConnectionClosedOK)) as caught:
                await chat.recv()
            assert caught.value.rcvd is not None
            assert caught.value.rcvd.code == 1002

    asyncio.run(main())


def test_chat_tells_who_speaks_plain_http() -> None:
    async def main() -> None:
        async with client() as http:
            answer = await http.get(CHAT.replace("ws:", "http:"))
            assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")

    asyncio.run(main())


async def _first(lines: AsyncIterator[str], start: str, count: int) -> AsyncIterator[str]:
    async for line in lines:
        if line.startswith(start):
            yield line
            count -= 1
        if not count:
            return


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: 9999999\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"x" * 200_000,
    ],
)
def test_what_is_no_request_ends_the_connection(sent: bytes) -> None:
    async def main() -> None:
        async with client() as http:
            reader, writer = await asyncio.open_connection(f"{HERE}.10", 8080)
            writer.write(sent)
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b""
            writer.close()
            assert (await http.get(FRONTENDS[0])).status_code == 200

    asyncio.run(main())


def test_connections_are_kept_and_closed_as_asked() -> None:
    async def main() -> None:
        async with workloads():
            reader, writer = await asyncio.open_connection(f"{HERE}.10", 8080)
            writer.write(b"GET /healthz HTTP/1.1\r\n\r\nGET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n")
            assert (await reader.read()).count(b"\r\n\r\nok\n") == 2
            writer.close()

    asyncio.run(main())


def test_stopping_ends_what_still_streams_and_frees_the_ports() -> None:
    async def main() -> None:
        async with workloads():
            reader, writer = await asyncio.open_connection(f"{HERE}.30", 8080)
            writer.write(b"GET /events HTTP/1.1\r\n\r\n")
            await reader.readuntil(b"data")
        await reader.read()
        writer.close()
        async with workloads():
            pass

    asyncio.run(main())


def test_an_address_in_use_is_said_and_nothing_stays_open() -> None:
    async def main() -> None:
        with (
            socket.create_server((f"{HERE}.30", 8080)),
            pytest.raises(
                OSError, match=rf"the demo's pod ticker-0 cannot listen at {HERE}\.30:8080: .*in use"
            ),
        ):
            async with workloads():
                raise AssertionError("it started")
        async with workloads():
            pass

    asyncio.run(main())


# --- its manifests

OBJECTS = contents(load([MANIFESTS]).objects, load([BOOTSTRAP]).objects)


def test_all_addresses_are_of_the_demos_network() -> None:
    network = ipaddress.ip_network(NETWORK)
    pods = [object for key, object in OBJECTS.items() if key[0] == "pods"]
    assert len(pods) == 7
    for pod in pods:
        assert ipaddress.ip_address(pod["status"]["podIP"]) in network


@pytest.mark.parametrize(
    ("namespace", "service", "port", "behind"),
    [
        ("shop", "frontend", ("http", 80), ["127.77.0.10:8080", "127.77.0.11:8080"]),
        ("shop", "orders", ("https", 443), ["127.77.0.20:8443"]),
        ("shop", "chat", ("http", 80), ["127.77.0.40:8080"]),
        ("shop", "guestbook", ("http", 80), ["127.77.0.50:8080"]),
        ("shop", "noticeboard", ("http", 80), ["127.77.0.51:8080"]),
        ("monitoring", "ticker", ("http", 8080), ["127.77.0.30:8080"]),
    ],
)
def test_what_is_behind_each_service(
    namespace: str, service: str, port: tuple[str, int], behind: list[str]
) -> None:
    (declared,) = OBJECTS["services", namespace, service]["spec"]["ports"]
    assert (declared["name"], declared["port"]) == port
    (piece,) = [
        o
        for k, o in OBJECTS.items()
        if k[0] == "endpointslices" and o["metadata"]["labels"]["kubernetes.io/service-name"] == service
    ]
    assert all(endpoint["conditions"]["ready"] for endpoint in piece["endpoints"])
    assert [f"{e['addresses'][0]}:{piece['ports'][0]['port']}" for e in piece["endpoints"]] == behind


RIGHTS: list[tuple[str, str, str, str, bool]] = [
    ("alice", "get", "services/proxy", "shop", True),
    ("alice", "create", "pods/proxy", "shop", True),
    ("alice", "create", "services/proxy", "shop", True),
    ("alice", "delete", "services/proxy", "monitoring", True),
    ("alice", "get", "services/proxy", "default", False),
    ("alice", "get", "nodes/proxy", "", False),
    ("bob", "get", "services/proxy", "monitoring", True),
    ("bob", "create", "services/proxy", "monitoring", False),
    ("bob", "get", "pods/proxy", "monitoring", False),
    ("bob", "get", "services/proxy", "shop", False),
    ("bob", "list", "pods", "monitoring", False),
    ("carol", "list", "pods", "shop", True),
    ("carol", "list", "services", "monitoring", True),
    ("carol", "get", "services/proxy", "shop", False),
    ("carol", "get", "pods/proxy", "monitoring", False),
]


@pytest.mark.parametrize(("name", "verb", "resource", "namespace", "allowed"), RIGHTS)
def test_who_may_do_what(name: str, verb: str, resource: str, namespace: str, allowed: bool) -> None:
    user = User(name, groups=demo_tokens()[name][1])
    resource, _, subresource = resource.partition("/")
    asked = Attributes(verb, namespace=namespace, resource=resource, subresource=subresource, name="x")
    assert RBAC(OBJECTS.values()).authorize(user, asked)[0] is allowed


def test_tokens_are_made_anew_and_fit_the_token_file(tmp_path: Path) -> None:
    first, second = demo_tokens(), demo_tokens()
    assert list(first) == ["alice", "bob", "carol"]
    assert not {token for token, _ in first.values()} & {token for token, _ in second.values()}
    tokens = read_tokens(write(tmp_path / "tokens.csv", token_file(first)))
    assert {user.name: (token, user.groups) for token, user in tokens.items()} == first


def test_the_embedded_api_serves_the_demo(tmp_path: Path) -> None:
    tokens = demo_tokens()
    file = write(tmp_path / "tokens.csv", token_file(tokens))

    async def main() -> dict[str, Any]:
        async with ApiServer([MANIFESTS], file) as server:
            assert (await get(server, "/api/v1/namespaces/shop/pods", tokens["bob"][0])).status_code == 403
            found: dict[str, Any] = (
                await get(server, "/api/v1/namespaces/shop/pods", tokens["carol"][0])
            ).json()
            return found

    names = [item["metadata"]["name"] for item in asyncio.run(main())["items"]]
    assert names == ["chat-0", "frontend-0", "frontend-1", "guestbook-0", "noticeboard-0", "orders-0"]
