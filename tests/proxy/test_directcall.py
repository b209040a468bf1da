"""What is remembered of a call: it goes as the first one did, and stands on an API server's word alone."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable

import pytest

from bastion.proxy.callplan import LIFETIME, CallPlan
from tests.fakes import LOOPBACK, Backend, run, until
from tests.proxy.passing import TOKEN, Front, passing

PATH = b"/api/v1/namespaces/shop/configmaps/a"
GET = b"GET " + PATH + b" HTTP/1.1\r\nHost: h\r\nUser-Agent: kubectl\r\n" + TOKEN
END = b"X-Any: 1\r\n\r\n"
ANSWER = b'HTTP/1.1 %b\r\nAudit-Id: %b\r\nDate: %b\r\nWarning: 299 - "a, b"\r\nContent-Length: 2\r\n\r\nok'
WHEN = b"Sat, 01 Jan 2028 00:00:00 GMT"
AUDIT_ID = re.compile(rb"\r\naudit-id: ([^\r]*)\r\n", re.IGNORECASE)


class Client:
    """One connection, kept."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def ask(self, head: bytes = GET + END) -> tuple[int, bytes, bytes]:
        """(status, head, body)."""
        self._writer.write(head)
        got = await self._reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", got.lower())
        body = await self._reader.readexactly(int(length[1]) if length else 0)
        return int(got.split(b" ")[1]), got, body


Say = Callable[[bytes], bytes]


def conversation(talk: Callable[[Client, Front, Backend], Awaitable[None]], say: Say | None = None) -> None:
    """`say` makes the response to a head; else it is a good one that says the request's audit id."""

    def good(head: bytes) -> bytes:
        found = AUDIT_ID.search(head)
        assert found is not None
        return ANSWER % (b"200 OK", found[1], WHEN)

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await server.read_request(reader)
            answer = (say or good)(head)
            if not answer:
                return writer.transport.abort()
            writer.write(answer)

    server = Backend(script)

    async def main() -> None:
        async with server, passing(server) as front:
            reader, writer = await asyncio.open_connection(LOOPBACK, front.port)
            try:
                await talk(Client(reader, writer), front, server)
            finally:
                writer.transport.abort()
                await until(lambda: not front.state.connections)

    run(main())


def without_id(head: bytes) -> list[bytes]:
    """The lines, in an order of their own."""
    return sorted(line for line in head.split(b"\r\n") if not line.lower().startswith(b"audit-id:"))


def test_the_third_goes_without_a_task_and_as_the_first_did() -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        answers = [await client.ask() for _ in range(5)]
        assert front.begun == [True] * 3
        assert len(front.records) == 5
        assert {status for status, _, _ in answers} == {200}
        assert {body for _, _, body in answers} == {b"ok"}
        assert len({tuple(without_id(head)) for _, head, _ in answers}) == 1
        assert len({tuple(without_id(head)) for head in server.heads}) == 1
        ids = [AUDIT_ID.findall(head) for head in server.heads]
        assert ids == [AUDIT_ID.findall(head) for _, head, _ in answers]
        assert len({one for found in ids for one in found}) == 5

    conversation(talk)


@pytest.mark.parametrize("line", [b"Audit-ID: mine-1\r\n", b"Audit-ID: a\r\n", b"aUDIT-Id: 2\r\n"])
def test_a_clients_own_audit_id_is_the_only_one(line: bytes) -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        own = line.split(b": ")[1].strip()
        for _ in range(4):
            _, head, body = await client.ask(GET + line + END)
            assert (AUDIT_ID.findall(head), body) == ([own], b"ok")
        assert [AUDIT_ID.findall(head) for head in server.heads] == [[own]] * 4
        _, head, _ = await client.ask()
        assert AUDIT_ID.findall(head) == AUDIT_ID.findall(server.heads[-1]) != [own]
        assert WHEN in head and b'Warning: 299 - "a, b"' in head and b"Content-Length: 2\r\n" in head

    conversation(talk)


