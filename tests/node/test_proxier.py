"""When syncs happen: what is collected, what follows a failure, what a look finds gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.health import Health
from bastion.node.metrics import Metrics
from bastion.node.model import Model
from bastion.node.proxier import Syncer, SyncError
from bastion.node.rules import Rules
from tests.node.build import endpoint, endpoints, service


class Writing:
    """Remembers what it was told; fails as often as it is asked to."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.there: Fronts = {}
        self.fail_changes = self.fail_full = 0
        self.gone = False
        self.touched = asyncio.Event()

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        self.told.append("full")
        if self.fail_full:
            self.fail_full -= 1
            raise SyncError("no")
        self.there, self.gone = dict(fronts), False

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        self.told.append("change")
        if self.fail_changes:
            self.fail_changes -= 1
            raise SyncError("no")
        for key, front in changes.items():
            if front is None:
                del self.there[key]
            else:
                self.there[key] = front

    async def intact(self) -> bool:
        return not self.gone

    async def disturbed(self) -> None:
        await self.touched.wait()
        self.touched.clear()

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        metrics.add("failures", kind="partial" if partial else "full")


class Scene:
    def __init__(self, *, least: float = 0.0, period: float = 0.05) -> None:
        self.writing, self.metrics, self.health = Writing(), Metrics(), Health(("IPv4",), 60)
        self.model = Model("node1", lambda: self.syncer.wake())
        self.after: list[set[tuple[str, str]]] = []
        self.syncer = Syncer(
            "IPv4",
            self.model,
            self.writing,
            rules=lambda: Rules("IPv4"),
            health=self.health,
            metrics=self.metrics,
            after=lambda _, udp: self.after.append(udp),
            period=period,
            least=least,
        )

    def bring(self, number: int) -> None:
        name = f"s{number}"
        self.model.put_service(("shop", name), service(name, (f"10.96.1.{number + 1}",)))
        self.model.put_slice(
            ("shop", f"{name}-1"), endpoints(endpoint("10.244.1.10"), of=name, name=f"{name}-1")
        )

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.002)

    @property
    def right(self) -> bool:
        return bool(self.writing.there) and self.writing.there == self.model.families["IPv4"].claims.fronts


def play(work: Callable[[Scene], object], **times: float) -> None:
    async def main() -> None:
        scene = Scene(**times)
        scene.syncer.wake()
        task = asyncio.create_task(scene.syncer.run())
        try:
            await work(scene)  # type: ignore[misc]
        finally:
            task.cancel()

    asyncio.run(main())


def test_first_everything_then_what_differs() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.bring(1)
        await scene.until(lambda: scene.right and len(scene.writing.there) == 2)
        assert scene.writing.told == ["full", "change"]
        assert scene.health.healthy(1 << 62)
        text = scene.metrics.text().decode()
        assert 'sync_full_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1' in text
        assert 'sync_partial_proxy_rules_duration_seconds_count{ip_family="IPv4"} 1' in text

    play(work)


def test_what_comes_within_the_least_time_is_written_together() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        for number in range(1, 6):
            scene.bring(number)
            await asyncio.sleep(0.01)
        assert scene.writing.told == ["full"]
        await scene.until(lambda: len(scene.writing.there) == 6)
        assert scene.writing.told == ["full", "change"]

    play(work, least=0.3)


def test_a_change_that_is_not_taken_leads_to_one_rebuild() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.writing.fail_changes = 1
        scene.bring(1)
        await scene.until(lambda: scene.right and len(scene.writing.there) == 2)
        assert scene.writing.told == ["full", "change", "full"]
        assert 'kubeproxy_failures{kind="partial"} 1' in scene.metrics.text().decode()

    play(work)


def test_where_that_fails_too_the_next_comes_after_a_period_and_says_everything() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.writing.fail_changes, scene.writing.fail_full = 1, 3
        began = asyncio.get_running_loop().time()
        scene.bring(1)
        await scene.until(lambda: len(scene.writing.there) == 2)
        assert asyncio.get_running_loop().time() - began >= 3 * 0.05
        assert scene.writing.told == ["full", "change", "full", "full", "full", "full"]

    play(work)


def test_rules_that_are_gone_are_written_again() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.writing.gone = True
        await scene.until(lambda: len(scene.writing.told) == 2)
        assert scene.writing.told == ["full", "full"]

    play(work)


def test_a_change_by_another_program_is_undone_at_once() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.writing.there.clear()
        scene.writing.touched.set()
        await scene.until(lambda: scene.right)
        assert scene.writing.told == ["full", "full"]
        scene.writing.touched.set()  # a fight is no busy loop
        await asyncio.sleep(0.1)
        assert scene.writing.told == ["full", "full"]

    play(work, period=30.0)


def test_an_update_that_changes_nothing_asks_for_nothing() -> None:
    async def work(scene: Scene) -> None:
        scene.bring(0)
        await scene.until(lambda: scene.right)
        scene.bring(0)
        assert not scene.model.families["IPv4"].dirty
        await asyncio.sleep(0.1)
        assert scene.writing.told == ["full"]

    play(work)
