"""Do retries never feed the fire?"""

from __future__ import annotations

from bastion.balance.budget import FLOOR, SECONDS, RetryBudget


def retries(budget: RetryBudget, now: float) -> int:
    count = 0
    while budget.may_retry(now):
        count += 1
    return count


def test_a_fifth_of_the_requests_of_the_last_seconds_and_a_few_more() -> None:
    budget = RetryBudget()
    assert retries(budget, 0.5) == FLOOR
    for _ in range(100):
        budget.request(1.0)
    assert retries(budget, 1.5) == 20
    assert retries(budget, 2.0) == 0


def test_what_is_older_does_not_count() -> None:
    budget = RetryBudget()
    for _ in range(1000):
        budget.request(5.2)
    assert retries(budget, 5.3) == FLOOR + 200
    assert retries(budget, 5.3 + SECONDS - 1) == 0
    assert retries(budget, 5.3 + SECONDS) == FLOOR
    assert (budget.requests, budget.retries) == (1000, 2 * FLOOR + 200)


def test_where_all_fail_three_hundred_requests_make_at_most_four_hundred_attempts() -> None:
    budget, attempts = RetryBudget(), 0
    for number in range(300):
        now = 100.0 + number / 100
        budget.request(now)
        attempts += 1 + sum(budget.may_retry(now) for _ in range(4))
    assert attempts == 300 + FLOOR + 60
