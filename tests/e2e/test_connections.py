"""Connections to backends: kept only after a clean exchange, a request sent again only where that is as good
as once.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.e2e.harness import DEAD, LIVE, Bastion, Place
from tests.e2e.wire import Visit, ask, assert_status, backend, client, request

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Exchange:
    """The first exchange on a connection: what is sent, what is answered, and whether the connection then
    serves the next.
    """

    answer: bytes
    kept: bool
    method: str = "GET"
    body: bytes | None = None
    lines: tuple[str, ...] = ()


EXCHANGES = {
    "a length": Exchange(OK, True),
    "chunks": Exchange(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", True),
    "chunks with trailers": Exchange(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-A: b\r\n\r\n", True
    ),
    "204": Exchange(b"HTTP/1.1 204 No Content\r\n\r\n", True),
    "304 with a length": Exchange(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", True),
    "HEAD": Exchange(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", True, "HEAD"),
    "a body sent": Exchange(OK, True, "POST", b"body"),
    "an error": Exchange(OK.replace(b"200 OK", b"500 Oh"), True),
    "an interim answer": Exchange(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, True, "POST", b"body"),
    "1.0 that keeps": Exchange(
        b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", True
    ),
    "1.0": Exchange(b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", False),
    "Connection: close": Exchange(
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", False
    ),
    "more than its length": Exchange(OK + b"surplus", False),
    "an answer nobody asked for": Exchange(OK + OK.replace(b"ok", b"!!"), False),
    "204 with a body": Exchange(b"HTTP/1.1 204 No Content\r\n\r\nbody", False),
    "HEAD with a body": Exchange(OK, False, "HEAD"),
    "304 with an answer behind it": Exchange(b"HTTP/1.1 304 Not Modified\r\n\r\n" + OK, False),
}


@pytest.mark.parametrize("first", EXCHANGES.values(), ids=EXCHANGES)
def test_a_connection_is_kept_after_a_clean_exchange_only(
    bastion: Bastion, pod: Place, first: Exchange
) -> None:
    async def main() -> None:
        async def serve(visit: Visit) -> None:
            await visit.message()
            await visit.send(first.answer if visit.number == 1 else OK)
            while True:
                await visit.message()
                await visit.answer(b"next on %d" % visit.number)

        async with backend(pod.address, serve) as behind, client(bastion) as wire:
            await wire.send(request(pod.path(), *first.lines, method=first.method, body=first.body))
            await wire.answer(first.method)
            await wire.send(request(pod.path()))
            assert (await wire.answer()).body == (b"next on 1" if first.kept else b"ok")
            assert len(behind.visits) == (1 if first.kept else 2)

    asyncio.run(main())


def test_a_connection_whose_request_was_not_taken_wholly_is_not_kept(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async def serve(visit: Visit) -> None:
            while True:
                await visit.head()
                await visit.answer(b"%d" % visit.number)

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path(), "Content-Length: 10", method="POST"), b"half!")
            assert (await wire.answer()).body == b"1"
            await wire.send(b"other", request(pod.path()))
            assert (await wire.answer()).body == b"2"

    asyncio.run(main())


def test_a_connection_whose_client_left_is_not_kept(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        freed = asyncio.Event()

        async def serve(visit: Visit) -> None:
            await visit.head()
            if visit.number == 1:
                await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                await visit.ended()
                freed.set()
            else:
                await visit.answer(b"%d" % visit.number)

        async with backend(pod.address, serve):
            async with client(bastion) as wire:
                await wire.send(request(pod.path()))
                await wire.head()
            await freed.wait()
            assert (await ask(bastion, request(pod.path()))).body == b"2"

    asyncio.run(main())


def test_one_connection_is_enough_for_clients_who_take_turns(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            for _ in range(10):
                assert (await ask(bastion, request(pod.path()))).status == 200
            assert len(behind.visits) == 1
            assert len(behind.requests) == 10

    asyncio.run(main())


# --- sent again


@dataclass(frozen=True)
class Again:
    """The request that meets a kept connection's death; `seen` are the heads that backends saw of it."""

    method: str
    code: int
    seen: int
    body: bytes | None = None
    before_dying: bytes = b""
    reset: bool = False


