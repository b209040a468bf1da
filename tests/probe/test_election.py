"""One of several probes: never two for longer than the Lease lasts, and the next takes over within it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from bastion.cluster.election import DURATION, RENEW, RETRY, Election, Holder, Leading
from bastion.cluster.errors import ApiError
from bastion.kube.status import StatusError
from bastion.probe.history import History, Key, Outcome
from bastion.probe.hub import Hub
from bastion.probe.peers import PeerServer, ask
from bastion.probe.peertokens import PeerTokens
from bastion.standalone.leases import Leases
from tests.fakes import run

PATH = "/apis/coordination.k8s.io/v1/namespaces/a/leases"


class Api:
    """The embedded API's Leases, as a client sees them; `away`: it does not answer."""

    def __init__(self) -> None:
        self.leases = Leases(1)
        self.away = False
        self.writes = 0

    async def get(self, path: str, query: dict[str, str], asker: Any) -> bytes:
        return self._made(lambda: self.leases.get("a", path.rpartition("/")[2]))

    async def create(self, path: str, body: bytes, asker: Any) -> bytes:
        assert path == PATH
        self.writes += 1
        return self._made(lambda: self.leases.create("a", orjson.loads(body)))

    async def update(self, path: str, body: bytes, asker: Any) -> bytes:
        self.writes += 1
        return self._made(lambda: self.leases.update("a", path.rpartition("/")[2], orjson.loads(body)))

    def _made(self, work: Callable[[], dict[str, Any]]) -> bytes:
        if self.away:
            raise ApiError("away")
        try:
            return orjson.dumps(work())
        except StatusError as error:
            raise ApiError(error.message, error.code) from error


class Replicas:
    def __init__(self, count: int = 2) -> None:
        self.api, self.time = Api(), 0.0
        self.all = [
            Election(
                self.api,
                "a",
                "probes",
                Holder(f"r{n}", f"10.0.0.{n}:1", f"f{n}"),
                lambda: self.time,
                what="probes",
            )
            for n in range(count)
        ]

    async def after(self, seconds: float, *campaigning: int) -> list[bool]:
        """Who holds it, once these have tried every RETRY seconds."""
        end = self.time + seconds
        while self.time < end:
            self.time += RETRY
            for n in campaigning:
                await self.all[n].campaign()
            assert sum(one.holds for one in self.all) <= 1
        return [one.holds for one in self.all]


def test_one_holds_it_and_the_others_know_where_it_is() -> None:
    async def main() -> None:
        replicas = Replicas(3)
        assert await replicas.after(60, 0, 1, 2) == [True, False, False]
        assert replicas.all[2].holder == Holder("r0", "10.0.0.0:1", "f0")

    run(main())


def test_the_next_takes_over_within_the_time_of_the_lease() -> None:
    async def main() -> None:
        replicas = Replicas()
        await replicas.after(10, 0, 1)
        killed = replicas.time
        while not replicas.all[1].holds:
            await replicas.after(RETRY, 1)
        assert replicas.time - killed <= DURATION + 2 * RETRY
        lease = replicas.api.leases.get("a", "probes")
        assert lease["spec"]["leaseTransitions"] == 2
        # the former one comes back and sees that it is no longer its turn
        assert await replicas.after(10, 0, 1) == [False, True]

    run(main())


def test_a_holder_without_the_api_stops_before_another_may_begin() -> None:
    async def main() -> None:
        replicas = Replicas()
        await replicas.after(4, 0, 1)
        replicas.api.away = True
        assert await replicas.after(RENEW + RETRY, 0, 1) == [False, False]
        assert "away" in replicas.all[0].failure
        replicas.api.away = False
        assert sum(await replicas.after(DURATION + 2 * RETRY, 0, 1)) == 1

    run(main())


def test_who_resigns_is_followed_at_once() -> None:
    async def main() -> None:
        replicas = Replicas()
        await replicas.after(4, 0, 1)
        await replicas.all[0].resign()
        assert await replicas.after(RETRY, 1) == [False, True]

    run(main())


def test_two_that_begin_together_are_told_apart() -> None:
    async def main() -> None:
        replicas = Replicas()
        await asyncio.gather(*(one.campaign() for one in replicas.all))
        assert [one.holds for one in replicas.all].count(True) == 1

    run(main())


def test_nothing_is_written_while_nothing_asks_to_be_probed() -> None:
    async def main() -> None:
        api, worked = Api(), asyncio.Event()

        async def work() -> None:
            worked.set()
            await asyncio.Event().wait()

        asked = False
        election = Election(api, "a", "probes", Holder("r"), asyncio.get_running_loop().time, what="probes")
        task = asyncio.create_task(Leading(election, work, lambda: asked).run())
        await asyncio.sleep(0.05)
        assert api.writes == 0
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        asked = True
        task = asyncio.create_task(Leading(election, work, lambda: asked).run())
        async with asyncio.timeout(5):
            await worked.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert api.leases.get("a", "probes")["spec"]["holderIdentity"] == ""

    run(main())


def test_a_write_based_on_an_old_version_is_refused() -> None:
    leases = Leases(1)
    lease = leases.create("a", {"metadata": {"name": "x"}, "spec": {"holderIdentity": "one"}})
    leases.update("a", "x", {**lease, "spec": {"holderIdentity": "two"}})
    with pytest.raises(StatusError, match="modified"):
        leases.update("a", "x", lease)
    with pytest.raises(StatusError, match="already exists"):
        leases.create("a", lease)
    with pytest.raises(StatusError, match="not found"):
        leases.get("b", "x")


# --- peers


class Sweeping:
    class health:
        broken = False


def test_another_replica_tells_its_results_to_who_shows_the_token(tmp_path: Path) -> None:
    async def main() -> None:
        async def judge(credentials: Any, asker: Any) -> None:
            return None

        tokens = [PeerTokens(tmp_path, None, judge) for _ in range(2)]
        assert tokens[0].own() == tokens[1].own() != ""
        history = History()
        history.add(Key("services/a/web", "m", ""), Outcome(1.0, True, 0.1))
        there = Hub(Sweeping(), history, None, None, tokens[0].own, lambda: 2.0)  # type: ignore[arg-type]
        server = PeerServer(there.document, tokens[0].accepts)
        await server.open("127.0.0.1", 0)
        api = Api()
        first = Election(
            api, "a", "probes", Holder("r0", server.address, server.fingerprint), lambda: 0.0, what="probes"
        )
        await first.campaign()
        second = Election(api, "a", "probes", Holder("r1"), lambda: 0.0, what="probes")
        await second.campaign()
        here = Hub(Sweeping(), History(), None, second, tokens[1].own, lambda: 2.0)  # type: ignore[arg-type]
        for asked in (("services/a/web", "m"), ("", "")):
            report = await here.report(*asked)
            assert report.prober == {"state": "ok"}
            assert (report.of("services/a/web", "m") or {})["state"] == "up"
            assert report.of("services/a/other", "m") is None
        with pytest.raises(ValueError, match="not accepted"):
            await ask(Holder("x", server.address, server.fingerprint), "guess", "", "")
        with pytest.raises(ValueError, match="not the one"):
            await ask(Holder("x", server.address, "0" * 64), tokens[0].own(), "", "")
        server.close()
        assert (await here.report("services/a/web", "m")).prober == {"state": "ok"}  # a moment ago
        report = await here.report("services/a/web", "another")
        assert report.prober["state"] == "unavailable"
        assert "r0, does not answer" in report.prober["reason"]

    run(main())
