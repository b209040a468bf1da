"""Which endpoint is tried first, and by whom?  Failures of one user are that user's."""

from __future__ import annotations

import pytest

from bastion.balance.outlier import FAILURES, MAX_OF_A_USER, MAX_TRACKED, MAX_USERS, PAUSE, Outliers

A, B = "10.0.0.1:80", "10.0.0.2:80"
ALICE, BOB, MALLORY = "alice", "bob", "mallory"

DIED, UNDIALLED, ANSWERED = "died", "undialled", "answered"


def history(outliers: Outliers, *events: tuple[str, str], endpoint: str = A, now: float = 0.0) -> Outliers:
    for user, what in events:
        if what == ANSWERED:
            outliers.answered(endpoint, user)
        elif what == DIED:
            outliers.failed(endpoint, user, now, dialled=True)
        else:
            outliers.failed(endpoint, user, now, dialled=False)
    return outliers


def is_due(outliers: Outliers, endpoint: str, user: str, now: float) -> bool:
    """Whether this request is its probe, or it is not ejected at all."""
    if outliers.well(endpoint, user):
        return True
    if now < outliers.due_at(endpoint, user):
        return False
    outliers.probe(endpoint, user, now)
    return True


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
    assert {user for user in (ALICE, BOB, MALLORY) if not outliers.well(A, user)} == taken_from
    assert outliers.statistics().failing == (ALICE in taken_from)


def test_a_failure_that_ejects_is_told_and_so_is_a_return() -> None:
    outliers = Outliers()
    told = [outliers.failed(A, ALICE, 0.0, dialled=True) for _ in range(FAILURES + 2)]
    assert told == [False] * (FAILURES - 1) + [True, False, False]
    assert (outliers.answered(A, BOB), outliers.well(A, ALICE)) == (False, False)
    assert (outliers.answered(A, ALICE), outliers.well(A, ALICE)) == (True, True)


def test_one_request_after_a_while_tries_again_and_each_failure_doubles_the_while() -> None:
    outliers = history(Outliers(), *[(ALICE, UNDIALLED)] * FAILURES)
    now, pauses = 0.0, []
    for _ in range(7):
        due = outliers.due_at(A, ALICE)
        pauses.append(due - now)
        now = due
        assert is_due(outliers, A, ALICE, now)
        assert not is_due(outliers, A, ALICE, now)
        outliers.failed(A, ALICE, now, dialled=False)
    assert pauses == [2, 4, 8, 16, 30, 30, 30]


def test_one_that_is_dialled_again_is_tried_and_one_failure_ejects_it_for_longer() -> None:
    outliers = history(Outliers(), *[(ALICE, DIED)] * FAILURES)
    outliers.probe(A, ALICE, 2.0)
    outliers.dialled(A, ALICE)
    assert outliers.well(A, ALICE)
    assert outliers.failed(A, ALICE, 3.0, dialled=True)
    assert outliers.due_at(A, ALICE) == 3.0 + 2 * PAUSE


def test_probes_are_not_one_users_alone() -> None:
    """Mallory's every probe fails, and she asks at every moment; alice asks a little later, each time."""
    outliers = history(Outliers(), *[(MALLORY, DIED), (BOB, DIED)] * FAILURES)
    probes: list[str] = []
    for tenth in range(3000):
        now = tenth / 10
        if is_due(outliers, A, MALLORY, now):
            probes.append(MALLORY)
            outliers.failed(A, MALLORY, now, dialled=True)
        elif tenth % 10 == 5 and is_due(outliers, A, ALICE, now):
            probes.append(ALICE)
    assert probes.count(ALICE) > 4 * probes.count(MALLORY) > 0


def test_what_is_tried_for_want_of_another_does_not_put_off_the_probes_of_others() -> None:
    outliers = history(Outliers(), *[(MALLORY, DIED), (BOB, DIED)] * FAILURES)
    for tenth in range(100):
        outliers.failed(A, MALLORY, tenth / 10, dialled=True)
    assert is_due(outliers, A, ALICE, 10.0)


def test_nothing_is_remembered_of_what_is_well() -> None:
    assert not Outliers().tracked
    outliers = history(Outliers(), (ALICE, DIED))
    assert outliers.tracked
    outliers.answered(A, ALICE)
    assert not outliers.tracked


def test_its_tables_are_bounded_and_one_user_fills_but_his_own() -> None:
    outliers = history(Outliers(), *[(ALICE, DIED)] * FAILURES)
    for number in range(MAX_TRACKED + 10):
        outliers.failed(number, MALLORY, 0.0, dialled=True)
    assert (len(outliers._all), len(outliers._users[MALLORY])) == (MAX_TRACKED, MAX_OF_A_USER)
    assert outliers.well(B, ALICE)
    for number in range(MAX_USERS + 10):
        outliers.failed(A, f"user-{number}", 0.0, dialled=True)
    assert len(outliers._users) == MAX_USERS
