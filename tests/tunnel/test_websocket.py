"""The `websockets` package at both ends: what it can say arrives as it was said."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.http11 import Request, Response

from tests.e2e.harness import ALICE, BOB, CAROL, Bastion, Place
from tests.tunnel.ends import noise, place

MIB = 1 << 20
LARGEST = 16 * MIB

Handler = Callable[[ServerConnection], Awaitable[None]]

every_way = pytest.mark.parametrize(
    ("client_tls", "backend_tls"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "tls-plain", "plain-tls", "tls"],
)


async def echo(socket: ServerConnection) -> None:
    async for message in socket:
        await socket.send(message)


@dataclass(slots=True)
class Talk:
    """A client through the bastion to a server at a pod; `asked` are the handshakes that arrived there."""

    bastion: Bastion
    path: str
    client_tls: bool
    asked: list[Request] = field(default_factory=list)

    @contextlib.asynccontextmanager
    async def client(
        self, rest: str = "", *, token: str = ALICE, **more: Any
    ) -> AsyncIterator[ClientConnection]:
        scheme, port = ("wss", self.bastion.port) if self.client_tls else ("ws", self.bastion.plain_port)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        settings: dict[str, Any] = {"proxy": None, "max_size": LARGEST, "additional_headers": headers} | more
        if self.client_tls:
            settings["ssl"] = self.bastion.trust
        async with connect(f"{scheme}://127.0.0.1:{port}{self.path}{rest}", **settings) as socket:
            yield socket

    def remember(self, socket: ServerConnection, request: Request) -> None:
        self.asked.append(request)


@contextlib.asynccontextmanager
async def talking(
    bastion: Bastion,
    pod: Place,
    handler: Handler = echo,
    *,
    client_tls: bool = True,
    backend_tls: bool = False,
    **more: Any,
) -> AsyncIterator[Talk]:
    path, where = place(pod, bastion, backend_tls)
    talk = Talk(bastion, path, client_tls)
    settings: dict[str, Any] = {"max_size": LARGEST, "process_request": talk.remember} | where | more
    async with serve(handler, pod.address, **settings):
        yield talk


# --- messages


@every_way
def test_messages_of_every_size(bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool) -> None:
    async def main() -> None:
        async with (
            talking(bastion, pod, client_tls=client_tls, backend_tls=backend_tls, compression=None) as talk,
            talk.client(compression=None) as socket,
        ):
            for size in (0, 1, 125, 126, 127, 16384, 65535, 65536, MIB + 1, LARGEST):
                message = noise(size)
                await socket.send(message)
                assert await socket.recv() == message
                text = "grüße "[:size] + "x" * max(0, size // 2 - 6)
                await socket.send(text)
                assert await socket.recv() == text

    asyncio.run(main())


def test_messages_of_16_mib_both_ways_at_once(bastion: Bastion, pod: Place) -> None:
    there, back = noise(LARGEST, 1), noise(LARGEST, 2)
    arrived = asyncio.Queue[Any]()

    async def both(socket: ServerConnection) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(socket.send(back))
            arrived.put_nowait(await socket.recv())
        await socket.wait_closed()

    async def main() -> None:
        async with (
            talking(bastion, pod, both, compression=None) as talk,
            talk.client(compression=None) as socket,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(socket.send(there))
            assert await socket.recv() == back
            assert await arrived.get() == there

    asyncio.run(main())


def test_compression_is_agreed_on_between_the_ends(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with talking(bastion, pod, compression="deflate") as talk:
            async with talk.client(compression="deflate") as socket:
                assert socket.response is not None
                assert socket.response.headers["Sec-WebSocket-Extensions"].startswith("permessage-deflate")
                assert "permessage-deflate" in talk.asked[0].headers["Sec-WebSocket-Extensions"]
                for message in ("compressible " * 100_000, noise(100_000), "", "x" * LARGEST):
                    await socket.send(message)
                    assert await socket.recv() == message
                audit_id = socket.response.headers["Audit-Id"]
            line = await asyncio.to_thread(bastion.line, audit_id)
            assert 100_000 < line["bytesIn"] < MIB  # what was moved were the frames, not what is in them
            assert 100_000 < line["bytesOut"] < MIB

    asyncio.run(main())


def test_a_message_in_pieces_arrives_in_the_same_pieces(bastion: Bastion, pod: Place) -> None:
    async def back(socket: ServerConnection) -> None:
        await socket.send([piece async for piece in socket.recv_streaming() if piece])

    async def main() -> None:
        async with (
            talking(bastion, pod, back, compression=None) as talk,
            talk.client(compression=None) as socket,
        ):
            said = ["one", "two " * 5000, "three", "four " * 50_000]
            await socket.send(said)
            assert [piece async for piece in socket.recv_streaming() if piece] == said

    asyncio.run(main())


@pytest.mark.parametrize("payload", [b"", b"x", bytes(range(125))], ids=len)
def test_pings_are_answered_by_the_far_end(bastion: Bastion, pod: Place, payload: bytes) -> None:
    async def ping_back(socket: ServerConnection) -> None:
        await (await socket.ping(payload))
        await socket.send("answered")
        await socket.wait_closed()

    async def main() -> None:
        async with talking(bastion, pod, ping_back) as talk, talk.client() as socket:
            await (await socket.ping(payload))
            assert await socket.recv() == "answered"

    asyncio.run(main())


def test_fifty_talk_at_once(bastion: Bastion, pod: Place) -> None:
    async def one(talk: Talk, number: int) -> None:
        async with talk.client() as socket:
            for round in range(20):
                await socket.send(f"{number}: {round}" + "." * number * 50)
            for round in range(20):
                assert await socket.recv() == f"{number}: {round}" + "." * number * 50

    async def main() -> None:
        async with talking(bastion, pod) as talk, asyncio.TaskGroup() as group:
            for number in range(50):
                group.create_task(one(talk, number))

    asyncio.run(main())


# --- the end

CODES = [
    (1000, ""),
    (1000, "done"),
    (1001, "going"),
    (1008, "policy"),
    (1011, "x" * 123),
    (3000, "registered"),
    (4999, "ours"),
]


@every_way
def test_the_client_closes_with_a_code(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool
) -> None:
    closed = asyncio.Queue[tuple[int | None, str | None]]()

    async def handler(socket: ServerConnection) -> None:
        await socket.wait_closed()
        closed.put_nowait((socket.close_code, socket.close_reason))

    async def main() -> None:
        async with talking(bastion, pod, handler, client_tls=client_tls, backend_tls=backend_tls) as talk:
            for code, reason in CODES:
                async with talk.client() as socket:
                    await socket.close(code, reason)
                    assert socket.close_code == code
                assert await closed.get() == (code, reason)

    asyncio.run(main())


@every_way
def test_the_server_closes_with_a_code(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool
) -> None:
    codes = iter(CODES)

    async def handler(socket: ServerConnection) -> None:
        code, reason = next(codes)
        await socket.send("the last word")
        await socket.close(code, reason)

    async def main() -> None:
        async with talking(bastion, pod, handler, client_tls=client_tls, backend_tls=backend_tls) as talk:
            for code, reason in CODES:
                async with talk.client() as socket:
                    assert await socket.recv() == "the last word"
                    await socket.wait_closed()
                    assert (socket.close_code, socket.close_reason) == (code, reason)

    asyncio.run(main())


@every_way
def test_a_server_that_dies_is_no_clean_end(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool
) -> None:
    async def handler(socket: ServerConnection) -> None:
        await socket.send("the last word")
        await socket.recv()
        socket.transport.abort()

    async def main() -> None:
        async with (
            talking(bastion, pod, handler, client_tls=client_tls, backend_tls=backend_tls) as talk,
            talk.client() as socket,
        ):
            assert await socket.recv() == "the last word"
            await socket.send("heard")
            with pytest.raises(ConnectionClosedError):
                await socket.recv()
            assert socket.close_code == 1006

    asyncio.run(main())


def test_the_record_of_a_stream(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with talking(bastion, pod, compression=None) as talk:
            async with talk.client("secrets?token=hunter2", compression=None) as socket:
                await socket.send(b"x" * 1000)
                await socket.recv()
                assert socket.response is not None
            line = await asyncio.to_thread(bastion.line, socket.response.headers["Audit-Id"])
            assert (line["code"], line["user"], line["verb"], line["name"]) == (
                101,
                "alice",
                "get",
                f"{pod.name}:8080",
            )
            assert pod.address in line["endpoint"]
            assert 1000 < line["bytesIn"] < 1100
            assert 1000 < line["bytesOut"] < 1100
            assert "hunter2" not in str(line)
            assert "outcome" not in line  # they ended by themselves

    asyncio.run(main())


# --- the handshake


def test_path_and_query_arrive_as_they_were_written(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with talking(bastion, pod) as talk:
            for rest in ("", "a%2Fb/../c?x=%20&y=z", "?only=query", "//double//"):
                async with talk.client(rest):
                    assert talk.asked[-1].path == "/" + rest

    asyncio.run(main())


def test_who_the_client_is_is_told_and_its_credential_is_not(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with (
            talking(bastion, pod) as talk,
            talk.client(origin="https://elsewhere.test", user_agent_header="ours"),
        ):
            headers = talk.asked[0].headers
            assert headers["X-Forwarded-For"] == "127.0.0.1"
            assert headers["X-Forwarded-Proto"] == "https"
            assert headers["Origin"] == "https://elsewhere.test"
            assert headers["User-Agent"] == "ours"
            assert headers["Host"] == f"127.0.0.1:{bastion.port}"
            assert "Authorization" not in headers
            assert ALICE not in str(headers)

    asyncio.run(main())


@pytest.mark.parametrize(("known", "chosen"), [(["one"], "one"), (["two", "one"], None), (["three"], None)])
def test_a_subprotocol_is_chosen_by_the_server(
    bastion: Bastion, pod: Place, known: list[str], chosen: str | None
) -> None:
    async def main() -> None:
        async with (
            talking(
                bastion, pod, subprotocols=known, select_subprotocol=None if chosen else lambda *_: None
            ) as talk,
            talk.client(subprotocols=["one", "two"]) as socket,
        ):
            assert socket.subprotocol == chosen
            assert talk.asked[0].headers["Sec-WebSocket-Protocol"].replace(" ", "") == "one,two"

    asyncio.run(main())


def as_subprotocol(token: str) -> str:
    return "base64url.bearer.authorization.k8s.io." + base64.urlsafe_b64encode(
        token.encode()
    ).decode().rstrip("=")


@pytest.mark.parametrize("header", [False, True], ids=["alone", "beside a header"])
def test_a_token_among_the_subprotocols(bastion: Bastion, pod: Place, header: bool) -> None:
    """A browser can set no header; and whoever sets one beside it keeps the other from the backend all the
    same.
    """

    async def main() -> None:
        async with talking(bastion, pod, subprotocols=["chat"]) as talk:
            offered = [as_subprotocol(ALICE), "chat"]
            async with talk.client(token=ALICE if header else "", subprotocols=offered) as socket:
                assert socket.subprotocol == "chat"
                await socket.send("hello")
                assert await socket.recv() == "hello"
            assert talk.asked[0].headers["Sec-WebSocket-Protocol"] == "chat"
            assert ALICE not in str(talk.asked[0].headers)
            assert as_subprotocol(ALICE) not in str(talk.asked[0].headers)

    asyncio.run(main())


def test_a_credential_for_the_bastion_alone_leaves_the_other_to_the_server(
    bastion: Bastion, pod: Place
) -> None:
    async def main() -> None:
        headers = {
            "X-Bastion-Authorization": f"Bearer {ALICE}",
            "Authorization": "Bearer for-the-application",
        }
        async with talking(bastion, pod) as talk, talk.client(token="", additional_headers=headers):
            assert talk.asked[0].headers["Authorization"] == "Bearer for-the-application"
            assert ALICE not in str(talk.asked[0].headers)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("token", "offered", "status"),
    [
        ("", [], 401),
        ("", ["chat"], 401),
        ("", [as_subprotocol("nobody's"), "chat"], 401),
        ("", [as_subprotocol(ALICE)], 401),
        ("", [as_subprotocol(ALICE) + "+", "chat"], 401),
        ("", [as_subprotocol(ALICE), as_subprotocol(ALICE), "chat"], 401),
        ("nobody's", [], 401),
        (CAROL, [], 403),
        (BOB, [], 403),  # who may read services, and this is a pod
        ("", [as_subprotocol(CAROL), "chat"], 403),
        (CAROL, [as_subprotocol(ALICE), "chat"], 403),
    ],
)
def test_who_may_not_is_refused_and_the_server_hears_nothing(
    bastion: Bastion, pod: Place, token: str, offered: list[str], status: int
) -> None:
    async def main() -> None:
        async with talking(bastion, pod) as talk:
            with pytest.raises(InvalidStatus) as caught:
                async with talk.client(token=token, subprotocols=offered or None):
                    raise AssertionError("it was let in")
            assert caught.value.response.status_code == status
            assert not talk.asked

    asyncio.run(main())


def test_a_refusal_of_the_server_is_passed_on_whole(bastion: Bastion, pod: Place) -> None:
    def refuse(socket: ServerConnection, request: Request) -> Response:
        response = socket.respond(418, "short and stout\n")
        response.headers["X-Why"] = "a teapot"
        return response

    async def main() -> None:
        async with talking(bastion, pod, process_request=refuse) as talk:
            with pytest.raises(InvalidStatus) as caught:
                async with talk.client():
                    raise AssertionError("it was let in")
            response = caught.value.response
            assert (response.status_code, response.headers["X-Why"], response.body) == (
                418,
                "a teapot",
                b"short and stout\n",
            )

    asyncio.run(main())
