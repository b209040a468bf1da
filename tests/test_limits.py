"""How many at once, and how often?"""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bastion.limits import MAX_KEYS, Concurrency, Rate


def test_each_key_has_its_own_number_at_once() -> None:
    limit = Concurrency(2)
    assert [limit.enter("a"), limit.enter("a"), limit.enter("a"), limit.enter("b")] == [True, True, False, True]
    limit.leave("a")
    assert limit.enter("a")
    for key in ("a", "a", "b"):
        limit.leave(key)
    assert len(limit) == 0, "nothing is remembered of who has left"


def test_0_is_no_limit() -> None:
    assert all(Concurrency(0).enter("a") for _ in range(1000))
    rate = Rate(0, 1)
    for _ in range(10):
        rate.spend("a", 0.0)
    assert not rate.exhausted("a", 0.0)


def test_a_burst_and_then_so_many_per_second() -> None:
    rate = Rate(2, 3)
    for _ in range(3):
        assert not rate.exhausted("a", 10.0)
        rate.spend("a", 10.0)
    assert rate.exhausted("a", 10.0)
    assert not rate.exhausted("b", 10.0)
    assert rate.exhausted("a", 10.4)
    assert not rate.exhausted("a", 10.5)
    rate.spend("a", 10.5)
    assert rate.exhausted("a", 10.9)
    assert not rate.exhausted("a", 1000.0)
    for _ in range(3):
        rate.spend("a", 1000.0)
    assert rate.exhausted("a", 1000.0), "who waits for long has no more than the burst"


def test_it_holds_no_more_keys_than_it_may() -> None:
    rate = Rate(1, 2)
    for number in range(MAX_KEYS + 10):
        rate.spend(number, number / 1000)
    assert len(rate) <= MAX_KEYS


@given(st.lists(st.floats(0, 5), min_size=1, max_size=60))
def test_never_more_than_the_burst_and_the_rate(pauses: list[float]) -> None:
    rate, now, taken = Rate(2, 5), 0.0, 0
    for pause in pauses:
        now += pause
        if not rate.exhausted("a", now):
            rate.spend("a", now)
            taken += 1
    assert taken <= 5 + 2 * now + 1e-6
