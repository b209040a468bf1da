"""Does anybody ever get what belongs to somebody else?

Fifty users, one bastion, backends that do their worst.

Every request has a nonce, and tells the backend who asks; the backend sends both back, over and over, and
every byte that a client gets of an answer must be a byte of its own.  Meanwhile clients leave, requests are
pipelined, and the backends break off, linger, and send answers that nobody asked for.  SOAK_ROUNDS
says how many requests.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import itertools
import os
import socket
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest
import uvloop

from tests.e2e.harness import PORT, Cluster, Place
from tests.e2e.wire import GONE, Client, Message, Visit, client
from tests.fakes import until
from tests.standalone.objects import binding, role, rule
from tests.tunnel.inside import Inside, inside

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "20000"))
WARM_UP = min(ROUNDS // 2, 10_000)  # of these, before anything is measured
USERS = 50
CONNECTIONS = 2  # of each user at a time
GROWTH = 10 << 20  # bytes of memory that may be left behind
ONE_BREATH = 4096  # bytes that surely arrive together
POISON = b"somebody else's\n" * 4


@dataclass(frozen=True, slots=True)
class User:
    number: int

    @property
    def name(self) -> bytes:
        return b"user-%d" % self.number

    @property
    def token(self) -> bytes:
        return b"user-%d-s3cr3t" % self.number


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; `own` is what a whole answer to it holds."""

    user: User
    nonce: int
    method: bytes
    data: bytes
    own: bytes
    forbidden: bool


def echo(nonce: bytes, user: bytes, times: bytes) -> bytes:
    return b"%b %b\n" % (nonce, user) * int(times)


def draw(chance: Random, user: User, nonce: int, places: list[Place]) -> Asked:
    times = chance.choice((1, 3, 50, 50, 2000))
    forbidden = chance.random() < 0.02
    rest = b"/%d/%b/%d" % (nonce, user.name, times)
    place = Place("web", "", namespace="elsewhere") if forbidden else chance.choice(places)
    lines = [b"Host: bastion.test", b"X-Nonce: %d" % nonce, b"Cookie: who=%b" % user.name]
    if chance.random() < 0.5:
        lines += [b"X-Bastion-Authorization: Bearer " + user.token, b"Authorization: Own " + user.name]
    else:
        lines.append(b"Authorization: Bearer " + user.token)
    method, body, own = (
        chance.choice((b"GET", b"GET", b"HEAD", b"POST", b"PUT")),
        b"",
        echo(b"%d" % nonce, user.name, b"%d" % times),
    )
    if method in (b"POST", b"PUT"):
        sent = own[: chance.choice((0, 10, len(own)))]
        if chance.random() < 0.5:
            lines.append(b"Content-Length: %d" % len(sent))
            body = sent
        else:
            lines.append(b"Transfer-Encoding: chunked")
            half = len(sent) // 2
            body = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (sent[:half], sent[half:]) if part)
                + b"0\r\n\r\n"
            )
    head = b"\r\n".join((b"%b %b%b HTTP/1.1" % (method, place.path("").encode(), rest), *lines, b"", b""))
    return Asked(user, nonce, method, head + body, own, forbidden)


# --- the backends


