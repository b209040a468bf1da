"""When things are probed, and what is remembered of it; the clock is an argument."""

from __future__ import annotations

import itertools
import tracemalloc
from collections import Counter

import pytest

from bastion.probe.history import DOWN, SLOTS, UNKNOWN, UP, History, Key, Outcome, Slots, Track, state_of
from bastion.probe.reports import DEGRADED, described
from bastion.probe.schedule import Schedule

KEY = Key("services/a/web", "http_2xx", "10.0.0.1:80")
LINEAR = itertools.cycle((0.1, 0.9, 0.5, 0.3, 0.7))


def outcome(at: float, success: bool | None = True) -> Outcome:
    return Outcome(at, success, 0.01, "" if success else "refused", "web-0", ("line",))


def test_two_thousand_targets_are_spread_evenly() -> None:
    schedule: Schedule[int] = Schedule(lambda: next(LINEAR))
    schedule.replace(dict.fromkeys(range(2000), 30.0), 0.0)
    counts: Counter[int] = Counter()
    each: Counter[int] = Counter()
    for step in range(3000):
        for one in schedule.due(step / 10):
            counts[step // 10] += 1
            each[one] += 1
    whole = [counts[second] for second in range(1, 299)]
    assert max(whole) <= 100, whole
    assert set(each.values()) <= {9, 10, 11}


def test_what_changes_its_interval_or_goes_is_not_probed_twice() -> None:
    schedule: Schedule[str] = Schedule(lambda: 0.5)
    schedule.replace({"a": 10.0, "b": 10.0}, 0.0)
    schedule.replace({"a": 20.0}, 1.0)
    found = [one for second in range(61) for one in schedule.due(float(second))]
    assert found == ["a"] * 3
    assert list(schedule.items()) == ["a"]


def test_no_probe_is_made_up_for_after_a_stop() -> None:
    schedule: Schedule[str] = Schedule(lambda: 0.5)
    schedule.replace({"a": 10.0}, 0.0)
    assert schedule.due(1000.0) == ["a"]
    assert schedule.due(1000.0) == []


def test_thresholds_hold_a_state() -> None:
    track = Track()
    states = [track.add(outcome(float(n), good), 3, 2) for n, good in enumerate([1, 0, 0, 0, 1, 0, 1, 1])]  # type: ignore[arg-type]
    assert states == [UP, "", "", DOWN, "", "", "", UP]
    assert [(at, state) for at, state in track.changes] == [(0.0, UP), (3.0, DOWN), (7.0, UP)]


def test_a_broken_prober_says_nothing_of_a_target() -> None:
    track = Track()
    track.add(outcome(0.0), 1, 1)
    assert track.add(outcome(1.0, None), 1, 1) == UNKNOWN
    assert track.slots.uptime(1.0, 3600) == 1.0
    assert not track.failures


def test_failures_outlive_successes() -> None:
    track = Track()
    track.add(outcome(0.0, False), 1, 1)
    for n in range(1000):
        track.add(outcome(float(n)), 1, 1)
    assert [one.at for one in track.failures] == [0.0]
    assert track.failures[0].log == ("line",)
    assert all(one.success for one in track.results)


@pytest.mark.parametrize(
    ("window", "share"), [(3600, 0.0), (7200, 0.5), (86400, 0.5)], ids=["last hour", "two hours", "a day"]
)
def test_uptime_by_window(window: int, share: float) -> None:
    slots = Slots()
    for n in range(6):
        slots.add(n, 10, 0)
        slots.add(n + 6, 0, 10)
    assert slots.uptime(12 * 600 - 1, window) == share


def test_a_gap_counts_neither_way_and_the_oldest_goes() -> None:
    slots = Slots()
    slots.add(10, 1, 0)
    slots.add(10 + SLOTS * 2, 0, 1)
    assert list(slots.worst()) == [((10 + SLOTS * 2) * 600, DOWN)]
    slots.add(11 + SLOTS * 2, 1, 0)
    slots.add(10 + SLOTS * 2, 1, 0)  # a little late
    assert slots.of(10 + SLOTS * 2) == (1, 1)
    slots.add(3, 1, 1)  # too late
    assert [state for _, state in slots.worst()] == [DOWN, UP]


def test_memory_is_flat() -> None:
    """Sixty hours of 200 targets, at one probe a minute."""
    history = History()
    keys = [Key(f"services/a/web-{n}", "http_2xx", "") for n in range(200)]

    def hours(first: int, last: int) -> None:
        for minute in range(first * 60, last * 60):
            for key in keys:
                history.add(key, Outcome(minute * 60.0, minute % 7 != 0, 0.01, "why", "web-0"))

    hours(0, 3)
    tracemalloc.start()
    before = tracemalloc.get_traced_memory()[0]
    hours(3, 9)
    after = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    # six hours replace what was kept (which was not traced) and add 72 bytes of counts to each
    kept = 200 * (120 + 20 + 50) * 250
    assert after - before < kept
    assert history.statistics() == 200


def test_the_number_of_endpoints_is_bounded() -> None:
    history = History(most=3)
    for n in range(10):
        history.add(Key(f"t{n}", "m", ""), outcome(float(n)))
    assert sorted(key.target for key, _ in history.items()) == ["t7", "t8", "t9"]
    assert history.of("t0", "m") == {}


def test_a_target_is_degraded_where_one_endpoint_is_down() -> None:
    history = History()
    for endpoint, good in (("10.0.0.1:80", True), ("10.0.0.2:80", False), ("", False)):
        history.add(Key("t", "m", endpoint), outcome(1.0, good))
    found = described(history.of("t", "m"), 2.0)
    assert found["state"] == DEGRADED
    assert [(one["endpoint"], one["state"]) for one in found["endpoints"]] == [
        ("10.0.0.1:80", UP),
        ("10.0.0.2:80", DOWN),
    ]
    assert "results" not in described(history.of("t", "m"), 2.0, brief=True)
    assert state_of(history.of("t", "m").values()) == DOWN
