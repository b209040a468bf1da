"""Whatever breaks, and whenever: nothing of it is left behind.

Each fault happens again and again, to a bastion that is a process (its descriptors are counted, and what it
counts itself) and to one inside of this process (its tasks and deadlines are counted).  SOAK_ROUNDS
sets how often.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
import uvloop

from tests.e2e.harness import ALICE, TLS_PORT, Bastion, Cluster, Place, serving
from tests.e2e.wire import Client, Serve, Visit, Wire, ask, backend, client, request
from tests.tunnel.ends import (
    BINARY,
    SPDY,
    WEBSOCKET,
    Upgraded,
    accept,
    accepting,
    echo,
    frame,
    place,
    silent,
    switch,
    tunnel,
)
from tests.tunnel.inside import inside
from tests.tunnel.processes import PATIENCE, as_before, descriptors, gauges

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "50"))
INSIDE = 10  # times for each: this process plays both ends as well
# seconds: longer than anything takes while this process plays both ends of hundreds at once
ANSWER_WITHIN = 3.0
HALF = frame(BINARY, bytes(1000))[:500]


@dataclass(frozen=True, slots=True)
class Round:
    """One time that something breaks."""

    bastion: Bastion
    path: str
    tls: bool

    def client(self) -> contextlib.AbstractAsyncContextManager[Client]:
        return client(self.bastion, plain=not self.tls)

    def tunnel(
        self, protocol: tuple[str, ...] = WEBSOCKET
    ) -> contextlib.AbstractAsyncContextManager[Upgraded]:
        return tunnel(self.bastion, self.path, protocol, plain=not self.tls)

    @contextlib.asynccontextmanager
    async def raw(self) -> AsyncIterator[socket.socket]:
        """A connection on which nothing was said."""
        with socket.socket() as sock:
            sock.setblocking(False)
            address = ("127.0.0.1", self.bastion.port if self.tls else self.bastion.plain_port)
            await asyncio.get_running_loop().sock_connect(sock, address)
            yield sock

    def asking(self, *lines: str) -> bytes:
        return request(self.path, *(lines or WEBSOCKET))


Play = Callable[[Round], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """`serve` is the backend's part, `play` the client's; `tls`: over which it happens; `at_once`: those that
    only wait wait together.
    """

    name: str
    serve: Serve
    play: Play
    tls: tuple[bool, ...] = (False, True)
    backend_speaks_tls: bool = True
    at_once: int = 50


def shut(wire: Wire) -> None:
    """A FIN, and not a word of TLS before it."""
    with socket.socket(fileno=os.dup(wire.writer.get_extra_info("socket").fileno())) as sock:
        sock.shutdown(socket.SHUT_WR)


# --- the client's faults


async def leaves_at_once(round: Round) -> None:
    async with round.raw():
        pass


async def resets_at_once(round: Round) -> None:
    async with round.raw() as sock:
        linger(sock)


def linger(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")


def client_hello() -> bytes:
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(
            ssl.MemoryBIO(), outgoing, server_hostname="bastion.test"
        ).do_handshake()
    return outgoing.read()


HELLO = client_hello()


async def resets_in_its_handshake(round: Round) -> None:
    async with round.raw() as sock:
        await asyncio.get_running_loop().sock_sendall(sock, HELLO[:100])
        linger(sock)


async def leaves_in_its_handshake(round: Round) -> None:
    async with round.raw() as sock:
        await asyncio.get_running_loop().sock_sendall(sock, HELLO)
        assert await asyncio.get_running_loop().sock_recv(sock, 100)  # the server has answered


async def says_no_tls(round: Round) -> None:
    async with round.raw() as sock:
        await asyncio.get_running_loop().sock_sendall(sock, round.asking())
        with contextlib.suppress(ConnectionError):
            while await asyncio.get_running_loop().sock_recv(sock, 100):
                pass


async def resets_in_its_head(round: Round) -> None:
    async with round.client() as wire:
        await wire.send(round.asking()[:60])
        wire.reset()


async def resets_before_the_answer(round: Round) -> None:
    async with round.client() as wire:
        await wire.send(round.asking())
        await asyncio.sleep(0.01)
        wire.reset()


async def leaves_before_the_answer(round: Round) -> None:
    async with round.client() as wire:
        await wire.send(round.asking(*SPDY), b"and what it says early")
        await asyncio.sleep(0.01)


async def resets(round: Round) -> None:
    async with round.tunnel() as stream:
        stream.reset()


async def resets_in_a_frame(round: Round) -> None:
    async with round.tunnel() as stream:
        await stream.send(frame(BINARY, bytes(1000), mask=b"mask")[:500])
        assert await stream.reader.read(1)
        stream.reset()


async def leaves(round: Round) -> None:
    async with round.tunnel() as stream:
        stream.close()
        await stream.ended()


async def is_cut_short(round: Round) -> None:
    async with round.tunnel() as stream:
        await stream.send(b"half")
        assert await stream.reader.readexactly(4) == b"half"
        shut(stream)
        await stream.ended()


async def breaks_a_record(round: Round) -> None:
    async with round.tunnel() as stream:
        await asyncio.to_thread(
            os.write, stream.writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32)
        )
        await stream.ended()


CLIENTS = [
    Fault("leaves at once", silent, leaves_at_once),
    Fault("resets at once", silent, resets_at_once),
    Fault("resets in its TLS handshake", silent, resets_in_its_handshake, (True,)),
    Fault("leaves in its TLS handshake", silent, leaves_in_its_handshake, (True,)),
    Fault("says no TLS", silent, says_no_tls, (True,)),
    Fault("resets in its head", silent, resets_in_its_head),
    Fault("resets before the answer", silent, resets_before_the_answer),
    Fault("leaves before the answer", silent, leaves_before_the_answer),
    Fault("resets", accepting(silent), resets),
    Fault("resets in a frame", accepting(echo), resets_in_a_frame),
    Fault("leaves", accepting(silent), leaves),
    Fault("is cut short", accepting(echo), is_cut_short),
    Fault("breaks a record", accepting(silent), breaks_a_record, (True,)),
]


# --- the backend's faults


async def reset_at_once(visit: Visit) -> None:
    visit.reset()


async def reset_before_the_answer(visit: Visit) -> None:
    await visit.head()
    visit.reset()


async def leave_before_the_answer(visit: Visit) -> None:
    await visit.head()


async def reset_in_the_answer(visit: Visit) -> None:
    head = await visit.head()
    await visit.send(switch(head.head)[:40])
    await asyncio.sleep(0.01)
    visit.reset()


async def leave_in_the_answer(visit: Visit) -> None:
    head = await visit.head()
    await visit.send(switch(head.head)[:40])


async def prove_nothing(visit: Visit) -> None:
    head = await visit.head()
    await visit.send(switch(head.head).replace(b"Accept: ", b"Accept: x"))
    await visit.ended()


async def answer_with_rubbish(visit: Visit) -> None:
    await visit.head()
    await visit.send(b"\x00\x01\x02 rubbish\r\n\r\n")
    await visit.ended()


async def never_answer(visit: Visit) -> None:
    await visit.ended()


async def refuse_in_part(visit: Visit) -> None:
    await visit.head()
    await visit.send(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\nbecause")
    await asyncio.sleep(0.01)
    visit.reset()


async def accept_and_reset(visit: Visit) -> None:
    await accept(visit)
    await asyncio.sleep(0.01)
    visit.reset()


async def reset_in_a_frame(visit: Visit) -> None:
    await accept(visit)
    await visit.send(HALF)
    await asyncio.sleep(0.01)
    visit.reset()


async def accept_and_leave(visit: Visit) -> None:
    await accept(visit)


async def leave_in_a_frame(visit: Visit) -> None:
    await accept(visit)
    await visit.send(HALF)


async def be_cut_short(visit: Visit) -> None:
    await accept(visit)
    await visit.send(HALF)
    shut(visit)
    await visit.ended()


async def break_a_record(visit: Visit) -> None:
    await accept(visit)
    await asyncio.sleep(0.005)
    await asyncio.to_thread(
        os.write, visit.writer.get_extra_info("socket").fileno(), b"\x17\x03\x03\x00\x20" + bytes(32)
    )
    await visit.ended()


async def speak_no_tls(visit: Visit) -> None:
    await visit.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await visit.ended()


def is_answered(*statuses: int) -> Play:
    async def play(round: Round) -> None:
        answer = await ask(round.bastion, round.asking())
        assert answer.status in statuses, answer.head
        assert answer.json()["kind"] == "Status"

    return play


async def sees_a_refusal_break_off(round: Round) -> None:
    async with round.client() as wire:
        await wire.send(round.asking())
        head = await wire.head()
        assert head.status == 403
        assert len(await wire.ended()) < 1000


async def sees_a_refusal_or_the_end(round: Round) -> None:
    """As it was in time for the one or not."""
    async with round.client() as wire:
        await wire.send(round.asking())
        if (await wire.head()).status != 503:
            await wire.ended()


async def sees_the_end(round: Round) -> None:
    async with round.tunnel() as stream:
        assert await stream.ended() in (b"", HALF)


BACKENDS = [
    Fault("resets at once", reset_at_once, is_answered(503)),
    Fault("resets before the answer", reset_before_the_answer, is_answered(503)),
    Fault("leaves before the answer", leave_before_the_answer, is_answered(503)),
    Fault("resets in the answer", reset_in_the_answer, is_answered(503)),
    Fault("leaves in the answer", leave_in_the_answer, is_answered(503)),
    Fault("proves nothing", prove_nothing, is_answered(503)),
    Fault("answers with rubbish", answer_with_rubbish, is_answered(503)),
    Fault("never answers", never_answer, is_answered(504), at_once=200),
    Fault("refuses in part", refuse_in_part, sees_a_refusal_break_off),
    Fault("resets", accept_and_reset, sees_the_end),
    Fault("resets in a frame", reset_in_a_frame, sees_the_end),
    Fault("leaves", accept_and_leave, sees_the_end),
    Fault("leaves in a frame", leave_in_a_frame, sees_the_end),
    Fault("is cut short", be_cut_short, sees_the_end),
    Fault("breaks a record", break_a_record, sees_a_refusal_or_the_end, (True,)),
    Fault("speaks no TLS", speak_no_tls, is_answered(503), (True,), backend_speaks_tls=False),
    Fault(
        "never ends its TLS handshake",
        never_answer,
        is_answered(503),
        (True,),
        backend_speaks_tls=False,
        at_once=200,
    ),
]


def cases() -> Iterator[Any]:
    for who, faults in (("client", CLIENTS), ("backend", BACKENDS)):
        for fault in faults:
            for tls in fault.tls:
                yield pytest.param(fault, tls, id=f"{who} {fault.name}{' over TLS' if tls else ''}")


@contextlib.asynccontextmanager
async def behind(fault: Fault, pod: Place, bastion: Bastion, tls: bool) -> AsyncIterator[str]:
    """The path to it."""
    path, where = place(pod, bastion, tls)
    if not fault.backend_speaks_tls:
        where = {"port": TLS_PORT}
    async with backend(pod.address, fault.serve, **where):
        yield path


async def rounds(fault: Fault, round: Round, count: int) -> None:
    async def some(count: int) -> None:
        for _ in range(count):
            await asyncio.wait_for(fault.play(round), 30)

    async with asyncio.TaskGroup() as group:
        for number in range(fault.at_once):
            group.create_task(some(count // fault.at_once + (number < count % fault.at_once)))


FLAGS = ("--response-header-timeout", f"{ANSWER_WITHIN:g}s", "--connect-timeout", f"{ANSWER_WITHIN:g}s")


@pytest.fixture(scope="module")
def impatient(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    with serving(cluster, tmp_path_factory.mktemp("impatient"), *FLAGS) as running:
        yield running


@pytest.mark.timeout(60 + 2 * ROUNDS)
@pytest.mark.parametrize(("fault", "tls"), list(cases()))
def test_nothing_is_left_in_the_process(impatient: Bastion, pod: Place, fault: Fault, tls: bool) -> None:
    async def main() -> None:
        async with behind(fault, pod, impatient, tls) as path:
            round = Round(impatient, path, tls)
            await ask(impatient, request("/version", token=ALICE))
            # what is made once and kept: connections to the API, the pages of memory
            await rounds(fault, round, 5)
            await as_before(lambda: gauges(impatient), AT_REST)
            before = descriptors(impatient)
            await rounds(fault, round, ROUNDS)
            await as_before(lambda: gauges(impatient), AT_REST)
            await as_before(lambda: descriptors(impatient), before)
        assert impatient.program.process.poll() is None
        assert not [line for line in impatient.log() if line["level"] in ("error", "critical")]

    asyncio.run(main())


AT_REST = dict.fromkeys(
    (
        "requests_in_flight",
        "streams",
        "stream_access_questions",
        "backend_connections",
        "backend_connections_idle",
    ),
    0.0,
)
AT_REST |= {"client_connections": 1.0, "requests_in_flight": 1.0}  # the one that asks


@pytest.mark.timeout(60 + 2 * ROUNDS)
def test_nothing_is_left_inside(cluster: Cluster) -> None:
    async def main() -> None:
        async with inside(cluster, *FLAGS) as bastion:
            await ask(bastion.there, request("/version", token=ALICE))
            while (before := bastion.held())["deadlines"]:
                await asyncio.sleep(0.02)
            # A few at a time: those that wait for a deadline wait together.
            several = [list(cases())[at::4] for at in range(4)]
            for some in several:
                async with asyncio.TaskGroup() as group:
                    for parameters in some:
                        fault, tls = parameters.values
                        group.create_task(happens(fault, tls, cluster.pod(), bastion.there))
                until = time.monotonic() + PATIENCE
                while (held := bastion.held()) != before:
                    assert time.monotonic() < until, (
                        f"{held} is left, {before} was before {[one.id for one in some]}"
                    )
                    await asyncio.sleep(0.02)

    async def happens(fault: Fault, tls: bool, pod: Place, there: Bastion) -> None:
        async with behind(fault, pod, there, tls) as path:
            await rounds(fault, Round(there, path, tls), INSIDE)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
