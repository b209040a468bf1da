"""What is known of the last hour of each target?"""

from __future__ import annotations

import pytest

from bastion.kube.requestinfo import parse_proxied
from bastion.kube.user import User
from bastion.observe.recent import FAILURES, MINUTES, Recent
from bastion.observe.record import Record

START = 1_800_000_000.0


class Clock:
    now = START

    def __call__(self) -> float:
        return self.now


def record(id: str = "web:http", code: int = 200, seconds: float = 0.002, user: str = "alice") -> Record:
    found = Record("GET", b"/", "127.0.0.1", "id")
    found.info = parse_proxied("GET", f"/api/v1/namespaces/shop/services/{id}/proxy/".encode())
    found.user, found.endpoint, found.code, found.seconds = User(user), "10.0.0.1:80", code, seconds
    found.bytes_out = 10
    return found


def test_a_minute_later_it_is_the_minute_before() -> None:
    clock = Clock()
    recent = Recent(clock)
    for code, seconds in ((200, 0.002), (200, 0.002), (503, 0.2), (200, 0.002)):
        recent.observe(record(code=code, seconds=seconds))
    clock.now += 60
    keys = recent.targets()[("services", "shop", "web")]
    summary = recent.summary(keys)
    assert summary.rates[-2:] == (4 / 60, 0.0)
    assert len(summary.rates) == MINUTES
    assert summary.errors == 0.25
    assert summary.p50 == pytest.approx(0.00208, abs=0.0005)
    assert summary.p99 is not None
    assert 0.1 < summary.p99 <= 0.25
    clock.now += 3600
    assert recent.summary(keys).p50 is None
    assert set(recent.summary(keys).rates) == {0.0}


def test_all_ids_of_a_target_are_one() -> None:
    recent = Recent(Clock())
    for id in ("web", "web:http", "https:web:443", "other"):
        recent.observe(record(id))
    assert {key: len(ids) for key, ids in recent.targets().items()} == {
        ("services", "shop", "web"): 3,
        ("services", "shop", "other"): 1,
    }


def test_failures_are_kept_and_only_so_many() -> None:
    clock = Clock()
    recent = Recent(clock)
    for _ in range(FAILURES + 5):
        clock.now += 1
        recent.observe(record(code=502))
    recent.observe(record(code=404))
    found = recent.failures([key for keys in recent.targets().values() for key in keys])
    assert len(found) == FAILURES
    assert (found[0].at, found[0].code, found[0].user) == (clock.now, 502, "alice")


def test_users_of_the_last_hour() -> None:
    clock = Clock()
    recent = Recent(clock)
    for user in ("alice", "bob", "alice"):
        recent.observe(record(user=user))
    assert recent.users() == [("alice", 2, 20), ("bob", 1, 10)]
    clock.now += 1800
    recent.observe(record(user="bob"))
    assert recent.users() == [("alice", 2, 20), ("bob", 2, 20)]
    clock.now += 3600
    assert recent.users() == []


def test_targets_are_bounded() -> None:
    recent = Recent(Clock(), most=3)
    for n in range(10):
        recent.observe(record(f"web-{n}"))
    assert len(recent.targets()) == 3


SLOW, QUICK = 0.9, 0.002
MINUTES_OF = [
    ("five minutes of it", [SLOW] * 5, True),
    ("four", [SLOW] * 4, False),
    ("one quick minute", [SLOW, SLOW, QUICK, SLOW, SLOW], False),
    ("a minute without a request", [SLOW, SLOW, None, None, SLOW], True),
    ("none at first", [None, SLOW, SLOW, SLOW, SLOW], False),
    ("quick again", [SLOW] * 5 + [QUICK], False),
    ("none at all", [None], False),
]


@pytest.mark.parametrize(
    ("minutes", "slow"), [case[1:] for case in MINUTES_OF], ids=[c[0] for c in MINUTES_OF]
)
def test_a_target_is_slow_once_it_has_been_for_five_minutes(minutes: list[float | None], slow: bool) -> None:
    clock = Clock()
    recent = Recent(clock)
    for seconds in minutes:
        if seconds is not None:
            recent.observe(record(seconds=seconds))
        clock.now += 60
    assert recent.slow([("services", "shop", id) for id in ("web", "web:http")], 0.5) is slow
    assert not recent.slow([("services", "shop", "web:http")], 5.0)