class Hostile:
    """`mixed` are requests that were not of one piece, and what could not be read."""

    def __init__(self, seed: str) -> None:
        self._chance = Random(seed)
        self.mixed: list[bytes | Exception] = []
        self.did: Counter[str] = Counter()

    async def serve(self, visit: Visit) -> None:
        while True:
            head = await visit.head()
            whole = await self._take(visit, head)
            [answer] = self._chance.choices(list(_ANSWERS), _WEIGHTS)
            self.did[answer] += 1
            _still_there(visit)
            if not await _ANSWERS[answer](visit, head, whole):
                return

    @contextlib.asynccontextmanager
    async def at(self, address: str) -> AsyncIterator[None]:
        """Keeps nothing of a connection that has ended."""
        visits: set[asyncio.Task[None]] = set()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            visit = asyncio.ensure_future(self._receive(Visit(reader, writer, 0)))
            visits.add(visit)
            visit.add_done_callback(visits.discard)

        server = await asyncio.start_server(accept, address, PORT)
        try:
            yield
        finally:
            server.close()
            for visit in visits:
                visit.cancel()
            await asyncio.gather(*visits, return_exceptions=True)

    async def _receive(self, visit: Visit) -> None:
        try:
            await self.serve(visit)
        except GONE:
            pass  # the bastion left
        except Exception as error:
            self.mixed.append(error)
        finally:
            visit.close()

    async def _take(self, visit: Visit, head: Message) -> bytes:
        """What the request wants back."""
        _, nonce, user, times = head.target.encode().split(b"/")
        own = echo(nonce, user, times)
        said = (head.one("X-Nonce").encode(), head.one("Cookie").encode(), head.one("Authorization").encode())
        body = await visit.body(head)
        if said not in (
            (nonce, b"who=" + user, b""),
            (nonce, b"who=" + user, b"Own " + user),
        ) or not own.startswith(body):
            self.mixed.append(head.head + body)
        return own


async def _whole(visit: Visit, head: Message, own: bytes, *lines: bytes, keep: bool = True) -> bool:
    await visit.send(
        b"\r\n".join(
            (
                b"HTTP/1.1 200 OK",
                b"Content-Length: %d" % len(own),
                *_echoed(head),
                *lines,
                b"",
                _body(head, own),
            )
        )
    )
    return keep


async def _chunked(visit: Visit, head: Message, own: bytes) -> bool:
    pieces = [own[at : at + 700] for at in range(0, len(own), 700)]
    framed = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\nX-Sum: 1\r\n\r\n"
    await visit.send(
        b"\r\n".join(
            (b"HTTP/1.1 200 OK", b"Transfer-Encoding: chunked", *_echoed(head), b"", _body(head, framed))
        )
    )
    return True


async def _until_the_end(visit: Visit, head: Message, own: bytes) -> bool:
    await visit.send(b"\r\n".join((b"HTTP/1.1 200 OK", *_echoed(head), b"", _body(head, own))))
    return False


async def _slow(visit: Visit, head: Message, own: bytes) -> bool:
    await _pause(visit, 0.005)
    return await _whole(visit, head, own)


async def _pause(visit: Visit, seconds: float) -> None:
    await asyncio.sleep(seconds)
    _still_there(visit)


def _still_there(visit: Visit) -> None:
    """uvloop has other words for it at a later time."""
    if visit.writer.is_closing():
        raise ConnectionResetError


