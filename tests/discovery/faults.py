"""What can be wrong with an answer of the API server, as faults for a ScriptedApi."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from tests.discovery.scripted_api import TOO_LARGE, Fault, Request, ScriptedApi
from tests.fakes import reset


def answers(status: int, body: bytes = b"{}", fields: str = "") -> Fault:
    async def fault(api: ScriptedApi, request: Request) -> None:
        request.send(status, body, fields)
        await request.writer.drain()

    return fault


async def no_answer(api: ScriptedApi, request: Request) -> None:
    """Neither a byte nor an end: until the client leaves."""
    await request.reader.read()


async def resets(api: ScriptedApi, request: Request) -> None:
    reset(request.writer)


async def closes(api: ScriptedApi, request: Request) -> None:
    request.writer.close()


# --- of lists


def list_cut(share: float, *, whole: bool) -> Fault:
    """So much of the body.  `whole`: it is said to be all, so that it is the JSON that is broken."""

    async def fault(api: ScriptedApi, request: Request) -> None:
        status, body = api.page(request)
        part = body[: int(len(body) * share)]
        length = len(part) if whole else len(body)
        request.writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n\r\n".encode() + part)
        await request.writer.drain()
        if not whole:
            request.writer.close()

    return fault


def slow_list(seconds: float) -> Fault:
    """It takes so long, a piece at a time."""

    async def fault(api: ScriptedApi, request: Request) -> None:
        status, body = api.page(request)
        request.writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\n\r\n".encode())
        for i in range(5):
            await asyncio.sleep(seconds / 5)
            request.writer.write(body[len(body) * i // 5 : len(body) * (i + 1) // 5])
            await request.writer.drain()

    return fault


# --- of watches; each is good until it comes to what is wrong with it


def expires(code: int = 410) -> Fault:
    """An ERROR in place of the first event."""

    async def fault(api: ScriptedApi, request: Request) -> None:
        request.begin()
        await request.chunk(
            b'{"type":"ERROR","object":{"kind":"Status","metadata":{},"status":"Failure",'
            b'"reason":"Expired","code":%d}}\n' % code
        )
        request.end()

    return fault


def cut_at(offset: int, *, clean: bool = False) -> Fault:
    """Reset (or ended as if that were all) after so many bytes of its events."""

    async def fault(api: ScriptedApi, request: Request) -> None:
        request.begin()
        left = offset
        async with _lines(api, request) as lines:
            async for line in lines:
                await request.chunk(line[:left])
                left -= len(line)
                if left <= 0:
                    break
        if clean:
            request.end()
            return
        await asyncio.sleep(0.001)  # what was written goes out first
        reset(request.writer)

    return fault


def silent_after(events: int) -> Fault:
    async def fault(api: ScriptedApi, request: Request) -> None:
        request.begin()
        left = events
        async with _lines(api, request) as lines:
            while left:
                await request.chunk(await anext(lines))
                left -= 1
        await no_answer(api, request)

    return fault


def garbled(at: int) -> Fault:
    """The first event is broken JSON from this byte on, then the watch goes on as if nothing were."""

    async def fault(api: ScriptedApi, request: Request) -> None:
        request.begin()
        first = True
        async with _lines(api, request) as lines:
            async for line in lines:
                await request.chunk(line[:at] + b"\n" if first else line)
                first = False
        request.end()

    return fault


async def repeats(api: ScriptedApi, request: Request) -> None:
    """Every event twice."""
    request.begin()
    async with _lines(api, request) as lines:
        async for line in lines:
            await request.chunk(line * 2)
    request.end()


async def replays(api: ScriptedApi, request: Request) -> None:
    """The events there are, and all of them once more."""
    request.begin()
    events = [line for _, line in api.events(request, int(request.query["resourceVersion"]))]
    await request.chunk(b"".join(events * 2))
    await asyncio.sleep(1)
    request.end()


async def reorders(api: ScriptedApi, request: Request) -> None:
    """The events there are, the last one first."""
    request.begin()
    events = [line for _, line in api.events(request, int(request.query["resourceVersion"]))]
    await request.chunk(b"".join(reversed(events)))
    await asyncio.sleep(1)
    request.end()


async def dribbles(api: ScriptedApi, request: Request) -> None:
    """A few bytes at a time, for as long as there are events."""
    request.begin()
    for _, line in api.events(request, int(request.query["resourceVersion"])):
        for at in range(0, len(line), 7):
            await request.chunk(line[at : at + 7])
    request.end()


async def ends(api: ScriptedApi, request: Request) -> None:
    request.begin()
    request.end()


@contextlib.asynccontextmanager
async def _lines(api: ScriptedApi, request: Request) -> AsyncIterator[AsyncIterator[bytes]]:
    lines = api.lines(request)
    try:
        yield lines
    finally:
        await lines.aclose()  # type: ignore[attr-defined]


# --- of the check after a watch that broke


async def too_large(api: ScriptedApi, request: Request) -> None:
    """A replica that is behind, and stays it for the three seconds that it waits."""
    request.send(504, TOO_LARGE)
    await request.writer.drain()
