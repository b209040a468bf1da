"""A protocol that is not WebSocket, in which both sides talk at once and one may end before the other.

Blocking sockets in threads: asyncio's TLS cannot end one direction alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import pytest

from tests.e2e.harness import PORT, TLS_PORT, Bastion, Place
from tests.e2e.wire import request
from tests.tunnel.ends import SPDY, WEBSOCKET, noise, switch
from tests.tunnel.peer import Peer

MIB = 1 << 20
SIZE = 8 * MIB
SECONDS = 30  # after which a wait is one for ever

every_way = pytest.mark.parametrize(
    ("client_tls", "backend_tls"),
    [(False, False), (True, False), (False, True), (True, True)],
    ids=["plain", "tls-plain", "plain-tls", "tls"],
)
either_ends = pytest.mark.parametrize("first", ["client", "backend"])

Backend = Callable[[Peer], bytes]


class Tunnel:
    """Both ends of one: `client` is here, and `backend` what runs at the other one."""

    def __init__(self, client: Peer, backend: Future[bytes]) -> None:
        self.client, self.backend = client, backend


@contextlib.contextmanager
def tunnel(
    bastion: Bastion,
    pod: Place,
    serve: Backend,
    *,
    client_tls: bool = False,
    backend_tls: bool = False,
    early: bytes = b"",
    protocol: tuple[str, ...] = SPDY,
    method: str = "GET",
) -> Iterator[Tunnel]:
    """`serve` gets the backend's end once a request head came, and answers it; `early` is sent with the
    client's.
    """
    tls = bastion.cluster.backend_tls(pod.address) if backend_tls else None
    port = TLS_PORT if backend_tls else PORT
    with contextlib.ExitStack() as open_:
        listener = open_.enter_context(socket.create_server((pod.address, port)))
        listener.settimeout(SECONDS)
        threads = open_.enter_context(ThreadPoolExecutor(1))

        def at_backend() -> bytes:
            sock, _ = listener.accept()
            with sock:
                sock.settimeout(SECONDS)
                peer = Peer(sock, tls, server_side=True)
                peer.handshake()
                return serve(peer)

        served = threads.submit(at_backend)
        sock = open_.enter_context(
            socket.create_connection(("127.0.0.1", bastion.port if client_tls else bastion.plain_port))
        )
        sock.settimeout(SECONDS)
        client = Peer(sock, bastion.trust if client_tls else None, name="127.0.0.1")
        client.handshake()
        path = pod.path(port=port, scheme="https" if backend_tls else "")
        client.send(request(path, *protocol, method=method) + early)
        yield Tunnel(client, served)


def accepted(client: Peer) -> None:
    head = client.until(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 101 "), head


def accept(peer: Peer) -> None:
    peer.send(switch(peer.until(b"\r\n\r\n")))


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- both at once


@every_way
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_both_sides_talk_at_once(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, method: str
) -> None:
    there, back = noise(SIZE, 1), noise(SIZE + 12345, 2)

    def serve(peer: Peer) -> bytes:
        accept(peer)
        with ThreadPoolExecutor(1) as threads:
            sending = threads.submit(peer.send, back)
            arrived = peer.read(len(there))
            sending.result()
        assert peer.rest() == b""
        return arrived

    with (
        tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls, method=method) as t,
        ThreadPoolExecutor(1) as threads,
    ):
        accepted(t.client)
        sending = threads.submit(t.client.send, there)
        assert sha(t.client.read(len(back))) == sha(back)
        sending.result()
        t.client.end()
        assert sha(t.backend.result()) == sha(there)


def test_a_conversation_of_many_turns(bastion: Bastion, pod: Place) -> None:
    def serve(peer: Peer) -> bytes:
        accept(peer)
        while turn := peer.recv():
            peer.send(turn[::-1])
        return b""

    with tunnel(bastion, pod, serve, client_tls=True, backend_tls=True) as t:
        accepted(t.client)
        for size in range(1, 2000, 7):
            said = noise(size)
            t.client.send(said)
            # A turn may come in pieces, each turned about by itself: only how much came back is told.
            assert len(t.client.read(size)) == size
        t.client.end()
        assert t.client.rest() == b""


# --- one ends, the other goes on


@every_way
@either_ends
@pytest.mark.parametrize("protocol", [SPDY, WEBSOCKET], ids=["spdy", "websocket"])
def test_one_ends_and_the_other_arrives_whole(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, first: str, protocol: tuple[str, ...]
) -> None:
    last, more = noise(300_000, 3), noise(SIZE, 4)

    def ending(peer: Peer) -> bytes:
        peer.send(last)
        peer.end()
        return peer.rest()

    def going_on(peer: Peer) -> bytes:
        arrived = peer.rest()  # to its end: only then it speaks
        peer.send(more)
        peer.end()
        return arrived

    def serve(peer: Peer) -> bytes:
        accept(peer)
        return going_on(peer) if first == "client" else ending(peer)

    with tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls, protocol=protocol) as t:
        accepted(t.client)
        mine = ending(t.client) if first == "client" else going_on(t.client)
        theirs = t.backend.result()
    assert sha(mine) == sha(more if first == "client" else last)
    assert sha(theirs) == sha(last if first == "client" else more)


@every_way
@either_ends
def test_one_ends_in_the_midst_of_what_the_other_says(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, first: str
) -> None:
    more = noise(SIZE, 5)

    def ending(peer: Peer) -> bytes:
        begun = peer.read(MIB)
        peer.end()
        return begun + peer.rest()

    def going_on(peer: Peer) -> bytes:
        peer.send(more)
        peer.end()
        return peer.rest()

    def serve(peer: Peer) -> bytes:
        accept(peer)
        return going_on(peer) if first == "client" else ending(peer)

    with tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls) as t:
        accepted(t.client)
        mine = ending(t.client) if first == "client" else going_on(t.client)
        theirs = t.backend.result()
    assert sha(mine if first == "client" else theirs) == sha(more)
    assert (theirs if first == "client" else mine) == b""


@every_way
def test_a_backend_that_says_its_last_and_leaves_is_heard_to_the_end(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool
) -> None:
    """It closes with what it said still on its way, and the client takes a while to read it."""
    last = noise(MIB, 6)  # the kernels take it all, though the bastion does not yet

    def serve(peer: Peer) -> bytes:
        accept(peer)
        peer.send(last)
        peer.end()
        return b""  # and its socket is closed

    with tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls) as t:
        accepted(t.client)
        begun = t.client.read(100_000)
        t.backend.result()
        assert sha(begun + t.client.rest()) == sha(last)
        t.client.end()


# --- what is sent before the other side has spoken

SIZES = [1, 16_000, 16_384, 16_385, 40_000, 65_000, 300_000, 2 * MIB]


@every_way
@pytest.mark.parametrize("size", SIZES)
def test_what_the_backend_sends_with_its_answer_arrives(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, size: int
) -> None:
    """In one piece with the 101, so that it is there before anybody could know that the protocol has
    changed.
    """
    early = noise(size, 7)

    def serve(peer: Peer) -> bytes:
        peer.send(switch(peer.until(b"\r\n\r\n")) + early)
        return peer.read(5)

    with tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls) as t:
        accepted(t.client)
        assert sha(t.client.read(size)) == sha(early)
        t.client.send(b"heard")
        assert t.backend.result() == b"heard"


@every_way
@pytest.mark.parametrize("size", [1, 16_384, 40_000])
def test_a_backend_that_ends_with_its_answer_is_sent_to_all_the_same(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, size: int
) -> None:
    def serve(peer: Peer) -> bytes:
        peer.send(switch(peer.until(b"\r\n\r\n")) + noise(size, 8))
        peer.end()
        return peer.read(MIB)

    with tunnel(bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls) as t:
        accepted(t.client)
        assert t.client.rest() == noise(size, 8)
        t.client.send(noise(MIB, 9))
        assert t.backend.result() == noise(MIB, 9)


@every_way
@pytest.mark.parametrize("size", SIZES)
def test_what_the_client_sends_with_its_request_arrives_after_the_answer(
    bastion: Bastion, pod: Place, client_tls: bool, backend_tls: bool, size: int
) -> None:
    """SPDY clients do so.  Nothing of it reaches the backend before its 101."""
    early = noise(size, 10)

    def serve(peer: Peer) -> bytes:
        head = peer.until(b"\r\n\r\n")
        peer.sock.settimeout(0.1)
        with contextlib.suppress(TimeoutError):
            return b"too early: " + peer.recv()
        peer.sock.settimeout(SECONDS)
        peer.send(switch(head))
        arrived = peer.read(size)
        peer.send(b"heard")
        return arrived

    with (
        ThreadPoolExecutor(1) as threads,
        tunnel(
            bastion, pod, serve, client_tls=client_tls, backend_tls=backend_tls, early=early[:50_000]
        ) as t,
    ):
        rest = threads.submit(t.client.send, early[50_000:])
        accepted(t.client)
        assert t.client.read(5) == b"heard"
        rest.result()
        assert sha(t.backend.result()) == sha(early)