async def _in_two(visit: Visit, head: Message, own: bytes) -> bool:
    await _half(visit, head, own)
    await _pause(visit, 0.005)
    await visit.send(_body(head, own[len(own) // 2 :]))
    return True


async def _reset(visit: Visit, head: Message, own: bytes) -> bool:
    visit.reset()
    return False


async def _half(visit: Visit, head: Message, own: bytes) -> bool:
    fields = b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(own), *_echoed(head), b"", b""))
    await visit.send(fields + _body(head, own[: len(own) // 2]))
    return False


async def _half_and_reset(visit: Visit, head: Message, own: bytes) -> bool:
    await _half(visit, head, own)
    await _pause(visit, 0.001)
    visit.reset()
    return False


async def _half_a_head(visit: Visit, head: Message, own: bytes) -> bool:
    await visit.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    return False


async def _twice(visit: Visit, head: Message, own: bytes) -> bool:
    """An answer, and in the same breath one that nobody asked for.

    Not later: then it might be the answer to whatever was asked in the meantime, for all that HTTP can tell.
    """
    if len(own) > ONE_BREATH:
        return await _whole(visit, head, own)
    fields = b"\r\n".join((b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(own), *_echoed(head), b"", b""))
    await visit.send(fields + _body(head, own) + _UNASKED)
    return True


async def _too_long(visit: Visit, head: Message, own: bytes) -> bool:
    if len(own) > ONE_BREATH:
        return await _whole(visit, head, own)
    await visit.send(
        b"\r\n".join(
            (
                b"HTTP/1.1 200 OK",
                b"Content-Length: %d" % len(own),
                *_echoed(head),
                b"",
                _body(head, own) + POISON,
            )
        )
    )
    return True


async def _after_others(visit: Visit, head: Message, own: bytes) -> bool:
    await visit.send(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nX-Nonce: 0\r\n\r\n")
    return await _whole(visit, head, own)


async def _last(visit: Visit, head: Message, own: bytes) -> bool:
    return await _whole(visit, head, own, b"Connection: close", keep=False)


async def _last_unsaid(visit: Visit, head: Message, own: bytes) -> bool:
    return await _whole(visit, head, own, keep=False)


def _echoed(head: Message) -> list[bytes]:
    return [b"X-Nonce: " + head.one("X-Nonce").encode(), b"Set-Cookie: " + head.one("Cookie").encode()]


def _body(head: Message, body: bytes) -> bytes:
    return b"" if head.method == "HEAD" else body


_UNASKED = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Nonce: 0\r\nSet-Cookie: who=nobody\r\n\r\n%b" % (
    len(POISON),
    POISON,
)
_LIKELY = {_whole: 70, _chunked: 8}
_ANSWERS = {
    made.__name__: made
    for made in (
        _whole,
        _chunked,
        _until_the_end,
        _slow,
        _in_two,
        _reset,
        _half,
        _half_and_reset,
        _half_a_head,
        _twice,
        _too_long,
        _after_others,
        _last,
        _last_unsaid,
    )
}
_WEIGHTS = [_LIKELY.get(made, 2) for made in _ANSWERS.values()]


# --- the clients


@dataclass(slots=True)
class Crowd:
    """`counts` says how the requests ended: by status, or as lost with the connection."""

    there: Inside
    places: list[Place]
    nonces: Iterator[int]
    counts: Counter[object] = field(default_factory=Counter)

    async def visit(self, user: User, chance: Random) -> None:
        """One connection after the other, until no request is left to make."""
        while True:
            async with client(self.there.there, plain=chance.random() < 0.97) as wire:
                while True:
                    batch = [
                        draw(chance, user, nonce, self.places)
                        for nonce in itertools.islice(self.nonces, chance.choice((1, 1, 1, 2, 6)))
                    ]
                    if not batch:
                        return
                    if not await self._converse(wire, batch, chance):
                        break

    async def _converse(self, wire: Client, batch: list[Asked], chance: Random) -> bool:
        """Whether the connection can go on."""
        data = b"".join(asked.data for asked in batch)
        leaves = chance.random() < 0.04
        answered = 0
        try:
            if leaves:
                await wire.send(data[: chance.randrange(len(data) + 1)] if chance.random() < 0.5 else data)
                await asyncio.sleep(chance.choice((0, 0.001, 0.01)))
                batch = batch[: chance.randrange(len(batch) + 1)] if chance.random() < 0.5 else []
            else:
                await wire.send(data)
            for asked in batch:
                async with asyncio.timeout(0.05 if leaves else None):
                    self.counts[await answer_of(wire, asked)] += 1
                answered += 1
        except (*GONE, TimeoutError):
            self.counts["lost"] += len(batch) - answered
            return False
        return not leaves


async def answer_of(wire: Client, asked: Asked) -> int:
    """The status of the answer, which was this request's own.  Raises what GONE says where it breaks off."""
    head = await wire.head()
    body = b"" if asked.method == b"HEAD" else await _own_body(wire, head, asked)
    whose = (head.one("X-Nonce"), head.one("Set-Cookie").partition(";")[0])
    if head.status == 200:
        assert not asked.forbidden
        assert whose == (str(asked.nonce), f"who={asked.user.name.decode()}"), (asked, head)
        assert asked.method == b"HEAD" or asked.own == body, "what is told to be whole is"
    else:
        assert head.status == (403 if asked.forbidden else 503), (asked, head, body)
        assert head.one("X-Bastion-Error")
        assert not asked.forbidden or not body or b'User \\"%b\\" cannot' % asked.user.name in body, (
            asked,
            body,
        )
    return head.status


async def _own_body(wire: Client, head: Message, asked: Asked) -> bytes:
    """Of which every byte was checked, also where it breaks off."""
    body = b""
    try:
        if head.one("Transfer-Encoding"):
            async for chunk in wire.chunks():
                body += chunk
        else:
            body = await wire.reader.readexactly(int(head.one("Content-Length")))
    except asyncio.IncompleteReadError as error:
        body += error.partial if head.one("Content-Length") else b""
        raise
    finally:
        assert head.status != 200 or asked.own.startswith(body), (asked, body)
    return body


# --- the scene


def _held(there: Inside) -> dict[str, int]:
    ports = {there.there.port, there.there.plain_port, PORT}
    return {
        **there.held(),
        "descriptors": sum(_counts(int(name), ports) for name in os.listdir("/proc/self/fd")),
    }


def _counts(descriptor: int, ports: set[int]) -> bool:
    """All but connections elsewhere: the API server is in this process too, and its client keeps those for a
    minute after the last use.
    """
    try:
        sock = socket.socket(fileno=descriptor)
    except OSError:
        return True  # no socket, or gone meanwhile
    try:
        return sock.family != socket.AF_INET or not ports.isdisjoint(
            (sock.getsockname()[1], sock.getpeername()[1])
        )
    except OSError:
        return True  # it listens
    finally:
        sock.detach()


def _memory() -> int:
    """What is in use: free pages that the allocator keeps are given back first."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def _rush(there: Inside, cluster: Cluster, rounds: range, seed: str) -> Counter[object]:
    """All the users, until these requests are made."""
    places = [cluster.pod() for _ in range(3)]
    hostile = Hostile(f"backends {seed}")
    crowd = Crowd(there, places, iter(rounds))
    async with contextlib.AsyncExitStack() as stack:
        for place in places:
            await stack.enter_async_context(hostile.at(place.address))
        async with asyncio.TaskGroup() as visits:
            for number in range(USERS * CONNECTIONS):
                visits.create_task(crowd.visit(User(number % USERS), Random(f"{seed} {number}")))
    assert not hostile.mixed, hostile.mixed
    assert hostile.did.keys() == _ANSWERS.keys(), "each of them happened"
    return crowd.counts


@pytest.mark.timeout(60 + ROUNDS // 50)
def test_nobody_gets_what_is_somebody_elses_and_nothing_is_left_behind(tmp_path: Path) -> None:
    visitors = [
        role("through", rule("get create update", "core", "pods/proxy")),
        binding("visitors", "ClusterRole/through", "Group/visitors", namespace="default"),
    ]
    cluster = Cluster(tmp_path, *visitors)
    users = map(User, range(USERS))
    cluster.tokens.write_text(
        "".join(f'{user.token.decode()},{user.name.decode()},{user.number},"visitors"\n' for user in users)
    )

    async def scene() -> None:
        async with inside(cluster) as there:
            await _rush(there, cluster, range(WARM_UP), "warm-up")
            await until(lambda: not there.held()["connections"] and not there.held()["backend connections"])
            held, memory = _held(there), _memory()
            counts = await _rush(there, cluster, range(WARM_UP, ROUNDS), "rush")
            assert counts.total() > 0.8 * (ROUNDS - WARM_UP), (
                "the others were not waited for: their client had left"
            )
            assert counts[200] > 0.8 * counts.total()
            assert counts[403] and counts[503] and counts["lost"]
            await until(lambda: all(_held(there)[what] <= count for what, count in held.items()))
            assert _memory() < memory + GROWTH

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scene())
