"""Many peers that drip, flood, swell or do not listen: each is sent away in its time, others do not notice,
and nothing stays.

SOAK_PEERS sets how many; only then is it measured what they cost others (a measurement needs a
machine of its own).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict, dataclass

import pytest

from tests.e2e.harness import ALICE, PORT, ROOT, Bastion, Cluster, Place, serving
from tests.e2e.wire import backend, client, request
from tests.soak.peers import Order
from tests.tunnel.processes import descriptors, eventually, gauges, resident

SOAK = "SOAK_PEERS" in os.environ
PEERS = int(os.environ.get("SOAK_PEERS", "80"))
# seconds that a client's head, the next piece of its body and a reader that stalls are waited for
WAIT = 10 if SOAK else 2
HANDSHAKE = 10  # seconds, fixed
BODY_GRACE = 30  # seconds, fixed, in which a body may be as slow as it likes
LINGER = 10  # seconds, fixed, in which the rest of a body is taken so that a refusal is not lost
LATE = 5.0  # seconds that an end may be late on a busy machine: deadlines are swept, resets travel
REMEMBERED = 10 << 20  # bytes
LONG = 15.0 if SOAK else 0.0  # seconds over which those come who do not stay: long enough to tell a p99


@dataclass(frozen=True, slots=True)
class Kind:
    """`within`: seconds after which the last of them is gone; `statuses` that they may have been told, 0 for
    none.

    `arenas`: each of them is a request under way, and Python keeps its arenas at the most that were in use at
    once.
    """

    name: str
    within: float
    statuses: frozenset[int]
    count: int = PEERS
    tls: bool = False
    every: float = 4.0 if SOAK else 0.3
    over: float = 4.0 if SOAK else 0.3
    arenas: bool = False


KINDS = [
    Kind("heads", WAIT, frozenset((408,))),
    Kind("handshakes", HANDSHAKE, frozenset((0,)), tls=True),
    # In `make test` they are slower than the bastion waits for a single piece.
    Kind(
        "bodies",
        LINGER + (BODY_GRACE if SOAK else WAIT),
        frozenset((408,)),
        every=4.0 if SOAK else 3.0,
        arenas=True,
    ),
    Kind("fields", 60, frozenset((431, 0)), count=PEERS // 4, over=LONG),
    Kind("giants", 60, frozenset((431, 0)), count=PEERS // 20, over=LONG),
    Kind("chunks", 60, frozenset((200,)), count=PEERS // 10, over=LONG),
    Kind("bombs", 60, frozenset((200, 0)), count=PEERS // 20, over=LONG),
    Kind("readers", WAIT, frozenset((0,)), count=PEERS // 10, over=LONG, every=0.2),
]


@pytest.fixture(scope="module")
def bastion(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """No limits but those of time and size: nobody is turned away for being one of many."""
    folder = tmp_path_factory.mktemp("soak")
    waits = (
        "--request-header-timeout",
        f"{WAIT}s",
        "--request-body-idle-timeout",
        f"{WAIT}s",
        "--response-stall-timeout",
        f"{WAIT}s",
    )
    limits = (
        "--max-exchanges-per-user",
        0,
        "--max-waiting-per-target",
        0,
        "--max-connections-per-address",
        0,
    )
    with serving(Cluster(folder), folder, *waits, *limits) as running:
        yield running


@contextlib.asynccontextmanager
async def besieged(bastion: Bastion, kind: Kind) -> AsyncIterator[asyncio.Task[dict[str, object]]]:
    """The task is done when the last of them is gone."""
    pod = bastion.cluster.pod()
    port = bastion.port if kind.tls else bastion.plain_port
    path = pod.path()
    order = Order(
        kind.name, kind.count, port, path, ALICE, (pod.address, PORT), kind.over, kind.every, kind.within + 30
    )
    command = (sys.executable, "-m", "tests.soak.peers", json.dumps(asdict(order)))
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=asyncio.subprocess.PIPE)

    async def outcome() -> dict[str, object]:
        out, _ = await process.communicate()
        assert process.returncode == 0
        found: dict[str, object] = json.loads(out)
        return found

    task = asyncio.create_task(outcome())
    try:
        yield task
    finally:
        if process.returncode is None:
            process.kill()
        await asyncio.wait((task,))


async def latencies(bastion: Bastion, pod: Place, until: asyncio.Task[object]) -> list[float]:
    """Of one user who asks again and again, in seconds."""
    found = []
    async with client(bastion) as wire:
        while not until.done():
            began = time.perf_counter()
            await wire.send(request(pod.path(), token=ALICE))
            assert (await wire.answer()).status == 200
            found.append(time.perf_counter() - began)
            await asyncio.sleep(0.005)
    return found


def p99(found: list[float]) -> float:
    return statistics.quantiles(found, n=100)[98]


def at_rest(bastion: Bastion) -> bool:
    held = gauges(bastion)
    return (
        held["client_connections"] == held["requests_in_flight"] == 1
        and held["backend_connections"] == held["backend_connections_idle"]
    )


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_hostile_peers_are_sent_away_and_nothing_of_them_stays(bastion: Bastion, kind: Kind) -> None:
    async def main() -> None:
        other = bastion.cluster.pod()
        async with backend(other.address):
            # what is made once and kept
            await latencies(bastion, other, asyncio.create_task(asyncio.sleep(0.5)))
            if SOAK and kind.arenas:
                async with besieged(bastion, kind) as siege:
                    await siege
            await eventually(lambda: at_rest(bastion))
            before = descriptors(bastion), resident(bastion)
            quiet = await latencies(bastion, other, asyncio.create_task(asyncio.sleep(10 if SOAK else 0.5)))
            async with besieged(bastion, kind) as siege:
                loud = await latencies(bastion, other, siege)
                outcome = siege.result()
            quiet += await latencies(bastion, other, asyncio.create_task(asyncio.sleep(10 if SOAK else 0)))
            await eventually(lambda: at_rest(bastion))
            await eventually(lambda: descriptors(bastion) <= before[0])
            if SOAK:
                await eventually(lambda: resident(bastion) - before[1] < REMEMBERED)
        assert outcome["stayed"] == 0
        ended = {int(status): count for status, count in outcome["ended"].items()}  # type: ignore[attr-defined]
        assert sum(ended.values()) == kind.count
        assert set(ended) <= kind.statuses, ended
        if SOAK:
            print(
                f"{kind.name}: {kind.count} peers, gone after {outcome['longest']:.1f} s, p99"
                f" {p99(quiet) * 1000:.1f} ms in quiet, {p99(loud) * 1000:.1f} ms beside them,"
                f" {(resident(bastion) - before[1]) / (1 << 20):+.1f} MiB"
            )
            assert outcome["longest"] < kind.within + LATE  # type: ignore[operator]
            assert p99(loud) < 2 * p99(quiet)

    asyncio.run(main())