def test_the_audit_id_is_what_the_api_server_says() -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(5):
            _, head, _ = await client.ask()
            assert AUDIT_ID.findall(head) == [b"theirs"]
        assert front.begun == [True] * 3

    conversation(talk, lambda head: ANSWER % (b"200 OK", b"theirs", WHEN))


def test_a_token_that_is_refused_by_now_is_looked_at_anew() -> None:
    status = [b"200 OK"]

    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(3):
            await client.ask()
        status[0] = b"401 Unauthorized"
        assert (await client.ask())[0] == 401
        assert (await client.ask())[0] == 401
        assert front.begun == [True, True, False], "the second is asked about the limit of failures"
        for _ in range(60):
            code, _, _ = await client.ask()
        assert code == 429, "as for every token that is not known to be good"

    conversation(talk, lambda head: ANSWER % (status[0], b"x", WHEN))


@pytest.mark.parametrize(
    "head",
    [
        GET.replace(b"GET", b"DELETE") + END,
        GET.replace(b"GET", b"HEAD") + END,
        GET.replace(b"/a HTTP", b"?watch=true HTTP") + END,
        GET + b"Cookie: a=b\r\n" + END,
        GET + b"TE: trailers\r\nConnection: TE\r\n" + END,
        GET.replace(b"Authorization: Bearer", b"Authorization: Basic") + END,
        GET.replace(b"Authorization", b"X-Bastion-Authorization") + END,
        GET.replace(b"Bearer their-own", b"Bearer own")
        + b"Impersonate-User: x\r\n"
        + END[:-2]
        + b"Upgrade: a\r\n\r\n",
    ],
)
def test_what_is_not_the_same_each_time_is_not_remembered(head: bytes) -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(3):
            await client.ask(head.replace(b"Content-Length: 2", b"Content-Length: 0"))
        assert front.begun == []

    def say(asked: bytes) -> bytes:
        answer = ANSWER % (b"200 OK", b"x", WHEN)
        return answer.replace(b"Content-Length: 2\r\n\r\nok", b"Content-Length: 0\r\n\r\n")

    conversation(talk, say)


def test_a_task_that_is_handed_it_from_the_start_sends_all_of_it() -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(3):
            await client.ask()
        front.pool.close()
        await until(lambda: not front.pool.statistics().open)
        assert (await client.ask())[0] == 200
        assert front.begun == [True, False]
        assert len({tuple(without_id(head)) for head in server.heads}) == 1
        assert all(b"\r\nX-Any: 1\r\n" in head for head in server.heads)

    conversation(talk)


def test_no_plan_holds_the_token() -> None:
    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(3):
            await client.ask()
        (plan,) = front.plans._plans._values.values()
        assert isinstance(plan, CallPlan)
        assert "their-own" not in repr(plan)
        assert all(b"Bearer their-own\r\n" in head for head in server.heads)
        assert plan.validity.until <= asyncio.get_running_loop().time() + LIFETIME

    conversation(talk)


def test_a_response_in_pieces_an_interim_one_and_a_broken_connection_are_a_tasks() -> None:
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n"
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    plain = ANSWER % (b"200 OK", b"x", WHEN)
    answers = [plain, plain, plain, hints + plain, chunked, b"", plain]

    async def talk(client: Client, front: Front, server: Backend) -> None:
        for _ in range(3):
            assert (await client.ask())[2] == b"ok"
        assert b"103 Early Hints" in (await client.ask())[1]
        assert (await client.ask(b""))[2] == b"ok"
        client._writer.write(GET + END)
        whole = await client._reader.readuntil(b"X-Sum: 1\r\n\r\n")
        assert whole.endswith(b"\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
        assert (await client.ask())[2] == b"ok", "asked again on a new connection"
        assert front.begun == [True] * 4
        assert server.connections == 2

    def say(head: bytes) -> bytes:
        return answers.pop(0)

    conversation(talk, say)
