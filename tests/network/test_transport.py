"""One round trip: the body goes out while the answer is awaited, and nothing is kept that was not clean."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.kube.status import bad_request
from bastion.network.errors import NetworkError, SendError
from bastion.network.transport import Request
from tests.fakes import Backend, Upload, ask, backend, refused, run, start, until, whole, wire
from tests.present import present

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MEBIBYTE = b"x" * (1 << 20)


def echoing(received: Any, *, until_end: Any) -> Any:
    """A backend that takes `until_end(reader)` for the body before it answers."""

    async def script(reader: Any, writer: Any) -> None:
        while True:
            await reader.readuntil(b"\r\n\r\n")
            received.append(await until_end(reader))
            writer.write(OK)

    return Backend(script)


@pytest.mark.parametrize(
    ("chunked", "wire_form"),
    [(False, b"hello world"), (True, b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n")],
    ids=["C-UA-35-length", "C-UA-37-chunks"],
)
def test_a_body_is_framed_as_the_head_says(chunked: Any, wire_form: Any) -> None:
    async def main() -> None:
        received: list[Any] = []
        async with (
            echoing(received, until_end=lambda reader: reader.readexactly(len(wire_form))) as server,
            wire() as (transport, pool),
        ):
            for _ in range(2):
                answer, body = await ask(
                    transport, server.endpoint(), "POST", Upload([b"hello", b" ", b"world"], chunked=chunked)
                )
                assert (answer.status, body) == (200, b"ok")
            assert received == [wire_form] * 2
            assert (pool.statistics().dialled, pool.statistics().idle) == (1, 1)

    run(main())


def test_an_empty_body_in_chunks_is_its_end_alone() -> None:
    async def main() -> None:
        received: list[Any] = []
        async with (
            echoing(received, until_end=lambda reader: reader.readexactly(5)) as server,
            wire() as (transport, _),
        ):
            await ask(transport, server.endpoint(), "POST", Upload([], chunked=True))
            assert received == [b"0\r\n\r\n"]

    run(main())


def test_fifty_mebibytes_go_out_in_pieces_and_wait_for_the_backend() -> None:
    async def main() -> None:
        go = asyncio.Event()
        received = 0

        async def script(reader: Any, writer: Any) -> None:
            nonlocal received
            await server.read_request(reader)
            await go.wait()
            while received < 50 << 20:
                received += len(await reader.read(1 << 20))
            writer.write(OK)
            await reader.read()

        async with Backend(script) as server, wire() as (transport, pool):
            upload = Upload([MEBIBYTE] * 50)
            trip = await start(transport, server.endpoint(), "POST", upload)
            taken = -1
            while taken != upload.taken:  # until it takes no more
                taken = upload.taken
                await asyncio.sleep(0.1)
            assert taken < 25  # the rest is with the client, save what the kernel holds
            go.set()
            assert await whole(await trip.answer()) == b"ok"
            trip.close(clean=True)
            assert received == 50 << 20
            assert pool.statistics().idle == 1

    run(main())


@pytest.mark.parametrize("status", [b"413 Too Large", b"401 Unauthorized", b"200 OK"])
def test_an_early_answer_is_handed_on_and_the_connection_is_not_kept(status: Any) -> None:
    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: 5\r\n\r\nearly" % status)
            await reader.read()

        class Endless(Upload):
            async def read(self) -> bytes:
                self.taken += 1
                if self.taken > 1:
                    try:
                        await asyncio.Event().wait()  # the client waits for the answer
                    finally:
                        left.set()
                return b"x"

        async with Backend(script) as server, wire() as (transport, pool):
            left = asyncio.Event()
            trip = await start(transport, server.endpoint(), "POST", Endless([], chunked=True))
            answer = await trip.answer()
            assert await whole(answer) == b"early"
            trip.close(clean=True)
            await left.wait()  # nobody reads the client's body any more
            assert pool.statistics().idle == 0
            await until(lambda: pool.statistics().open == 0)

    run(main())


@pytest.mark.parametrize(
    "first", [OK, b"H", b"HTTP/1.1 100 Continue\r\n\r\n"], ids=["whole", "its first byte", "an interim one"]
)
def test_after_an_answer_that_began_early_the_connection_is_not_kept(first: Any) -> None:
    """However well the upload then ends: whether the backend reads it nobody knows, and what it leaves is its
    next request.
    """

    async def main() -> None:
        early, go = asyncio.Event(), asyncio.Event()

        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            writer.write(first)
            await early.wait()
            await reader.readexactly(2)
            writer.write(OK[1:] if first == b"H" else b"" if first == OK else OK)
            await reader.read()

        class Late(Upload):
            async def read(self) -> Any:
                if self.taken:
                    await go.wait()
                return await super().read()

        async with Backend(script) as server, wire() as (transport, pool):
            trip = await start(transport, server.endpoint(), "POST", Late([b"a", b"b"]))
            await until(lambda: trip._connection._reader.begun)
            early.set()
            go.set()
            assert await whole(await trip.answer()) == b"ok"
            await until(lambda: present(trip._upload).done())
            trip.close(clean=True)
            assert pool.statistics().idle == 0

    run(main())


@pytest.mark.parametrize("pieces", [[], [b"GET /next HTTP/1.1\r\n\r\n"]], ids=["nothing", "something"])
@pytest.mark.parametrize("status", [200, 201, 303, 404, 500])
@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH"])
def test_a_connection_is_kept_where_the_body_was_read_for_sure(method: Any, status: Any, pieces: Any) -> None:
    """A GET's means nothing to most who get it, and who refuses or redirects need not look at one."""

    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(sum(map(len, pieces)))
                writer.write(
                    b"HTTP/1.1 %d X\r\nContent-Length: 2\r\n\r\n%b"
                    % (status, b"" if head.startswith(b"HEAD") else b"ok")
                )

        async with Backend(script) as server, wire() as (transport, pool):
            upload = Upload(pieces)
            upload.length = sum(map(len, pieces))
            await ask(transport, server.endpoint(), method, upload)
            assert pool.statistics().idle == (
                not pieces or (method in ("POST", "PUT", "PATCH") and status < 300)
            )

    run(main())


