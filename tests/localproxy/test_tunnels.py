"""Upgrades: nothing lost, nothing mixed, and a refusal that the client can read."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.fakes import reset, run
from tests.localproxy.ground import ASKING, OK, SWITCHED, in_front, read_response, websocket

SPDY = (
    b"POST %b HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"
    b"Content-Length: 0\r\n\r\n"
)
TO_SPDY = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: SPDY/3.1\r\nConnection: Upgrade\r\n\r\n"
EXEC = b"/api/v1/namespaces/d/pods/p/exec?command=sh"


@pytest.mark.parametrize(
    ("request_", "switched"),
    [(websocket("/ws?a=%2F"), SWITCHED), (SPDY % b"/ws?a=%2F", TO_SPDY)],
    ids=["websocket", "spdy"],
)
def test_bytes_go_both_ways_also_those_that_came_early(
    tmp_path: Path, request_: bytes, switched: bytes
) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, answer=lambda sent: switched) as (made, api):
            reader, writer = await made.connect()
            writer.write(request_ + b"early")
            assert (await read_response(reader)).status == 101
            writer.write(b"later")
            assert await reader.readexactly(10) == b"earlylater"
            assert api.sent[0].line.split()[1] == "/ws?a=%2F"
            writer.write_eof()
            assert await reader.read() == b""

    run(conversation())


@pytest.mark.parametrize(
    ("flags", "status"),
    [([], 403), (["--reject-paths=^$"], 101), (["--disable-filter"], 101), (["--reject-methods=POST"], 403)],
    ids=str,
)
def test_exec_is_refused_unless_allowed(tmp_path: Path, flags: list[str], status: int) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, *flags, answer=lambda sent: TO_SPDY) as (made, api):
            got = await made.raw(SPDY % EXEC)
            assert (got.status, len(api.sent)) == (status, int(status == 101))

    run(conversation())


@pytest.mark.parametrize("origin", [b"http://evil.test", b"null"], ids=str)
def test_a_page_of_another_site_opens_no_websocket(tmp_path: Path, origin: bytes) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, answer=lambda sent: SWITCHED) as (made, api):
            got = await made.raw(websocket("/ws", [b"Origin: %b\r\n" % origin, b"Accept: */*\r\n"]))
            assert (got.status, api.sent) == (403, [])
            assert b"Forbidden, because a page of" in got.body

    run(conversation())


ANSWERS = [
    (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno", 403, b"no"),
    (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", 302, b""),
    (OK, 200, b"ok\n"),
]


@pytest.mark.parametrize(("answer", "status", "body"), ANSWERS, ids=["403", "302", "200"])
def test_other_answers_are_passed_on(tmp_path: Path, answer: bytes, status: int, body: bytes) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, answer=lambda sent: answer) as (made, _):
            got = await made.raw(websocket("/ws"))
            assert (got.status, got.body) == (status, body)

    run(conversation())


def test_a_switch_to_something_else_is_none(tmp_path: Path) -> None:
    async def conversation() -> None:
        other = SWITCHED.replace(b"websocket", b"other")
        async with in_front(tmp_path, answer=lambda sent: other) as (made, _):
            assert (await made.raw(websocket("/ws"))).status == 502

    run(conversation())


@pytest.mark.parametrize("protocol", [b"h2c", b"websocket, h2c"], ids=str)
def test_http_2_is_no_way_around_the_filter(tmp_path: Path, protocol: bytes) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path) as (made, api):
            head = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: %b\r\n\r\n"
            assert (await made.raw(head % protocol)).status == 200
            assert "upgrade" not in api.sent[0].fields

    run(conversation())


def test_idle_websockets_are_pinged_when_asked(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, "--websocket-ping=20ms", answer=lambda sent: SWITCHED) as (made, _):
            reader, writer = await made.connect()
            writer.write(websocket("/ws"))
            assert (await read_response(reader)).status == 101
            assert await asyncio.wait_for(reader.readexactly(2), 5) == b"\x89\x00"
            writer.close()

    run(conversation())


def test_an_upgrade_with_a_body_is_none(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, answer=lambda sent: SWITCHED) as (made, api):
            head = b"GET /ws HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: 2\r\n\r\nxx" % ASKING
            assert (await made.raw(head)).status == 400
            assert not api.sent

    run(conversation())


def test_a_broken_tunnel_is_told_to_the_operator(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, answer=lambda sent: SWITCHED) as (made, _):
            reader, writer = await made.connect()
            writer.write(websocket("/ws?secret=x"))
            assert (await read_response(reader)).status == 101
            reset(writer)
            while "broke" not in "".join(said):
                said.append(capfd.readouterr().err)
                await asyncio.sleep(0.01)

    said: list[str] = []
    run(conversation())
    assert "GET /ws broke: the client reset the connection" in "".join(said)
    assert "secret" not in "".join(said)
