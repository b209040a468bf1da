"""Sockets joined: the ends are ordinary sockets on loopback, and between them stands the relay."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop

from bastion.network.sockets import linger_none, prepare
from bastion.network.tcp.joining import Dial, Joiner, Limits
from bastion.network.tcp.listener import Listener, listening_socket
from bastion.network.tcp.places import Places
from bastion.network.tcp.poller import READ, Poller
from bastion.network.tcp.relay import Relay
from bastion.runtime.deadlines import Deadlines
from tests.loopback import free_port

MIB = 1 << 20


class Joined:
    """One connection through it: `client` and `backend` are the outer ends."""

    def __init__(self, places: list[tuple[str, int]]) -> None:
        self.places = places
        self.failures: list[OSError] = []
        self.relay: Relay | None = None
        self.over_with: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.client: socket.socket
        self.backend: socket.socket

    def next(self) -> Dial | None:
        return Dial(self.places.pop(0), 0.3) if self.places else None

    def failed(self, error: OSError) -> None:
        self.failures.append(error)

    def joined(self, relay: Relay) -> None:
        self.relay = relay

    def over(self, relay: Relay | None, reason: str) -> None:
        self.over_with.set_result(reason)


@contextlib.asynccontextmanager
async def joined(
    limits: Limits | None = None, early: bytes = b"", small: bool = False
) -> AsyncIterator[Joined]:
    loop = asyncio.get_running_loop()
    server = listening_socket("127.0.0.1", free_port())
    server.listen()
    async with Deadlines() as deadlines:
        poller = Poller()
        joiner = Joiner(poller, deadlines, prepare, *([limits] if limits else []))
        one = Joined([server.getsockname()])
        front = listening_socket("127.0.0.1", free_port())
        if small:
            for sock in (front, server):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        listener = Listener(poller, front, lambda sock, peer: joiner.join(sock, one, early))
        one.client = socket.socket()
        one.client.setblocking(False)
        await loop.sock_connect(one.client, front.getsockname())
        one.backend, _ = await loop.sock_accept(server)
        try:
            yield one
        finally:
            listener.close()
            for sock in (one.client, one.backend, server):
                sock.close()
            if not one.over_with.done():
                async with asyncio.timeout(5):
                    await one.over_with
            assert len(poller) == 0
            assert len(deadlines) == 0
            poller.end()


async def received(sock: socket.socket) -> bytes:
    """Until its end."""
    pieces = []
    while piece := await asyncio.get_running_loop().sock_recv(sock, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)


def run(work: Any) -> None:
    uvloop.run(asyncio.wait_for(work, 20))


@pytest.mark.parametrize("size", [0, 1, READ - 1, READ, READ + 1, 4 * READ, 8 * MIB + 1])
def test_bytes_arrive_as_they_were_sent_both_ways_at_once(size: int) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        there, back = random.Random(size).randbytes(size), random.Random(-size).randbytes(size // 2)

        async def send(sock: socket.socket, data: bytes) -> None:
            await loop.sock_sendall(sock, data)
            sock.shutdown(socket.SHUT_WR)

        async with joined(early=b"early") as one:
            _, _, at_backend, at_client = await asyncio.gather(
                send(one.client, there), send(one.backend, back), received(one.backend), received(one.client)
            )
            assert at_backend == b"early" + there
            assert at_client == back
            assert await one.over_with == ""
            assert one.relay is not None
            assert (one.relay.client.received, one.relay.backend.received) == (len(there), len(back))

    run(main())


def test_one_direction_may_end_long_before_the_other() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with joined() as one:
            one.client.shutdown(socket.SHUT_WR)
            assert await received(one.backend) == b""
            await loop.sock_sendall(one.backend, b"still here")
            assert await loop.sock_recv(one.client, 100) == b"still here"
            one.backend.close()
            assert await received(one.client) == b""
            assert await one.over_with == ""

    run(main())


@pytest.mark.parametrize("who", ["client", "backend"])
@pytest.mark.parametrize("after_end", [False, True], ids=["open", "after its end of input"])
def test_a_reset_is_a_reset_on_the_other_side_after_what_came_before(who: str, after_end: bool) -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with joined() as one:
            end, other = (one.client, one.backend) if who == "client" else (one.backend, one.client)
            await loop.sock_sendall(end, b"x" * 100_000)
            if after_end:
                end.shutdown(socket.SHUT_WR)
                await loop.sock_sendall(other, b"y")
                await loop.sock_recv(end, 1)
            await asyncio.sleep(0.05)
            linger_none(end)
            end.close()
            got = b""
            with pytest.raises(ConnectionError):
                while piece := await loop.sock_recv(other, 1 << 16):
                    got += piece
                await loop.sock_recv(other, 1)
                await asyncio.sleep(0.3)
                await loop.sock_sendall(other, b"z")
                await loop.sock_sendall(other, b"z")
            assert got == b"x" * 100_000
            assert await one.over_with in ("", f"{who} reset")

    run(main())


def test_a_reset_is_seen_while_nothing_is_read_from_there() -> None:
    """The client does not read, so the backend is not read; then the backend is gone."""

    async def main() -> None:
        async with joined(small=True) as one:
            with contextlib.suppress(BlockingIOError):
                while True:
                    one.backend.send(b"x" * 65536)
            await asyncio.sleep(0.05)
            linger_none(one.backend)
            one.backend.close()
            assert await one.over_with == "backend reset"

    run(main())


def test_no_more_than_one_read_is_held_for_a_reader_that_does_not_read() -> None:
    async def main() -> None:
        async with joined(small=True) as one:
            sent = 0
            for _ in range(50):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        sent += one.backend.send(b"x" * 65536)
                await asyncio.sleep(0.005)
            assert one.relay is not None
            assert len(one.relay.client.unsent) <= READ
            assert one.relay.backend.received < sent
            one.backend.shutdown(socket.SHUT_WR)  # which is seen only when the client reads again
            assert len(await received(one.client)) == sent

    run(main())


@pytest.mark.parametrize(
    ("limits", "reason"), [(Limits(idle=0.3), "idle"), (Limits(most=0.3), "lasted too long")], ids=str
)
def test_limits_of_time(limits: Limits, reason: str) -> None:
    async def main() -> None:
        async with joined(limits) as one:
            for _ in range(2):
                one.client.send(b"x")
                await asyncio.sleep(0.05)
            assert await one.over_with == reason
            assert await received(one.client) == b""

    run(main())


def test_the_next_place_is_tried_and_the_client_waits_meanwhile() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            server.listen()
            server.setblocking(False)
            async with Deadlines() as deadlines:
                poller = Poller()
                joiner = Joiner(poller, deadlines, prepare)
                one = Joined([("127.0.0.1", free_port()), ("::1", free_port()), server.getsockname()])
                client, near = socket.socketpair()
                for sock in (client, near):
                    sock.setblocking(False)
                client.send(b"hello")
                joiner.join(near, one, prefix=b"PROXY ")
                backend, _ = await loop.sock_accept(server)
                await loop.sock_sendall(backend, b"")
                assert await loop.sock_recv(backend, 11) in (b"PROXY hello", b"PROXY ")
                assert len(one.failures) == 2
                backend.close()
                client.close()
                await one.over_with
                poller.end()

    run(main())


def test_where_no_place_is_left_the_client_is_reset() -> None:
    async def main() -> None:
        loop = asyncio.get_running_loop()
        async with Deadlines() as deadlines:
            poller = Poller()
            joiner = Joiner(poller, deadlines, prepare)
            one = Joined([("127.0.0.1", free_port())])
            front = listening_socket("127.0.0.1", free_port())
            listener = Listener(poller, front, lambda sock, peer: joiner.join(sock, one))
            client = socket.socket()
            client.setblocking(False)
            with pytest.raises(ConnectionResetError):
                await loop.sock_connect(client, front.getsockname())
                await loop.sock_recv(client, 1)
            assert await one.over_with == "no backend"
            assert not joiner.waiting
            client.close()
            listener.close()
            poller.end()

    run(main())


def test_a_socket_that_is_closed_in_a_turn_keeps_its_number_until_its_end() -> None:
    async def main() -> None:
        poller = Poller()
        one, far = socket.socketpair()
        other, far_of_other = socket.socketpair()
        heard: list[int] = []

        def ready(_: int) -> None:
            heard.append(1)
            poller.close(one)
            poller.close(other)
            assert one.fileno() >= 0

        for sock in (one, other):
            poller.add(sock.fileno(), 1, ready)
        far.send(b"x")
        far_of_other.send(b"x")
        await asyncio.sleep(0.05)
        assert heard == [1]
        assert one.fileno() == other.fileno() == -1
        poller.end()
        far.close()
        far_of_other.close()

    run(main())


def test_places() -> None:
    alone = Places(10, busy=0.9)
    assert [alone.enter("a") for _ in range(10)] == [True] * 9 + [False]
    assert alone.enter("b")
    assert not alone.enter("c")
    places = Places(100, per_client=2)
    assert [places.enter(client) for client in ("a", "a", "a", "b")] == [True, True, False, True]
    places.leave("a")
    assert places.enter("a")
    assert [places.enter(f"2001:db8::{n}") for n in range(3)] == [True, True, False]  # a /64 is one client