def test_a_connection_that_carried_somebodys_body_serves_nobody_else() -> None:
    """Whether the backend read all of it nobody can tell: here it reads none."""

    async def main() -> None:
        async def script(reader: Any, writer: Any) -> None:
            while True:
                line = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")[0]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(line), line))

        async with Backend(script) as server, wire() as (transport, _):
            await ask(transport, server.endpoint(), "GET", owner="bob")
            upload = Upload([b"GET /next HTTP/1.1\r\n\r\n"])
            await ask(transport, server.endpoint(), "POST", upload, owner="mallory")
            for owner in ("alice", "bob", ""):
                _, body = await ask(transport, server.endpoint(), owner=owner)
                assert body == b"GET / HTTP/1.1"
            assert server.connections == 2
            await ask(transport, server.endpoint(), owner="mallory")
            assert server.connections == 2

    run(main())


def test_among_those_kept_each_finds_the_last_one_that_it_may_use() -> None:
    async def main() -> None:
        async with answering() as server, wire() as (transport, pool):
            trips = [
                await start(transport, server.endpoint(), "POST", Upload([b"x"]), owner)
                for owner in ("a", "b", "a", "c")
            ]
            trips += [await start(transport, server.endpoint()) for _ in range(2)]
            mine = [trip._connection for trip in trips]
            for trip in trips:
                await whole(await trip.answer())
                await until(lambda trip=trip: trip._upload is None or trip._upload.done())  # type: ignore[misc]
                trip.close(clean=True)
            assert pool.statistics().idle == 6
            taken = [
                pool.take(server.endpoint(), owner) for owner in ("a", "a", "b", "b", "a", "a", "c", "d")
            ]
            assert [mine.index(one) if one else None for one in taken] == [5, 4, 1, None, 2, 0, 3, None]
            assert pool.statistics().idle == 0

    run(main())


@pytest.mark.parametrize(("owner", "kept"), [("alice", 1), ("", 0)])
def test_of_those_whom_nobody_knows_no_body_is_kept(owner: Any, kept: Any) -> None:
    async def main() -> None:
        async with answering() as server, wire() as (transport, pool):
            await ask(transport, server.endpoint(), "POST", Upload([b"x"]), owner)
            assert pool.statistics().idle == kept

    run(main())