AGAIN = {
    "GET": Again("GET", 200, 2),
    "GET, reset": Again("GET", 200, 2, reset=True),
    "HEAD": Again("HEAD", 200, 2),
    "OPTIONS": Again("OPTIONS", 200, 2),
    "DELETE": Again("DELETE", 200, 2),
    "PUT, an empty body": Again("PUT", 200, 2, body=b""),
    "POST": Again("POST", 503, 1),
    "POST, an empty body": Again("POST", 503, 1, body=b""),
    "PATCH": Again("PATCH", 503, 1),
    "PUT, a body that is still held": Again("PUT", 200, 2, body=b"body"),
    "GET, a body that is still held": Again("GET", 200, 2, body=b"body"),
    "POST, a body": Again("POST", 503, 1, body=b"body"),
    "GET, a byte of the answer": Again("GET", 503, 1, before_dying=b"H"),
    "GET, half a head": Again("GET", 503, 1, before_dying=b"HTTP/1.1 200 OK\r\nContent-"),
}


@pytest.mark.parametrize("row", AGAIN.values(), ids=AGAIN)
def test_a_request_is_sent_again_only_where_that_is_as_good_as_once(
    bastion: Bastion, pod: Place, row: Again
) -> None:
    async def main() -> None:
        seen: list[str] = []

        async def serve(visit: Visit) -> None:
            if visit.number == 1:
                await visit.message()
                await visit.answer()
                seen.append((await visit.message()).start)
                await visit.send(row.before_dying)
                if row.reset:
                    visit.reset()
            else:
                seen.append((await visit.message()).start)
                await visit.answer()

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            assert (await wire.answer()).status == 200
            await wire.send(request(pod.path("/again"), method=row.method, body=row.body))
            answer = await wire.answer(row.method)
            assert answer.status == row.code
            assert bool(answer.all("X-Bastion-Error")) is (row.code == 503)
            assert seen == [f"{row.method} /again HTTP/1.1"] * row.seen

    asyncio.run(main())


def test_a_body_that_has_not_come_yet_can_still_be_sent(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        again = asyncio.Event()

        async def serve(visit: Visit) -> None:
            if visit.number == 1:
                await visit.message()
                await visit.answer()
                await visit.head()
            else:
                head = await visit.head()
                again.set()
                await visit.answer(await visit.body(head))

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            await wire.answer()
            await wire.send(request(pod.path(), "Content-Length: 4", method="PUT"))
            await again.wait()
            await wire.send(b"body")
            assert (await wire.answer()).body == b"body"

    asyncio.run(main())


def test_once_and_no_more(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async def serve(visit: Visit) -> None:
            await visit.message()
            if visit.number == 1:
                await visit.answer()
                await visit.message()

        async with backend(pod.address, serve) as behind, client(bastion) as wire:
            await wire.send(request(pod.path()))
            await wire.answer()
            await wire.send(request(pod.path()))
            assert_status(await wire.answer(), 503, "ServiceUnavailable")
            assert len(behind.visits) == 2

    asyncio.run(main())


def test_a_fresh_connection_that_dies_is_the_backends_answer(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async def serve(visit: Visit) -> None:
            await visit.message()

        async with backend(pod.address, serve) as behind:
            answer = await ask(bastion, request(pod.path()))
            assert_status(answer, 503, "ServiceUnavailable")
            assert "closed the connection before it answered" in answer.json()["message"]
            assert len(behind.visits) == 1

    asyncio.run(main())


# --- another endpoint


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_dial_that_fails_tries_the_next_endpoint(bastion: Bastion, method: str) -> None:
    """Nothing was sent, so any request may go elsewhere; each of these needs a dial."""
    pair = Place("pair", LIVE, "services")

    async def main() -> None:
        async def serve(visit: Visit) -> None:
            message = await visit.message()
            await visit.answer(message.body, "Connection: close")

        async with backend(LIVE, serve) as behind:
            for number in range(10):
                answer = await ask(bastion, request(pair.path(port=80), method=method, body=b"%d" % number))
                assert (answer.status, answer.body) == (200, b"%d" % number)
                line = await asyncio.to_thread(bastion.line, answer.one("Audit-Id"))
                assert line["endpoint"] == f"{LIVE}:8080"
            assert len(behind.visits) == 10
        answer = await ask(bastion, request(pair.path(port=80)))
        assert_status(answer, 503, "ServiceUnavailable")
        assert (
            DEAD in answer.json()["message"]
            or LIVE in answer.json()["message"]
            or "every endpoint" in answer.json()["message"]
        )

    asyncio.run(main())
