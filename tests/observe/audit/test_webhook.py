"""Are events posted in batches, tried again, and counted where they are lost?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.truncate import Truncated, without_bodies
from bastion.observe.audit.webhook import AT_ONCE, Batches, Batching, Delivery, Pace
from tests.fakes import run, until


class Sink:
    """`fails`: how many posts are refused first; `hangs` until it is let."""

    def __init__(self, fails: int = 0) -> None:
        self.posts: list[list[Any]] = []
        self.fails = fails
        self.let = asyncio.Event()
        self.let.set()

    async def post(self, body: bytes) -> None:
        value = json.loads(body)
        assert (value["kind"], value["apiVersion"]) == ("EventList", "audit.k8s.io/v1")
        await self.let.wait()
        if self.fails:
            self.fails -= 1
            raise OSError("it answered 500")
        self.posts.append(value["items"])

    @property
    def events(self) -> list[Any]:
        return [event for post in self.posts for event in post]


def batches(sink: Sink, counts: AuditCounts, **batching: Any) -> Batches:
    given = {"size": 3, "wait": 0.01, "buffer": 100} | batching
    return Batches(Delivery(sink.post, 0.001, counts), Batching(**given), counts)


def test_a_full_batch_is_posted_at_once_and_the_rest_after_its_wait() -> None:
    async def scenario() -> None:
        sink, counts = Sink(), AuditCounts()
        async with batches(sink, counts, wait=60) as posts:
            for number in range(7):
                posts.add(b"%d" % number, 1)
            await until(lambda: len(sink.events) == 6)
            assert sorted(map(len, sink.posts)) == [3, 3]
        assert sorted(sink.events) == [*range(7)]  # the end does not wait a minute
        async with batches(sink, counts) as posts:
            posts.add(b"7", 1)
            await until(lambda: sink.posts[-1] == [7])
        assert sum(counts.lost.values()) == 0

    run(scenario())


@pytest.mark.parametrize(("fails", "lost"), [(4, 0), (5, 2)])
def test_a_post_is_tried_five_times(fails: int, lost: int) -> None:
    async def scenario() -> None:
        sink, counts = Sink(fails), AuditCounts()
        async with batches(sink, counts) as posts:
            posts.add(b"1", 1)
            posts.add(b"2", 1)
        assert (counts.lost["webhook"], len(sink.events), sink.fails) == (lost, 2 - lost, 0)

    run(scenario())


def test_a_sink_that_hangs_costs_events_and_no_memory() -> None:
    async def scenario() -> None:
        sink, counts = Sink(), AuditCounts()
        sink.let.clear()
        async with batches(sink, counts, size=2, buffer=10) as posts:
            taken = 0
            for number in range(200):
                taken += posts.add(b"%d" % number, 1)
                await asyncio.sleep(0)
            assert taken <= 2 * AT_ONCE + 10 + 2
            assert counts.lost["buffered"] == 200 - taken
            sink.let.set()
        assert len(sink.events) == taken

    run(scenario())


def test_a_batch_has_no_more_bytes_than_it_may() -> None:
    async def scenario() -> None:
        sink, counts = Sink(), AuditCounts()
        async with batches(sink, counts, size=10, bytes=4) as posts:
            for event in (b"11", b"22", b"3", b"444444", b"5"):
                posts.add(event, 1)
        assert sorted(sink.posts) == [[3], [5], [11, 22], [444444]]

    run(scenario())


def test_batches_keep_their_pace() -> None:
    now = 100.0
    pace = Pace(2, 3, lambda: now)
    assert [pace.wait() for _ in range(5)] == [0, 0, 0, 0.5, 1.0]
    now = 102.0
    assert [pace.wait() for _ in range(3)] == [0, 0, 0.5]
    assert [Pace(0, 1, lambda: now).wait() for _ in range(3)] == [0, 0, 0]


def test_an_event_that_is_too_large_loses_its_bodies_or_is_dropped() -> None:
    class Log:
        events: list[bytes] = []  # noqa: RUF012

        def add(self, events: bytes, count: int) -> bool:
            self.events += events.split(b"\n")
            return True

    counts, log = AuditCounts(), Log()
    truncated = Truncated(log, 100, counts)
    large = json.dumps({"auditID": "x", "responseObject": {"message": "m" * 100}}).encode()
    assert truncated.add(b'{"auditID":"small"}', 1)
    assert truncated.add(large, 1)
    assert not truncated.add(json.dumps({"requestURI": "/" * 100}).encode(), 1)
    assert [json.loads(event) for event in log.events] == [
        {"auditID": "small"},
        {"auditID": "x", "annotations": {"audit.k8s.io/truncated": "true"}},
    ]
    assert json.loads(without_bodies(large)) == json.loads(log.events[1])
    assert counts.lost["truncate"] == 1