def answering() -> Any:
    async def script(reader: Any, writer: Any) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            if head.startswith(b"POST"):
                await reader.readexactly(1)
            writer.write(OK)

    return Backend(script)


LOGINS = [
    (b"WWW-Authenticate: NTLM", False),
    (b"WWW-Authenticate: Negotiate oYG2MIGz", False),
    (b'www-authenticate: Basic realm="x, y", negotiate', False),
    (b"Proxy-Authenticate: Kerberos", False),
    (b'WWW-Authenticate: Basic realm="x"\r\nWWW-Authenticate: NTLM', False),
    (b'WWW-Authenticate: Basic realm="x", charset = "UTF-8"', True),
    (b'WWW-Authenticate: Bearer error="invalid_token", Digest realm="x"', True),
    (b"WWW-Authenticate:", True),
    (b"X-WWW-Authenticate: NTLM", True),
]


@pytest.mark.parametrize("status", [200, 401, 407])
@pytest.mark.parametrize(("line", "kept"), LOGINS)
def test_a_connection_that_logs_somebody_in_is_not_kept(line: Any, kept: Any, status: Any) -> None:
    async def main() -> None:
        answer = b"HTTP/1.1 %d X\r\n%b\r\nContent-Length: 2\r\n\r\nok" % (status, line)
        async with backend(answer) as server, wire() as (transport, pool):
            await ask(transport, server.endpoint())
            assert pool.statistics().idle == kept

    run(main())


def test_a_client_that_breaks_its_body_fails_the_trip() -> None:
    async def main() -> None:
        async with backend(then="wait") as server, wire() as (transport, pool):
            trip = await start(
                transport,
                server.endpoint(),
                "POST",
                Upload([b"x", bad_request("broken", close=True)], chunked=True),
            )
            with refused(400, "broken"):
                await trip.answer()
            trip.close(clean=True)
            await until(lambda: pool.statistics().open == 0)
            assert pool.statistics().idle == 0

    run(main())


def test_a_body_that_broke_is_never_ended_for_the_backend() -> None:
    async def main() -> None:
        received: list[Any] = []

        async def script(reader: Any, writer: Any) -> None:
            await server.read_request(reader)
            received.append(await reader.read())

        async with Backend(script) as server, wire() as (transport, _):
            trip = await start(
                transport, server.endpoint(), "POST", Upload([b"x", bad_request("broken")], chunked=True)
            )
            with refused(400):
                await trip.answer()
            trip.close(clean=False)
            await until(lambda: received)
            assert received == [b"1\r\nx\r\n"]

    run(main())


@pytest.mark.parametrize("then", ["close", "reset"])
def test_a_backend_that_goes_during_the_upload_is_a_network_error(then: Any) -> None:
    async def main() -> None:
        async with backend(then=then) as server, wire() as (transport, pool):
            trip = await start(transport, server.endpoint(), "POST", Upload([MEBIBYTE] * 50))
            with pytest.raises(NetworkError) as caught:
                await trip.answer()
            assert isinstance(caught.value, SendError)
            trip.close(clean=False)
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_who_awaits_the_answer_may_be_cancelled() -> None:
    async def main() -> None:
        async with backend(then="wait") as server, wire() as (transport, pool):
            for upload in (None, Upload([b"x"])):
                trip = await start(transport, server.endpoint(), "POST", upload)
                waiting = asyncio.ensure_future(trip.answer())
                await asyncio.sleep(0.01)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
                trip.close(clean=False)
            await until(lambda: pool.statistics().open == 0)

    run(main())


def test_the_head_is_sent_as_it_was_given() -> None:
    async def main() -> None:
        async with backend(OK) as server, wire() as (transport, _):
            raw = b"GET /a%2Fb//..?x=%zz HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nX-A: 2\r\n\r\n"
            trip = await transport.round_trip(server.endpoint(), Request("GET", raw))
            trip.send()
            await trip.answer()
            assert server.heads == [raw]

    run(main())
