"""What is a watch, and where does a call go when one of several API servers is away?

Over real connections.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from bastion.cluster.client import ApiClient
from bastion.cluster.errors import ApiError
from tests.cluster.access import GOOD, Access, answer, client
from tests.fakes import SOMEBODY, Backend, backend, reset, run, until


def stream(*pieces: Any, then: str = "close") -> Backend:
    async def script(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for piece in pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0.001)
        if then == "close":
            writer.write(b"0\r\n\r\n")
        elif then == "reset":
            reset(writer)
        else:
            await asyncio.Event().wait()

    return Backend(script)


async def watched(api: ApiClient, seen: list[Any]) -> None:
    async with contextlib.aclosing(api.watch("/x", {"watch": "true"})) as lines:
        assert await anext(lines) == b"", "it has begun"
        async for line in lines:
            seen.append(line)


WATCHES = [
    pytest.param([b"a\nb\n", b"c\n"], [b"a", b"b", b"c"], id="lines"),
    pytest.param([b"a", b"b\nc", b"\n"], [b"ab", b"c"], id="lines-in-pieces"),
    pytest.param([b"\n\na\n\n"], [b"a"], id="empty-lines"),
    pytest.param([b"a\nb"], [b"a"], id="a-line-without-its-end-is-none"),
    pytest.param([], [], id="nothing"),
]


@pytest.mark.parametrize(("pieces", "lines"), WATCHES)
def test_a_watch_is_its_lines(pieces: list[bytes], lines: list[bytes]) -> None:
    async def main() -> Any:
        seen: list[Any] = []
        async with stream(*pieces) as server, client(Access(server.port)) as api:
            await watched(api, seen)
        return seen

    assert run(main()) == lines


BROKEN = [
    pytest.param("reset", {}, id="reset"),
    pytest.param("wait", {"watch_silence": 0.1}, id="silence"),
]


@pytest.mark.parametrize(("then", "options"), BROKEN)
def test_a_watch_that_breaks_or_falls_silent_is_an_error_after_its_lines(
    then: str, options: dict[str, float]
) -> None:
    async def main() -> Any:
        seen: list[Any] = []
        async with stream(b"a\n", then=then) as server, client(Access(server.port), **options) as api:  # type: ignore[arg-type]
            with pytest.raises(ApiError) as caught:
                await watched(api, seen)
        return seen, caught.value.status

    assert run(main()) == ([b"a"], 0)


def test_an_event_without_end_is_an_error() -> None:
    async def main() -> None:
        async with stream(*[b"x" * (1 << 20)] * 9) as server, client(Access(server.port)) as api:
            with pytest.raises(ApiError, match="larger than"):
                await watched(api, [])

    run(main())


# --- several API servers


def test_a_call_goes_on_at_another_server_where_the_first_one_refuses_connections() -> None:
    async def main() -> None:
        async with backend(GOOD) as away, backend(GOOD, GOOD, GOOD, GOOD) as other:
            dead = away.port
        async with backend(*[GOOD] * 20) as other, client(Access(dead, other.port)) as api:
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"
            assert await api.get("/y", {}, SOMEBODY) == b"{}"

    run(main())


def test_a_call_goes_on_at_another_server_where_the_first_one_fails() -> None:
    async def main() -> None:
        async with (
            backend(*[answer(503)] * 20) as ill,
            backend(*[GOOD] * 20) as well,
            client(Access(ill.port, well.port)) as api,
        ):
            assert await api.create("/apis/x", b"{}", SOMEBODY) == b"{}"

    run(main())


def test_a_watch_and_a_review_at_a_server_that_falls_silent_are_ended_and_resume_at_another() -> None:
    async def frozen(reader: Any, writer: Any) -> None:
        while True:
            head = await silent.read_request(reader)
            if b"watch" in head:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\na\n")
            elif b"/readyz" in head and alive:
                writer.write(GOOD)
            # and to everything else: nothing

    silent, alive = Backend(frozen), [True]

    async def main() -> None:
        async with silent, backend(*[GOOD] * 50) as other, client(Access(silent.port, other.port)) as api:
            seen: list[Any] = []
            watching = asyncio.create_task(watched(api, seen))
            await until(lambda: seen)
            review = asyncio.create_task(api.create("/apis/x", b"{}", SOMEBODY))
            await until(lambda: any(b"/apis/x" in head for head in silent.heads))
            alive.clear()
            assert await review == b"{}", "made again where it is answered"
            with pytest.raises(ApiError):
                await watching
            assert any(b"/apis/x" in head for head in other.heads)
            assert await api.get("/z", {}, SOMEBODY) == b"{}"
            assert any(b"/z" in head for head in other.heads)

    run(main())
