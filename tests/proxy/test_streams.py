"""What is under way for long, and what ends it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, cast

import pytest

from bastion.kube.endpoint import Endpoint
from bastion.kube.status import StatusError
from bastion.observe.record import Record
from bastion.proxy.streams import (
    AT_ONCE,
    IDLE,
    NODE_GONE,
    POD_GONE,
    STOPPING,
    TOO_LONG,
    Streams,
    UnderWay,
    Watch,
)
from bastion.runtime.deadlines import Deadlines
from bastion.settings.sections import StreamLimits
from tests import fakes
from tests.fakes import ClockLoop, pass_time, settle
from tests.proxy.exchanges import Exchange
from tests.proxy.routes import route_to

LONG = 60.0
ENDLESS = StreamLimits(idle_timeout=0, max_duration=0, recheck_interval=LONG)
RECORD = Record("GET", b"/", "192.0.2.1", "audit-id")
AT, ELSEWHERE = Endpoint("10.0.0.1", 80), Endpoint("10.0.0.2", 80)


def run(work: Coroutine[Any, Any, None]) -> None:
    fakes.run(work, ClockLoop)


class One:
    """An exchange under way until `go` or an end from outside; `outcome` is how it went, `watched` how long
    ago it had been allowed.
    """

    def __init__(self, resource: str = "pods", at: Endpoint | None = AT) -> None:
        self.exchange = Exchange()
        self.outcome: str | StatusError = "under way"
        self.watched: list[float] = []
        self.unwatched = 0
        self.refuse: Callable[[str], None] = lambda reason: None
        self.go = asyncio.Event()
        self.under_way: UnderWay
        self._resource, self._at = resource, at

    def watch(self, end: Callable[[str], None], ago: float) -> Callable[[], None]:
        self.watched.append(ago)
        self.refuse = end

        def unwatch() -> None:
            self.unwatched += 1

        return unwatch

    async def serve(self, streams: Streams) -> None:
        route = route_to(resource=self._resource)
        self.under_way = under_way = streams.begin(self.exchange, route, self, RECORD)  # type: ignore[arg-type]
        if self._at is not None:
            under_way.endpoint = self._at
        try:
            await self.go.wait()
            self.outcome = "done"
        except asyncio.CancelledError:
            if not under_way.reason:
                self.outcome = "cancelled"
                raise
            self.outcome = under_way.reason
            try:
                under_way.conclude()
            except StatusError as error:
                self.outcome = error
        finally:
            streams.over(under_way)


WATCH = cast(Watch, One.watch)  # what was admitted is here the One itself


@contextlib.asynccontextmanager
async def house(*ones: One, limits: StreamLimits = ENDLESS) -> AsyncIterator[Streams]:
    async with Deadlines() as deadlines:
        streams = Streams(deadlines, limits, WATCH)
        async with asyncio.TaskGroup() as group:
            for one in ones:
                group.create_task(one.serve(streams))
            await settle()
            yield streams
            for one in ones:
                one.go.set()
        assert (streams.statistics().long, len(deadlines)) == (0, 1)
        assert all(one.unwatched == len(one.watched) for one in ones)


async def live(seconds: float) -> None:
    for _ in range(round(seconds)):
        await pass_time(1.0)


def test_what_is_short_is_not_asked_about() -> None:
    async def main() -> None:
        one = One()
        async with house(one) as streams:
            await live(LONG - 2)
            assert (streams.statistics().long, one.watched, one.exchange.lasting) == (0, [], False)
        assert one.outcome == "done"

    run(main())


def test_what_is_long_is_asked_about_once_and_told_how_long_ago_it_was_allowed() -> None:
    async def main() -> None:
        one = One()
        async with house(one) as streams:
            await live(LONG + 2)
            assert (streams.statistics().long, len(one.watched), one.exchange.lasting) == (1, 1, True)
            assert LONG - 2 <= one.watched[0] <= LONG + 2
            await live(10 * LONG)
            assert len(one.watched) == 1
        assert one.outcome == "done"

    run(main())


@pytest.mark.parametrize("begun", [True, False])
def test_the_client_is_told_by_a_status_or_by_an_answer_that_breaks_off(begun: bool) -> None:
    async def main() -> None:
        one, other = One(), One()
        async with house(one, other):
            for each in (one, other):
                each.exchange.status = 200 if begun else 0
            await live(LONG + 2)
            one.refuse("access revoked")
            other.under_way.end(STOPPING, revoked=False)
            await settle()
            assert one.exchange.aborted is other.exchange.aborted is begun
            if begun:
                assert (one.outcome, other.outcome) == ("access revoked", STOPPING)
            else:
                assert isinstance(one.outcome, StatusError)
                assert isinstance(other.outcome, StatusError)
                assert (one.outcome.code, other.outcome.code) == (403, 503)
                assert "access revoked" in one.outcome.message

    run(main())


@pytest.mark.parametrize("long", [10.0, 1000.0])
def test_nothing_lasts_longer_than_the_longest_duration(long: float) -> None:
    async def main() -> None:
        one = One()
        one.exchange.status = 200
        async with house(one, limits=StreamLimits(idle_timeout=0, max_duration=100, recheck_interval=long)):
            await live(99)
            assert one.outcome == "under way"
            await live(3)
            assert one.outcome == TOO_LONG

    run(main())


def test_without_a_byte_it_ends_and_with_one_it_does_not() -> None:
    async def main() -> None:
        silent, up, down, waits = One(), One(), One(), One()
        for one in (silent, up, down):
            one.exchange.status = 200
        async with house(
            silent,
            up,
            down,
            waits,
            limits=StreamLimits(idle_timeout=30, max_duration=0, recheck_interval=LONG),
        ):
            for tens in range(20):
                assert silent.outcome == ("under way" if tens < 9 else IDLE) or tens == 9
                up.exchange.bytes_in += 1
                down.exchange.bytes_out += 1
                await live(10)
            assert silent.outcome == IDLE
            assert up.outcome == down.outcome == "under way"
            assert waits.outcome == "under way"  # for an answer there is another deadline

    run(main())


def test_it_ends_with_its_pod_or_its_node() -> None:
    async def main() -> None:
        there, elsewhere, on_node, short, nowhere = (
            One(),
            One(at=ELSEWHERE),
            One("nodes"),
            One(),
            One(at=None),
        )
        for one in (there, elsewhere, on_node):
            one.exchange.status = 200
        async with house(there, elsewhere, on_node, nowhere) as streams:
            await live(LONG + 2)
            late = asyncio.create_task(short.serve(streams))
            await settle()
            streams.address_gone(AT.address)
            await settle()
            assert (there.outcome, elsewhere.outcome, on_node.outcome) == (POD_GONE, "under way", "under way")
            streams.node_gone(AT.address)
            await settle()
            assert (on_node.outcome, elsewhere.outcome) == (NODE_GONE, "under way")
            assert (short.outcome, nowhere.outcome) == ("under way", "under way")
            nowhere.under_way.endpoint = AT
            nowhere.under_way.moved()
            streams.address_gone(AT.address)
            await settle()
            assert isinstance(nowhere.outcome, StatusError)
            assert nowhere.outcome.code == 503
            short.go.set()
            await late

    run(main())


def test_a_node_takes_the_pods_at_its_address_along() -> None:
    async def main() -> None:
        pod = One()
        pod.exchange.status = 200
        async with house(pod) as streams:
            await live(LONG + 2)
            streams.node_gone(AT.address)
            await settle()
            assert pod.outcome == NODE_GONE

    run(main())


def test_one_that_grows_long_after_all_were_ended_ends_too() -> None:
    async def main() -> None:
        long, late = One(), One()
        long.exchange.status = late.exchange.status = 200
        async with house(long) as streams:
            await live(LONG + 2)
            serving = asyncio.create_task(late.serve(streams))
            await settle()
            streams.end_all()
            await settle()
            assert (long.outcome, late.outcome) == (STOPPING, "under way")
            await live(LONG + 2)
            assert late.outcome == STOPPING
            await serving

    run(main())


def test_many_that_grow_long_together_do_so_in_several_turns() -> None:
    async def main() -> None:
        ones = [One() for _ in range(3 * AT_ONCE + 5)]
        async with house(*ones) as streams:
            seen = set()

            async def look() -> None:
                while streams.statistics().long < len(ones):
                    seen.add(streams.statistics().long)
                    await asyncio.sleep(0)

            looking = asyncio.create_task(look())
            await live(LONG + 3)
            await looking
            assert {AT_ONCE, 2 * AT_ONCE, 3 * AT_ONCE} <= seen

    run(main())


def test_a_client_that_leaves_is_no_end_from_outside() -> None:
    async def main() -> None:
        async with Deadlines() as deadlines:
            one, streams = One(), Streams(deadlines, StreamLimits(), WATCH)
            task = asyncio.create_task(one.serve(streams))
            await settle()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert (one.outcome, streams.statistics().long, len(deadlines)) == ("cancelled", 0, 1)

    run(main())


def test_a_tunnel_is_long_from_the_first() -> None:
    async def main() -> None:
        ended = []

        class Tunnel:
            moved = (0, 0)

            def end(self, reason: str, *, revoked: bool) -> None:
                ended.append((reason, revoked))

        one = One()
        async with house(
            one, limits=StreamLimits(idle_timeout=10, max_duration=1000, recheck_interval=LONG)
        ) as streams:
            await live(20)
            one.under_way.switched(Tunnel())
            assert (streams.statistics().long, len(one.watched)) == (1, 1)
            assert 18 <= one.watched[0] <= 22
            await live(100)  # how idle it is its relay knows
            assert not ended
            one.refuse("access revoked")
            streams.address_gone(AT.address)
            await live(1000)
            assert ended == [("access revoked", True), (POD_GONE, False), (TOO_LONG, False)]
            assert one.outcome == "under way"

    run(main())


def test_whoever_keeps_records_is_told_of_each_that_becomes_long() -> None:
    async def main() -> None:
        told = []
        async with Deadlines() as deadlines:
            one, streams = (
                One(),
                Streams(
                    deadlines,
                    StreamLimits(),
                    WATCH,
                    lambda record, exchange: told.append((record, exchange)),
                ),
            )
            task = asyncio.create_task(one.serve(streams))
            await pass_time(1)
            assert not told
            await pass_time(LONG + 1)
            await pass_time(LONG + 1)
            assert told == [(RECORD, one.exchange)]
            one.go.set()
            await task

    run(main())
