"""Bodies of any size, both ways: never faster than the slower end, never longer than the client stays, never
short unseen.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
import ssl
from collections.abc import Awaitable, Callable

import pytest

from bastion.server.http1.protocol import PIPELINED as PIPELINED_BYTES
from tests.e2e.harness import TLS_PORT, Bastion, Place
from tests.e2e.wire import Client, Visit, ask, backend, client, request

SIZE = 64 << 20
PIECE = bytes(1 << 16)
# What may lie between the ends: 256 KiB in the bastion for each direction, and the kernel's buffers of two
# connections.
MOST_BETWEEN = 24 << 20


class Meter:
    """Counts what the other side accepted."""

    def __init__(self) -> None:
        self.accepted = 0

    async def pour(self, send: Callable[[bytes], Awaitable[None]], size: int = SIZE) -> None:
        while self.accepted < size:
            await send(PIECE)
            self.accepted += len(PIECE)

    async def settled(self) -> int:
        """What was accepted once no more is (twenty looks in a row saw the same)."""
        seen, last = 0, -1
        while seen < 20:
            seen = seen + 1 if self.accepted == last else 0
            last = self.accepted
            await asyncio.sleep(0.02)
        return self.accepted


async def count(read: Callable[[int], Awaitable[bytes]], size: int) -> int:
    total = 0
    while total < size and (data := await read(1 << 18)):
        total += len(data)
    return total


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_backend_that_does_not_read_stops_the_client(bastion: Bastion, pod: Place, tls: bool) -> None:
    async def main() -> None:
        read, meter = asyncio.Event(), Meter()

        async def serve(visit: Visit) -> None:
            head = await visit.head()
            await read.wait()
            await visit.answer(b"%d" % await count(visit.reader.read, int(head.one("Content-Length"))))

        more = {"ssl": bastion.cluster.backend_tls(pod.address)} if tls else {}
        port = TLS_PORT if tls else 8080
        async with backend(pod.address, serve, port=port, **more), client(bastion, plain=not tls) as wire:
            await wire.send(request(pod.path(port=port), f"Content-Length: {SIZE}", method="PUT"))
            pouring = asyncio.create_task(meter.pour(wire.send))
            assert 0 < await meter.settled() < MOST_BETWEEN
            read.set()
            await pouring
            assert (await wire.answer()).body == b"%d" % SIZE

    asyncio.run(main())


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_a_client_that_does_not_read_stops_the_backend(bastion: Bastion, pod: Place, tls: bool) -> None:
    async def main() -> None:
        meter = Meter()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE)
            await meter.pour(visit.send)

        more = {"ssl": bastion.cluster.backend_tls(pod.address)} if tls else {}
        port = TLS_PORT if tls else 8080
        async with backend(pod.address, serve, port=port, **more), client(bastion, plain=not tls) as wire:
            await wire.send(request(pod.path(port=port)))
            head = await wire.head()
            assert 0 < await meter.settled() < MOST_BETWEEN
            assert await count(wire.reader.read, int(head.one("Content-Length"))) == SIZE

    asyncio.run(main())


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunks"])
def test_any_method_carries_a_body_both_ways(
    bastion: Bastion, pod: Place, method: str, chunked: bool
) -> None:
    body = bytes(range(256)) * 3000

    async def reflect(visit: Visit) -> None:
        message = await visit.message()
        assert message.method == method
        if chunked:
            await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            await visit.send_chunk(message.body)
            await visit.send(b"0\r\n\r\n")
        else:
            await visit.answer(message.body)

    async def main() -> None:
        async with backend(pod.address, reflect), client(bastion) as wire:
            if chunked:
                await wire.send(request(pod.path(), "Transfer-Encoding: chunked", method=method))
                for piece in (body[:1], body[1:70_000], body[70_000:]):
                    await wire.send(b"%x;ext=1\r\n%b\r\n" % (len(piece), piece))
                await wire.send(b"0\r\n\r\n")
            else:
                await wire.send(request(pod.path(), method=method, body=body))
            assert hashlib.sha256((await wire.answer()).body).digest() == hashlib.sha256(body).digest()

    asyncio.run(main())


def test_each_event_arrives_before_the_next_is_sent(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        received = asyncio.Queue[bytes]()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
            for number in range(5):
                await visit.send(b"data: %d\n\n" % number)
                assert await received.get() == b"data: %d\n\n" % number

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path("/events")))
            assert (await wire.head()).one("Content-Type") == "text/event-stream"
            assert [received.put_nowait(chunk) or chunk async for chunk in wire.chunks()] == [  # type: ignore[func-returns-value]
                b"data: %d\n\n" % n for n in range(5)
            ]

    asyncio.run(main())


def test_each_piece_of_an_upload_arrives_before_the_next_is_sent(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        received = asyncio.Queue[bytes]()

        async def serve(visit: Visit) -> None:
            await visit.head()
            async for chunk in visit.chunks():
                received.put_nowait(chunk)
            await visit.answer(b"done")

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path(), "Transfer-Encoding: chunked", method="POST"))
            for number in range(5):
                await wire.send(b"1\r\n%d\r\n" % number)
                assert await received.get() == b"%d" % number
            await wire.send(b"0\r\n\r\n")
            assert (await wire.answer()).body == b"done"

    asyncio.run(main())


# --- a client that leaves


async def waiting_for_an_answer(wire: Client, path: str) -> None:
    await wire.send(request(path))


async def with_requests_pipelined(wire: Client, path: str) -> None:
    await wire.send(*[request(path)] * 3)


async def with_much_pipelined(wire: Client, path: str) -> None:
    """More than is held, so that the rest is not read."""
    await wire.send(request(path), *[request(path, "X-Much: " + "m" * 8000)] * (PIPELINED_BYTES // 8000 + 4))


async def in_the_midst_of_an_upload(wire: Client, path: str) -> None:
    await wire.send(request(path, "Content-Length: 100", method="POST"), b"some")


async def in_the_midst_of_a_chunk(wire: Client, path: str) -> None:
    await wire.send(request(path, "Transfer-Encoding: chunked", method="POST"), b"ff\r\nsome")


@pytest.mark.timeout(15)
@pytest.mark.parametrize("leaving", ["closes", "resets"])
@pytest.mark.parametrize(
    "doing",
    [
        waiting_for_an_answer,
        with_requests_pipelined,
        with_much_pipelined,
        in_the_midst_of_an_upload,
        in_the_midst_of_a_chunk,
    ],
)
def test_a_client_that_leaves_frees_its_backend(
    bastion: Bastion, pod: Place, doing: Callable[[Client, str], Awaitable[None]], leaving: str
) -> None:
    async def main() -> None:
        came, free = asyncio.Event(), asyncio.Event()

        async def serve(visit: Visit) -> None:
            await visit.head()
            came.set()
            await visit.ended()
            free.set()

        async with backend(pod.address, serve) as behind:
            async with client(bastion) as wire:
                await doing(wire, pod.path())
                await came.wait()
                if leaving == "resets":
                    wire.reset()
                else:
                    wire.close()  # TLS says so
                    wire.writer.transport.abort()  # and, without waiting for an answer, so does TCP
                await free.wait()
            assert (await ask(bastion, request("/version"))).status == 200
            assert len(behind.visits) == 1  # what was pipelined behind is not begun for nobody

    asyncio.run(main())


def test_a_client_that_resets_an_upload_nobody_reads_is_noticed(bastion: Bastion, pod: Place) -> None:
    """The backend takes no more, so nothing more is read of the client.

    (A FIN waits behind what was sent: nobody can hear it.)
    """

    async def main() -> None:
        left, meter = asyncio.Event(), Meter()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await left.wait()

        async with backend(pod.address, serve):
            async with client(bastion, plain=True) as wire:
                await wire.send(
                    request(pod.path(), f"Content-Length: {SIZE}", f"Audit-Id: {pod.name}-left", method="PUT")
                )
                pouring = asyncio.create_task(meter.pour(wire.send))
                await meter.settled()
                pouring.cancel()
                wire.reset()
            line = await asyncio.to_thread(bastion.line, f"{pod.name}-left")
            assert line["outcome"] == "client-left"
            left.set()

    asyncio.run(main())


@pytest.mark.parametrize("reading", [True, False], ids=["reading", "stalled"])
def test_a_client_that_leaves_an_answer_frees_its_backend(
    bastion: Bastion, pod: Place, reading: bool
) -> None:
    async def main() -> None:
        free, meter = asyncio.Event(), Meter()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
            try:
                await meter.pour(visit.send, 1 << 40)
            finally:
                free.set()

        async with backend(pod.address, serve):
            async with client(bastion) as wire:
                await wire.send(request(pod.path()))
                await wire.head()
                if reading:
                    await count(wire.reader.read, 10 << 20)
                else:
                    await meter.settled()
            await free.wait()

    asyncio.run(main())


@pytest.mark.parametrize(
    "head", [b"Transfer-Encoding: chunked", b"Connection: close"], ids=["chunked", "until-close"]
)
def test_the_head_of_a_stream_comes_before_its_first_event(bastion: Bastion, pod: Place, head: bytes) -> None:
    async def main() -> None:
        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n%b\r\n\r\n" % head)
            await visit.ended()

        async with backend(pod.address, serve), client(bastion) as wire:
            await wire.send(request(pod.path()))
            assert (await asyncio.wait_for(wire.head(), 20)).status == 200

    asyncio.run(main())


# --- a backend that breaks off before the end of its response

LENGTH = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n" + b"x" * 40
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n28\r\n" + b"x" * 40 + b"\r\n"
IN_A_CHUNK = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n" + b"x" * 40
MALFORMED = CHUNKED + b"zz\r\n"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n" + b"x" * 40

FIN, RST = "FIN", "RST"


def breaking(answer: bytes, how: str, received: asyncio.Event) -> Callable[[Visit], Awaitable[None]]:
    """Sends `answer`, waits until the client has it, and ends the connection so."""

    async def serve(visit: Visit) -> None:
        await visit.head()
        await visit.send(answer)
        await received.wait()
        if how == RST:
            visit.reset()

    return serve


BREAKS = {
    "length, FIN": (LENGTH, FIN),
    "length, RST": (LENGTH, RST),
    "between chunks, FIN": (CHUNKED, FIN),
    "between chunks, RST": (CHUNKED, RST),
    "within a chunk, FIN": (IN_A_CHUNK, FIN),
    "within a chunk, RST": (IN_A_CHUNK, RST),
    "no chunk": (MALFORMED, FIN),
    "until close, RST": (UNTIL_CLOSE, RST),
}


@pytest.mark.parametrize(("answer", "how"), BREAKS.values(), ids=BREAKS)
def test_an_answer_that_breaks_off_is_visibly_broken(
    bastion: Bastion, pod: Place, answer: bytes, how: str
) -> None:
    async def main() -> None:
        received = asyncio.Event()
        async with backend(pod.address, breaking(answer, how, received)), client(bastion) as wire:
            await wire.send(request(pod.path()))
            head = await wire.head()
            if head.all("Content-Length"):
                assert await wire.reader.readexactly(40) == b"x" * 40
            else:
                assert head.one("Transfer-Encoding") == "chunked"
                assert await wire.chunk() == b"x" * 40
            received.set()
            assert await wire.ended() == b""  # no terminator, nothing made up, and the connection is gone

    asyncio.run(main())


def test_an_answer_that_a_fin_ends_is_whole(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        received = asyncio.Event()
        async with backend(pod.address, breaking(UNTIL_CLOSE, FIN, received)), client(bastion) as wire:
            await wire.send(request(pod.path()))
            await wire.head()
            assert await wire.chunk() == b"x" * 40
            received.set()
            assert await wire.chunk() == b""
            await wire.send(request("/version"))  # and the client's connection lives on
            assert (await wire.answer()).status == 200

    asyncio.run(main())


@pytest.mark.parametrize("answer", [CHUNKED, UNTIL_CLOSE], ids=["chunked", "until-close"])
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_an_http_1_0_client_can_tell_too(bastion: Bastion, pod: Place, answer: bytes, tls: bool) -> None:
    """It has no chunks: all that can tell a short body from a whole one is how the connection ends."""

    def broken() -> None:
        with socket.create_connection(("127.0.0.1", bastion.port if tls else bastion.plain_port)) as raw:
            sock = raw
            if tls:
                sock = bastion.trust.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False)
            sock.sendall(request(pod.path(), version="1.0"))
            seen = b""
            while not seen.endswith(b"x" * 40):
                seen += sock.recv(65536)
            loop.call_soon_threadsafe(received.set)
            # ssl.SSLEOFError is an OSError: the end came without TLS' own.
            with pytest.raises((ConnectionResetError, ssl.SSLEOFError)):
                assert sock.recv(65536)

    async def main() -> None:
        nonlocal loop, received  # type: ignore[misc]
        loop, received = asyncio.get_running_loop(), asyncio.Event()
        async with backend(pod.address, breaking(answer, RST, received)):
            await asyncio.to_thread(broken)

    loop: asyncio.AbstractEventLoop
    received: asyncio.Event
    asyncio.run(main())
