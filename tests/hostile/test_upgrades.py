"""Backends that agree to an upgrade, or seem to.

What happens to an open stream is in tests/tunnel.

Each defect has its repair beside it: then the two ends talk to each other.
"""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from tests.e2e.harness import ALICE, Bastion, Place
from tests.e2e.wire import GONE, Visit, assert_status, backend, client, request
from tests.tunnel.ends import WEBSOCKET, frame, tunnel

BEHIND = b"GET /smuggled HTTP/1.1\r\nHost: h\r\nX-Smuggled: 1\r\n\r\n"
ACCEPT = b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\n"
YES = SWITCH + b"Upgrade: websocket\r\nConnection: Upgrade\r\n" + ACCEPT + b"\r\n"


class Answering:
    """Answers an upgrade with these bytes, and keeps what comes behind its head.

    `left`: the bastion closed the connection.
    """

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.left = asyncio.Event()
        self.behind = b""

    async def __call__(self, visit: Visit) -> None:
        try:
            await visit.head()
            with contextlib.suppress(*GONE):
                await visit.send(self._answer)
            self.behind = await visit.ended()
        finally:
            self.left.set()


# --- a refusal, or a switch to nothing (CVE-2018-1002105): what came behind the request is nobody's

REFUSALS = {
    "400": (b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno", 400),
    "200": (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200),
    "101 with a length": (SWITCH + b"Content-Length: 5\r\n\r\nhello", 503),
}


@pytest.mark.parametrize(("answer", "status"), REFUSALS.values(), ids=REFUSALS)
def test_what_comes_behind_a_refused_upgrade_is_read_by_nobody(
    bastion: Bastion, pod: Place, answer: bytes, status: int
) -> None:
    async def main() -> None:
        serve = Answering(answer)
        async with backend(pod.address, serve) as behind, client(bastion) as wire:
            await wire.send(request(pod.path("/ws"), *WEBSOCKET) + BEHIND)
            raw = await wire.ended()
            assert raw.count(b"HTTP/1.1 ") == 1
            assert int(raw.split(b" ")[1]) == status
            await serve.left.wait()
            assert serve.behind == b""
            assert len(behind.visits) == 1

    asyncio.run(main())


# --- a 101 that is none

BAD = {
    "without Upgrade": SWITCH + b"\r\n",
    "to another protocol": SWITCH + b"Upgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
    "with a wrong key": YES.replace(b"s3pP", b"AAAA"),
    "in HTTP/1.0": b"HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    + ACCEPT
    + b"\r\n",
    "without end": SWITCH + b"X: a\r\n" * 100_000,
}


@pytest.mark.parametrize("answer", BAD.values(), ids=BAD)
def test_a_switch_that_is_none_is_an_error(bastion: Bastion, pod: Place, answer: bytes) -> None:
    async def main() -> None:
        serve = Answering(answer)
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path("/ws"), *WEBSOCKET))
            assert_status(await wire.answer(), 503, "ServiceUnavailable")
            await serve.left.wait()

    asyncio.run(main())


def test_up_040_a_backend_that_never_answers_is_a_504(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        serve = Answering(b"")
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path("/ws"), *WEBSOCKET))
            assert_status(await wire.answer(), 504)
            await serve.left.wait()

    asyncio.run(main())


# --- the twins


async def _echo(visit: Visit) -> None:
    await visit.head()
    await visit.send(YES)
    while data := await visit.reader.read(65536):
        await visit.send(data)


def test_a_switch_as_it_was_asked_for_joins_the_two(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address, _echo), tunnel(bastion, pod.path("/ws")) as stream:
            await stream.echoes()

    asyncio.run(main())


def test_up_026_what_came_early_arrives_behind_the_switch(bastion: Bastion, pod: Place) -> None:
    """CVE-2025-64763: held until the backend has agreed, then delivered."""
    early = frame(2, b"early", mask=b"mask")
    agreed = asyncio.Event()

    async def serve(visit: Visit) -> None:
        await visit.head()
        with contextlib.suppress(asyncio.TimeoutError):
            raise AssertionError(await asyncio.wait_for(visit.reader.read(1), 0.2))
        agreed.set()
        await visit.send(YES)
        await visit.send(await visit.reader.readexactly(len(early)))

    async def main() -> None:
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path("/ws"), *WEBSOCKET) + early)
            assert (await wire.head()).status == 101
            assert agreed.is_set()
            assert await wire.reader.readexactly(len(early)) == early

    asyncio.run(main())


def test_up_036_the_fields_of_a_switch_are_those_of_any_answer(bastion: Bastion, pod: Place) -> None:
    fields = b'Set-Cookie: __Host-bastion_session=evil; Path=/; Secure\r\nClear-Site-Data: "*"\r\n'

    async def main() -> None:
        async with backend(pod.address, Answering(YES[:-2] + fields + b"\r\n")), client(bastion) as wire:
            await wire.send(request(pod.path("/ws"), *WEBSOCKET, token=ALICE))
            answer = await wire.head()
            assert answer.status == 101
            assert not answer.names() & {"set-cookie", "clear-site-data"}

    asyncio.run(main())
