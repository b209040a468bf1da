"""Does what is remembered change nothing but the cost?

Each test of what changes runs with and without: what is new holds from the same moment on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from bastion.kube.user import User
from bastion.proxy.plan import Plan
from bastion.server.http1.connection import Peer
from tests import fakes
from tests.fakes import Backend, ClockLoop, pass_time, run, until
from tests.proxy.remembering import CHAIN, Client, House, always, expiring, house

Change = Callable[[House], None]
both = pytest.mark.parametrize("remember", [True, False], ids=["remembered", "not remembered"])


def _revoke(h: House) -> None:
    h.may = lambda user, attributes: False


def _forget_token(h: House) -> None:
    h.knows.users = {}


def _clock(h: House) -> None:
    """Whose it is is asked again then."""
    h.wall += 5
    h.knows.users = {}


def _token_file(h: House) -> None:
    h.tokens.clear()
    h.token_file.again()


def _token_of_another(h: House) -> None:
    h.tokens["static"] = User("bob")
    h.may = lambda user, attributes: user.name != "bob"
    h.token_file.again()


def _authority(h: House) -> None:
    h.trusted = None
    h.authority.again()


def _gone(h: House) -> None:
    fakes.remove(h.catalog, "pods", "web")


def _not_running(h: House) -> None:
    fakes.put(h.catalog, "pods", fakes.pod("web", containers=[[80]]))


# what changes -> (token, seconds after which it holds, the code from then on)
CHANGES: dict[str, tuple[Change, str, float, int]] = {
    "access is taken away": (_revoke, "t", 10, 403),
    "a token is taken away": (_forget_token, "t", 10, 401),
    "a token ends by the clock": (_clock, expiring(5), 0, 401),
    "a token is taken out of the file": (_token_file, "static", 0, 401),
    "a token is another user's": (_token_of_another, "static", 0, 403),
    "an authority is no longer trusted": (_authority, "", 0, 401),
    "the pod is gone": (_gone, "t", 0, 404),
    "the pod has no address": (_not_running, "t", 0, 400),
}


@both
@pytest.mark.parametrize(("change", "token", "after", "code"), CHANGES.values(), ids=CHANGES)
def test_what_is_new_holds_from_the_same_moment_on(
    change: Change, token: str, after: float, code: int, remember: bool
) -> None:
    async def main() -> None:
        async with always() as backend, house(remember=remember) as h:
            h.lead("web", backend)
            client = await h.connect(Peer("127.0.0.1", b"https", CHAIN) if not token else None)
            client.port = backend.port
            assert [await client.ask(token=token) for _ in range(3)] == [200, 200, 200]
            assert h.begun == ([True, True] if remember else [])
            change(h)
            if after:
                await pass_time(after - 0.5)
                assert await client.ask(token=token) == 200
                await pass_time(0.5)
            assert await client.ask(token=token) == code
            await until(lambda: h.nothing_is_held)

    run(main(), ClockLoop)


@both
def test_an_address_that_another_pod_has_now_is_another_backends(remember: bool) -> None:
    async def main() -> None:
        async with always(b"first") as first, always(b"other") as other, house(remember=remember) as h:
            h.catalog.listeners.address_left.append(h.pool.address_left)
            h.lead("web", first)
            client = await h.connect()
            client.port = first.port
            assert [await client.ask() for _ in range(2)] == [200, 200]
            fakes.remove(h.catalog, "pods", "web")
            h.lead("another", other)
            assert await client.ask() == 404
            assert first.connections == 1
            h.lead("web", first)
            assert await client.ask() == 200
            assert first.connections == 2, "what was kept led to the former"

    run(main(), ClockLoop)


@both
def test_limits_count_at_once(remember: bool) -> None:
    async def main() -> None:
        gate = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while True:
                head = await backend.read_request(reader)
                if b"/slow" in head:
                    await gate.wait()
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

        async with Backend(script) as backend, house(remember=remember, limit=1) as h:
            h.lead("web", backend)
            one, two = await h.connect(), await h.connect()
            one.port = two.port = backend.port
            gate.set()
            assert [await one.ask(path=path) for path in ("/slow", "/slow", "/x", "/x")] == [200] * 4
            gate.clear()
            one.send(path="/slow")
            await until(lambda: len(backend.heads) == 5)
            assert await two.ask() == 429
            assert await two.ask(token="u") == 200, "another user's places are others"
            gate.set()
            assert (await one.answer())[0] == 200
            assert await two.ask() == 200
            await until(lambda: h.nothing_is_held)

    run(main(), ClockLoop)


# --- what a remembered request sends and gets


LINES = (
    "User-Agent: u",
    "X-Order: 1",
    "Accept-Encoding: gzip, br",
    "Accept: text/html",
    "X-Order: 2",
    "Cookie: a=b; c=d",
    "X-Remote-User: mallory",
    "X-Forwarded-For: 192.0.2.99",
    "Audit-Id: mine",
    "Keep-Alive: 5",
)


def test_a_remembered_request_sends_and_gets_the_same_bytes() -> None:
    """The audit id apart; and as without remembering, but for the order."""

    async def heads(remember: bool) -> tuple[list[bytes], list[bytes]]:
        async with (
            always(b"body", b"Server: s\r\nX-A: 1\r\nAudit-Id: theirs\r\nX-A: 2\r\n") as backend,
            house(remember=remember) as h,
        ):
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            answers = []
            for number in range(3):
                client.send("web", *LINES, f"X-Number: {number}", path="/x?a=%20b")
                status, head, body = await client.answer()
                assert (status, body) == (200, b"body")
                answers.append(
                    b"\n".join(sorted(line for line in head.split(b"\r\n") if b"Date" not in line))
                )
            assert all(b"Audit-Id: mine" in answer for answer in answers)
            port = b"%d" % backend.port
            return [head.replace(port, b"PORT") for head in backend.heads], answers

    async def main() -> None:
        sent, got = await heads(True)
        plain, plainly = await heads(False)
        assert [head.replace(b"X-Number: %d" % n, b"N") for n, head in enumerate(sent)] == [
            sent[0].replace(b"X-Number: 0", b"N")
        ] * 3
        assert b"mallory" not in sent[2] and b"192.0.2.99" not in sent[2] and b"Bearer" not in sent[2]
        assert [sorted(head.split(b"\r\n")) for head in sent] == [
            sorted(head.split(b"\r\n")) for head in plain
        ]
        assert len(set(got)) == 1
        assert got == plainly

    run(main(), ClockLoop)


SECRETS = ("X-Bastion-Authorization: Bearer t", "Authorization: Basic c2VjcmV0", "Cookie: s=hidden")


def test_a_secret_is_written_from_each_request() -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            for _ in range(2):
                lines = (
                    "X-Bastion-Authorization: Bearer t",
                    "Authorization: Basic c2VjcmV0",
                    "Cookie: s=hidden",
                )
                assert await client.ask("web", *lines, token="") == 200
            assert h.begun == [True]
            assert all(
                b"Authorization: Basic c2VjcmV0\r\n" in head and b"Cookie: s=hidden\r\n" in head
                for head in backend.heads
            )
            (plan,) = h.plans._plans._values.values()
            assert isinstance(plan, Plan)
            kept = repr((plan.lines, plan.admitted, plan.envelope, plan.begun, plan.heads, plan.target))
            assert "c2VjcmV0" not in kept and "hidden" not in kept
            assert plan.admitted.credentials.token is None

    run(main(), ClockLoop)


# --- where it goes on in a task


def scripted(*answers: bytes | None) -> Backend:
    """One answer after the other, over all connections; None: the connection ends instead."""
    left = list(answers)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await server.read_request(reader)
            answer = left.pop(0)
            if answer is None:
                writer.close()
                return
            for piece in answer.split(b"|"):
                writer.write(piece)
                await fakes.delivered()

    server = Backend(script)
    return server


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HTML = b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 16\r\n\r\n<a href="/x">k</a'
HAND_OVERS = {
    "in two pieces": (OK[:10] + b"|" + OK[10:],),
    "the body comes later": (OK[:-2] + b"|" + OK[-2:],),
    "chunks": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",),
    "behind an interim response": (b"HTTP/1.1 100 Continue\r\n\r\n" + OK,),
    "until it closes": (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",),
    "no reason": (OK.replace(b"200 OK", b"200 "),),
    "the kept connection ends": (None, OK),
}


@pytest.mark.parametrize("answers", HAND_OVERS.values(), ids=HAND_OVERS)
def test_what_is_not_ordinary_goes_on_in_a_task(answers: tuple[bytes | None, ...]) -> None:
    async def main() -> None:
        async with scripted(OK, *answers, OK, OK) as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert await client.ask() == 200
            client.send()
            text = await asyncio.wait_for(_whole(client), 20)
            assert text.startswith(b"HTTP/1.1 200 OK\r\n") and b"ok" in text
            assert [await client.ask() for _ in range(2)] == [200, 200]
            await until(lambda: h.nothing_is_held)
            assert [record.code for record in h.records] == [200] * 4
            assert h.begun == [True] * 3

    run(main())


async def _whole(client: Client) -> bytes:
    head = await client._reader.readuntil(b"\r\n\r\n")
    if b"chunked" in head.lower():
        return head + await client._reader.readuntil(b"0\r\n\r\n")
    return head + await client._reader.readexactly(2)


def test_a_malformed_response_is_503_and_its_connection_is_closed() -> None:
    async def main() -> None:
        async with (
            scripted(
                OK, b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nok", OK
            ) as backend,
            house() as h,
        ):
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert [await client.ask() for _ in range(3)] == [200, 503, 200]
            assert backend.connections == 2
            await until(lambda: h.nothing_is_held)

    run(main())


def test_bytes_behind_an_ordinary_response_are_never_the_next_one() -> None:
    async def main() -> None:
        async with scripted(OK, OK + OK.replace(b"ok", b"no"), OK) as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            for _ in range(3):
                client.send()
                assert (await client.answer())[2] == b"ok"
            assert backend.connections == 2

    run(main())


# --- how it ends otherwise


@pytest.mark.parametrize("how", ["while the backend is silent", "in the turn in which it is handed over"])
def test_a_client_that_leaves_gives_everything_back_and_is_on_record(how: str) -> None:
    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await backend.read_request(reader)
            writer.write(OK)
            await backend.read_request(reader)
            if await reader.read() == b"":
                ended.set()

        ended = asyncio.Event()
        async with Backend(script) as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert await client.ask() == 200
            client.send()
            await until(lambda: len(backend.heads) == 2)
            assert h.state.direct == 1
            if how != "while the backend is silent":
                (under_way,) = h.streams._young
                under_way.lasts()  # makes a task of it, which has had no turn yet
                (connection,) = h.state.connections
                connection.connection_lost(None)  # type: ignore[attr-defined]
            client.leave()
            await until(lambda: h.nothing_is_held)
            await ended.wait()
            assert [(record.code, record.outcome) for record in h.records] == [(200, ""), (0, "client-left")]
            assert h.pool.statistics().open == 0

    run(main())


def test_one_that_lasts_is_a_stream_with_the_credentials_of_its_request() -> None:
    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await backend.read_request(reader)
            writer.write(OK)
            await backend.read_request(reader)
            await reader.read()

        async with Backend(script) as backend, house() as h, h.deadlines:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert await client.ask() == 200
            client.send()
            await until(lambda: len(backend.heads) == 2)
            for _ in range(3):
                await pass_time(31)
            await until(lambda: h.watched)
            admitted, end, _ = h.watched[0]
            assert admitted.credentials.token == "t"
            assert (h.state.direct, len(h.state.tasks)) == (0, 1)
            end("no longer allowed")
            assert (await client.answer())[0] == 403
            await until(lambda: h.nothing_is_held)

    run(main(), ClockLoop)


def test_a_server_that_stops_ends_it_as_any_other() -> None:
    async def main() -> None:
        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await backend.read_request(reader)
            writer.write(OK)
            await backend.read_request(reader)
            await reader.read()

        async with Backend(script) as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert await client.ask() == 200
            client.send()
            await until(lambda: len(backend.heads) == 2)
            (connection,) = h.state.connections
            connection.end_exchange("the bastion is stopping")
            await until(lambda: h.nothing_is_held)
            assert h.records[-1].outcome == "the bastion is stopping"

    run(main())


def test_requests_one_behind_the_other_are_answered_in_order() -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert await client.ask() == 200
            for _ in range(5):
                client.send()
            assert [(await client.answer())[0] for _ in range(5)] == [200] * 5
            assert h.begun == [True] * 5

    run(main())


# --- what is never remembered


NEVER: dict[str, tuple[Any, ...]] = {
    "Connection names a field": ("Connection: X-A", "X-A: 1"),
    "impersonation": ("Impersonate-User: bob",),
    "an expectation": ("Expect: 100-continue",),
    "an upgrade": ("Connection: Upgrade", "Upgrade: h2c"),
    "a body": ("Content-Length: 0",),
}


@pytest.mark.parametrize("lines", NEVER.values(), ids=NEVER)
def test_what_stands_on_more_is_never_remembered(lines: tuple[str, ...]) -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            h.lead("web", backend)
            client = await h.connect()
            client.port = backend.port
            assert [await client.ask("web", *lines) for _ in range(2)] == [200, 200]
            assert (len(h.plans), h.begun) == (0, [])
            assert all(b"X-A" not in head for head in backend.heads)

    run(main())


def test_a_refusal_is_never_remembered() -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            h.lead("web", backend)
            h.may = lambda user, attributes: user.name == "alice"
            client = await h.connect()
            client.port = backend.port
            assert [await client.ask(token=token) for token in ("u", "u", "bad", "bad")] == [
                403,
                403,
                401,
                401,
            ]
            assert len(h.plans) == 0

    run(main())


def test_a_plan_is_for_one_client_address_and_certificate() -> None:
    async def main() -> None:
        async with always() as backend, house() as h:
            h.lead("web", backend)
            peers = [Peer("127.0.0.1"), Peer("127.0.0.2"), Peer("127.0.0.1", b"https"), None]
            for peer in [*peers, Peer("127.0.0.1", b"https", CHAIN)]:
                client = await h.connect(peer)
                client.port = backend.port
                assert await client.ask(token="static") == 200
            assert (len(h.plans), h.begun) == (4, [True])

    run(main())
