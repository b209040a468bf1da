"""Answers that are made to cost much.

What clients do so is in tests/soak and tests/server.

What is refused or cut off has its twin, as large as may be; what is merely odd passes as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib

import pytest

from tests.e2e.harness import Bastion, Place
from tests.e2e.wire import GONE, Visit, ask, assert_status, backend, client, request

OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"Content-Length: 0\r\n\r\n"
CHUNKS = OK + b"Transfer-Encoding: chunked\r\n\r\n"
PIECE = 1 << 16
ENOUGH = 32 << 20  # bytes that no buffer between us and the bastion takes


class Endless:
    """Begins an answer and goes on until nobody takes it any more; `sent` bytes were taken."""

    def __init__(self, begin: bytes, unit: bytes) -> None:
        self._begin, self._unit = begin, unit * (PIECE // len(unit))
        self.sent = 0
        self.left = asyncio.Event()

    async def __call__(self, visit: Visit) -> None:
        try:
            await visit.message()
            with contextlib.suppress(*GONE):
                await visit.send(self._begin)
                while self.sent < ENOUGH:
                    await visit.send(self._unit)
                    self.sent += len(self._unit)
        finally:
            self.left.set()


# --- heads without end

HEADS = {
    # how it begins, what follows for ever, as much of it as may be
    "interim answers": (b"", b"HTTP/1.1 103 E\r\n\r\n", b"HTTP/1.1 103 E\r\n\r\n" * 10 + EMPTY),
    "a value": (OK + b"X: ", b"a", OK + b"X: " + b"a" * 60_000 + b"\r\nContent-Length: 0\r\n\r\n"),
    "fields": (OK, b"X: a\r\n", OK + b"X: a\r\n" * 190 + b"Content-Length: 0\r\n\r\n"),
}


@pytest.mark.parametrize(("begin", "unit", "most"), HEADS.values(), ids=HEADS)
def test_a_head_without_end_is_a_503_and_as_much_as_may_be_is_passed_on(
    bastion: Bastion, pod: Place, begin: bytes, unit: bytes, most: bytes
) -> None:
    async def main() -> None:
        serve = Endless(begin, unit)
        async with backend(pod.address, serve):
            assert_status(await ask(bastion, request(pod.path())), 503, "ServiceUnavailable")
            await serve.left.wait()
            assert serve.sent < ENOUGH
        async with backend(pod.address, Once(most)):
            assert (await ask(bastion, request(pod.path()))).status == 200

    asyncio.run(main())


class Once:
    """Sends this answer, and stays."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.left = asyncio.Event()

    async def __call__(self, visit: Visit) -> None:
        try:
            await visit.message()
            with contextlib.suppress(*GONE):
                await visit.send(self._data)
            await visit.ended()
        finally:
            self.left.set()


def test_re_023_a_chunks_extension_without_end_is_not_waited_for(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        serve = Endless(CHUNKS + b"5;", b"a")
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            assert not (await wire.ended()).endswith(b"0\r\n\r\n")
            await serve.left.wait()
        async with backend(pod.address, Once(CHUNKS + b"5;" + b"a" * 100 + b"\r\nhello\r\n0\r\n\r\n")):
            assert (await ask(bastion, request(pod.path()))).body == b"hello"

    asyncio.run(main())


# --- silence


def test_re_024_a_backend_that_never_answers_is_a_504(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        serve = Once(b"")
        async with backend(pod.address, serve):
            assert_status(await ask(bastion, request(pod.path())), 504)
            await serve.left.wait()

    asyncio.run(main())


def test_re_025_a_body_that_stops_is_cut_off(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        serve = Once(OK + b"Content-Length: 100\r\n\r\nhalf")
        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            assert (await wire.ended()).endswith(b"\r\n\r\nhalf")
            await serve.left.wait()

    asyncio.run(main())


# --- pages

PAGE = b'<a href="/x">x</a>' + bytes(range(32, 127)) * 10
UNFOLDED = 64 << 20


def deflated(data: bytes, wbits: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, wbits)
    return b"".join(
        [*(packer.compress(data[at : at + (1 << 20)]) for at in range(0, len(data), 1 << 20)), packer.flush()]
    )


ZEROS = bytes(UNFOLDED)
BOMBS = {
    # encoding, the bomb, the same in good measure
    "gzip": ("gzip", deflated(ZEROS, 31), gzip.compress(PAGE)),
    "deflate": ("deflate", deflated(ZEROS, 15), zlib.compress(PAGE)),
    "gzip members that hold nothing": ("gzip", gzip.compress(b"") * 10_000, gzip.compress(PAGE) * 2),
}


@pytest.mark.parametrize(("encoding", "bomb", "twin"), BOMBS.values(), ids=BOMBS)
def test_a_page_that_unfolds_beyond_reason_is_cut_off(
    bastion: Bastion, pod: Place, encoding: str, bomb: bytes, twin: bytes
) -> None:
    fields = ("Content-Type: text/html", f"Content-Encoding: {encoding}", "Transfer-Encoding: chunked")
    head = OK + "\r\n".join((*fields, "", "")).encode()

    def chunked(body: bytes) -> bytes:
        return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)

    async def main() -> None:
        async with backend(pod.address, Once(chunked(bomb))), client(bastion) as wire:
            await wire.send(request(pod.path()))
            received = await wire.ended()
            assert not received.endswith(b"0\r\n\r\n")
            assert len(received) < 1 << 20
        async with backend(pod.address, Once(chunked(twin))):
            answer = await ask(bastion, request(pod.path()))
            decode = gzip.decompress if encoding == "gzip" else zlib.decompress
            assert decode(answer.body).startswith(b'<a href="' + pod.path("/x").encode())

    asyncio.run(main())


UNTOUCHED = {
    # fields, the body, which is passed on as it came
    "no brotli": ("Content-Encoding: br", b"\xff" * 1000),
    "gzip in gzip": ("Content-Encoding: gzip, gzip", gzip.compress(deflated(ZEROS, 31))),
    "no gzip": ("Content-Encoding: gzip", b"\x1f\x8b\x08" + b"garbage" * 100),
    "an encoding that is none": ("Content-Encoding: x-unknown", b"<a href=/x>"),
    "a comment without end": ("", b"<!--" + b"x" * (4 << 20)),
    "a tag without end": ("", b"<a " + b"a  " * 500_000),
    "<![": ("", b"<![" * 20_000),
    "a script without end": ("", b"<script>" + b"</s" * 500_000),
    "deep": ("", b"<div>" * 200_000),
    "UTF-16": ("", "\ufeff<html><a href=/x>".encode("utf-16-le")),
    "UTF-7": ("", b"+ADw-script+AD4-alert(1)+ADw-/script+AD4-"),
    "quotes": ("", b'<img src="x" onerror="&quot;">'),
}


@pytest.mark.parametrize(("field", "body"), UNTOUCHED.values(), ids=UNTOUCHED)
def test_a_page_without_a_link_of_its_own_passes_as_it_is(
    bastion: Bastion, pod: Place, field: str, body: bytes
) -> None:
    lines = "".join(
        f"{line}\r\n" for line in ("Content-Type: text/html", field, f"Content-Length: {len(body)}") if line
    )

    async def main() -> None:
        async with backend(pod.address, Once(OK + lines.encode() + b"\r\n" + body)):
            answer = await ask(bastion, request(pod.path()))
            assert (answer.status, answer.body) == (200, body)

    asyncio.run(main())
