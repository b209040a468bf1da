"""Which endpoint is tried first, and by whom?  Failures of one user are that user's."""

from __future__ import annotations

import pytest

from bastion.balance.outlier import FAILURES, MAX_OF_A_USER, MAX_TRACKED, MAX_USERS, PROBE_SECONDS, Outliers

A, B = "10.0.0.1:80", "10.0.0.2:80"
ALICE, BOB, MALLORY = "alice", "bob", "mallory"

DIED, UNDIALLED, ANSWERED = "died", "undialled", "answered"


def history(outliers: Outliers, *events: tuple[str, str], endpoint: str = A, now: float = 0.0) -> Outliers:
    for user, what in events:
        if what == ANSWERED:
            outliers.answered(endpoint, user)
        elif what == DIED:
            outliers.unanswered(endpoint, user, now)
        else:
            outliers.undialled(endpoint, user, now)
    return outliers


def tried_first(outliers: Outliers, user: str, now: float = 1.0) -> str:
    return next(iter(outliers.order((A, B), user, now)))


# what came of requests to A, and from whom it is taken then
ROWS: dict[str, tuple[list[tuple[str, str]], set[str]]] = {
    "nothing": ([], set()),
    "not yet": ([(MALLORY, DIED)] * (FAILURES - 1), set()),
    "one user's": ([(MALLORY, DIED)] * FAILURES, {MALLORY}),
    "one user's, very many": ([(MALLORY, DIED)] * 1000, {MALLORY}),
    "one user's, and others are answered": (
        [(MALLORY, DIED)] * 50 + [(ALICE, ANSWERED)] + [(BOB, DIED)],
        {MALLORY},
    ),
    "one user's, who is answered": ([(MALLORY, DIED)] * 50 + [(MALLORY, ANSWERED)], set()),
    "not in a row": ([(MALLORY, DIED), (MALLORY, ANSWERED)] * FAILURES, set()),
    "of two users": ([(ALICE, DIED), (BOB, DIED)] * FAILURES, {ALICE, BOB, MALLORY}),
    "of two users, few": ([(ALICE, DIED), (BOB, DIED)] * 2, set()),
    "of two users, then an answer to one": (
        [(ALICE, DIED), (BOB, DIED)] * FAILURES + [(ALICE, ANSWERED)],
        {BOB},
    ),
    "no connection, one user's": ([(MALLORY, UNDIALLED)] * FAILURES, {ALICE, BOB, MALLORY}),
    "no connection, not yet": ([(MALLORY, UNDIALLED)] * (FAILURES - 1), set()),
    "no connection in between": ([(MALLORY, DIED), (MALLORY, UNDIALLED)] * (FAILURES - 1), set()),
    "a connection again": ([(MALLORY, UNDIALLED)] * 50 + [(ALICE, ANSWERED)], set()),
}


@pytest.mark.parametrize(("events", "taken_from"), ROWS.values(), ids=ROWS)
def test_from_whom_an_endpoint_is_taken(events: list[tuple[str, str]], taken_from: set[str]) -> None:
    outliers = history(Outliers(), *events)
    assert {user for user in (ALICE, BOB, MALLORY) if tried_first(outliers, user) == B} == taken_from
    assert outliers.statistics().failing == (ALICE in taken_from)


def test_taken_is_tried_last_and_never_not_at_all() -> None:
    outliers = Outliers()
    for endpoint in (A, B):
        history(outliers, *[(ALICE, UNDIALLED)] * 99, endpoint=endpoint)
    assert sorted(outliers.order((A, B), ALICE, 1.0)) == [A, B]
    history(outliers, (ALICE, ANSWERED), endpoint=B)
    assert list(outliers.order((A, B), BOB, 1.0)) == [B, A]


def test_one_request_each_few_seconds_tries_again() -> None:
    outliers = history(Outliers(), *[(ALICE, UNDIALLED)] * FAILURES)
    seen = [
        outliers.worth_a_try(A, ALICE, now)
        for now in (1.0, PROBE_SECONDS, PROBE_SECONDS, PROBE_SECONDS + 1, 2 * PROBE_SECONDS)
    ]
    assert seen == [False, True, False, False, True]


def test_probes_are_not_one_users_alone() -> None:
    """Mallory's every probe fails, and she asks at every moment; alice asks a little later, each time."""
    outliers = history(Outliers(), *[(MALLORY, DIED), (BOB, DIED)] * FAILURES)
    probes: list[str] = []
    for tenth in range(3000):
        now = tenth / 10
        if outliers.worth_a_try(A, MALLORY, now):
            probes.append(MALLORY)
            outliers.unanswered(A, MALLORY, now)
        elif tenth % 10 == 5 and outliers.worth_a_try(A, ALICE, now):
            probes.append(ALICE)
    assert probes.count(ALICE) > 4 * probes.count(MALLORY) > 0


def test_what_is_tried_for_want_of_another_does_not_put_off_the_probes_of_others() -> None:
    outliers = history(Outliers(), *[(MALLORY, DIED), (BOB, DIED)] * FAILURES)
    for tenth in range(100):
        outliers.unanswered(A, MALLORY, tenth / 10)
    assert outliers.worth_a_try(A, ALICE, 10.0)


def test_nothing_is_paid_for_while_nothing_fails() -> None:
    endpoints = (A, B)
    assert Outliers().order(endpoints, ALICE, 0.0) is endpoints
    outliers = history(Outliers(), (ALICE, DIED), (ALICE, ANSWERED))
    assert outliers.order(endpoints, ALICE, 0.0) is endpoints, "nothing is remembered of what is well"


def test_its_tables_are_bounded_and_one_user_fills_but_his_own() -> None:
    outliers = history(Outliers(), *[(ALICE, DIED)] * FAILURES)
    for number in range(MAX_TRACKED + 10):
        outliers.unanswered(number, MALLORY, 0.0)
    assert (len(outliers._all), len(outliers._users[MALLORY])) == (MAX_TRACKED, MAX_OF_A_USER)
    assert tried_first(outliers, ALICE) == B
    for number in range(MAX_USERS + 10):
        outliers.unanswered(A, f"user-{number}", 0.0)
    assert len(outliers._users) == MAX_USERS
