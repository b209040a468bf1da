"""Which API server gets a call, as their probes go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

from bastion.balance.readiness import Outcome
from bastion.kube.endpoint import Endpoint
from bastion.network.errors import DialError
from bastion.proxy.upstreams import Address, Upstream, Upstreams
from tests.fakes import run
from tests.present import present

SERVERS = [Address(f"10.0.0.{number}", 6443, "kubernetes.default.svc") for number in (1, 2, 3)]


class Script:
    """A prober whose outcomes the test says."""

    def __init__(self, outcome: Outcome, lost: Callable[[], None]) -> None:
        self.outcome = outcome
        self.lost = lost

    async def probe(self) -> Outcome:
        return self.outcome

    def close(self) -> None:
        pass


class Pool:
    def __init__(self) -> None:
        self.left: list[str] = []

    def endpoint_left(self, address: str) -> None:
        self.left.append(address)


class Setting:
    def __init__(self, *outcomes: Outcome, affinity: bool = False) -> None:
        self._outcomes = dict(zip(SERVERS, outcomes, strict=False))
        self.members = [*self._outcomes]
        self.probers: dict[str, Script] = {}
        self.pool: Any = Pool()
        self.upstreams = Upstreams(lambda: self.members, self._prober, self.pool, affinity=affinity)  # type: ignore[arg-type]

    def _prober(self, endpoint: Endpoint, lost: Callable[[], None]) -> Script:
        outcome = next(one for at, one in self._outcomes.items() if at.address == endpoint.address)
        self.probers[endpoint.address] = Script(outcome, lost)
        return self.probers[endpoint.address]

    async def says(self, number: int, outcome: Outcome, state: str) -> None:
        """From now on; returns once it shows."""
        self.probers[f"10.0.0.{number}"].outcome = outcome
        while self.upstreams.statistics().states[f"10.0.0.{number}:6443"] != state:
            for one in self.upstreams._known.values():
                one.due.set()
            await asyncio.sleep(0.01)

    def chosen(self, user: str = "", tried: tuple[Upstream, ...] = ()) -> set[str]:
        found = (self.upstreams.choose(user, tried) for _ in range(100))
        return {one.at.address for one in found if one is not None}


def test_new_calls_go_to_those_that_are_ready_then_to_those_that_drain_then_nowhere() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL, Outcome.STRANGE)
        await some.upstreams.begin()
        assert some.chosen() == {"10.0.0.1", "10.0.0.2"}
        await some.says(1, Outcome.UNWELL, "draining")
        assert some.chosen() == {"10.0.0.2"}
        await some.says(2, Outcome.UNTRUSTED, "impostor")
        assert some.chosen() == {"10.0.0.1"}
        await some.says(1, Outcome.REFUSED, "dead")
        assert some.chosen() == set()
        assert some.pool.left == ["10.0.0.1"]

    run(main())


def test_one_that_was_tried_or_whose_probes_broke_off_is_not_the_first_choice() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL)
        await some.upstreams.begin()
        some.probers["10.0.0.1"].lost()
        assert some.chosen() == {"10.0.0.2"}
        second = present(some.upstreams.choose(""))
        assert some.chosen(tried=(second,)) == {"10.0.0.1"}

    run(main())


def test_a_refused_connection_needs_no_probe() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL)
        await some.upstreams.begin()
        first = present(some.upstreams.choose(""))
        refusal = DialError("refused")
        refusal.__cause__ = ConnectionRefusedError()
        some.upstreams.undialled(first, refusal)
        assert first.at.address not in some.chosen()

    run(main())


def test_the_one_with_less_to_do_is_used() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL)
        await some.upstreams.begin()
        busy = present(some.upstreams.choose(""))
        busy.enter(None)  # type: ignore[arg-type]
        assert some.chosen() == {"10.0.0.1", "10.0.0.2"} - {busy.at.address}

    run(main())


def test_with_affinity_a_user_stays_and_only_those_of_a_lost_server_move() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL, Outcome.WELL, affinity=True)
        await some.upstreams.begin()
        users = [f"user-{number}" for number in range(60)]
        before = {user: some.chosen(user) for user in users}
        assert all(len(where) == 1 for where in before.values())
        assert min(Counter(map(str, before.values())).values()) > 5
        await some.says(2, Outcome.REFUSED, "dead")
        for user in users:
            if before[user] != {"10.0.0.2"}:
                assert some.chosen(user) == before[user]

    run(main())


def test_a_server_that_left_the_cluster_gets_nothing_new_and_goes_with_its_last_call() -> None:
    async def main() -> None:
        some = Setting(Outcome.WELL, Outcome.WELL)
        await some.upstreams.begin()
        leaving = next(one for one in some.upstreams._known.values() if one.at.address == "10.0.0.1")
        attempt = leaving.enter(None)  # type: ignore[arg-type]
        some.members = SERVERS[1:2]
        some.upstreams._update()
        assert some.chosen() == {"10.0.0.2"}
        assert len(some.upstreams.statistics().states) == 2
        leaving.attempts.discard(attempt)
        some.upstreams._update()
        assert [*some.upstreams.statistics().states] == ["10.0.0.2:6443"]

    run(main())
