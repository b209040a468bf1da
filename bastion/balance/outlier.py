"""· Which endpoint is worth a try, and for whom?  Outcomes in, an order out; time is an argument.

What a user asks for may be what makes an endpoint fail: a path on which the application breaks down, an
answer that takes hours.  So a failure counts for its user: several in a row take the endpoint from that user
alone.  It is taken from everybody where it cannot be dialled, or where several in a row were of more than one
user.

Taken means tried last, and by one request each few seconds; it is never a reason to try nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

E = TypeVar("E", bound=Hashable)
V = TypeVar("V")

FAILURES = 5  # in a row
PROBE_SECONDS = 5.0
PAUSES = (1, 2, 4, 8, 12)  # times that: how much later somebody tries again whose every try failed
MAX_TRACKED = 16384  # endpoints that fail for everybody
MAX_USERS = 4096
MAX_OF_A_USER = 256  # endpoints


class _Run:
    """Failures in a row, the first of them of user `of`."""

    __slots__ = ("count", "of", "shared", "undialled", "until")

    def __init__(self, of: Hashable) -> None:
        self.count = 0
        self.undialled = 0  # the last so many: no connection
        self.of = of
        self.shared = False  # others failed, too
        self.until = 0.0  # when it may be tried again

    def failed(self, user: Hashable, *, dialled: bool) -> None:
        self.count += 1
        self.undialled = 0 if dialled else self.undialled + 1
        self.shared = self.shared or user != self.of


class OutlierStatistics(NamedTuple):
    """Endpoints that are tried last: by all users, or by one user alone."""

    failing: int
    failing_for_one_user: int


class Outliers:
    """Remembers only endpoints that fail."""

    def __init__(self, failures: int = FAILURES, probe_seconds: float = PROBE_SECONDS) -> None:
        self._failures = failures
        self._probe_seconds = probe_seconds
        self._all: OrderedDict[Hashable, _Run] = OrderedDict()  # endpoint -> since its last answer to anybody
        # user -> endpoint -> since its last to this one
        self._users: OrderedDict[Hashable, OrderedDict[Hashable, _Run]] = OrderedDict()

    def order(self, endpoints: Iterable[E], user: Hashable, now: float) -> Iterable[E]:
        """Those worth a try as they stand, and then the others.

        To go on to one that is failing is the probe of it.
        """
        if not self._all and not self._users:
            return endpoints
        return self._in_order(endpoints, user, now)

    def _in_order(self, endpoints: Iterable[E], user: Hashable, now: float) -> Iterator[E]:
        others = []
        for endpoint in endpoints:
            if self.worth_a_try(endpoint, user, now):
                yield endpoint
            else:
                others.append(endpoint)
        yield from others

    def worth_a_try(self, endpoint: Hashable, user: Hashable, now: float) -> bool:
        """A yes for one that is failing is the probe: the next is due later, and for this user later still if
        it fails.
        """
        runs, everybody = self._users.get(user), self._all.get(endpoint)
        own = runs.get(endpoint) if runs is not None else None
        taken = [run for run in (own, everybody) if run is not None and self._is_taken(run, everybody)]
        if any(now < run.until for run in taken):
            return False
        for run in taken:
            run.until = now + self._probe_seconds
        return True

    def well(self, endpoint: Hashable, user: Hashable) -> bool:
        """Whether nothing is known against it; asking is no probe."""
        if not self._all and not self._users:
            return True
        runs, everybody = self._users.get(user), self._all.get(endpoint)
        own = runs.get(endpoint) if runs is not None else None
        return not any(run is not None and self._is_taken(run, everybody) for run in (own, everybody))

    def answered(self, endpoint: Hashable, user: Hashable) -> None:
        """It is well, and well for this user; another one's own failures are that one's."""
        if self._all:
            self._all.pop(endpoint, None)
        if self._users:
            runs = self._users.get(user)
            if runs is not None and runs.pop(endpoint, None) is not None and not runs:
                del self._users[user]

    def undialled(self, endpoint: Hashable, user: Hashable, now: float) -> None:
        self._failed(endpoint, user, now, dialled=False)

    def unanswered(self, endpoint: Hashable, user: Hashable, now: float) -> None:
        """A connection was there, and no answer came of it."""
        self._failed(endpoint, user, now, dialled=True)
        run = _kept(
            _kept(self._users, user, MAX_USERS, OrderedDict), endpoint, MAX_OF_A_USER, lambda: _Run(user)
        )
        run.failed(user, dialled=True)
        # Whose every try fails tries ever more rarely, so that the tries of others are not spent on theirs.
        beyond = max(0, run.count - self._failures)
        run.until = now + self._probe_seconds * PAUSES[min(beyond, len(PAUSES) - 1)]

    def _failed(self, endpoint: Hashable, user: Hashable, now: float, *, dialled: bool) -> None:
        run = _kept(self._all, endpoint, MAX_TRACKED, lambda: _Run(user))
        taken = self._is_taken(run, run)
        run.failed(user, dialled=dialled)
        if not taken:  # else what one user tries for want of another endpoint would put off the probes of all
            run.until = now + self._probe_seconds

    def _is_taken(self, run: _Run, everybody: _Run | None) -> bool:
        if run.count < self._failures:
            return False
        return run is not everybody or run.shared or run.undialled >= self._failures

    def statistics(self) -> OutlierStatistics:
        return OutlierStatistics(
            sum(self._is_taken(run, run) for run in self._all.values()),
            sum(run.count >= self._failures for runs in self._users.values() for run in runs.values()),
        )


def _kept(table: OrderedDict[Hashable, V], key: Hashable, most: int, make: Callable[[], V]) -> V:
    """What is there for this key, made where nothing is; the oldest makes room."""
    value = table.get(key)
    if value is None:
        if len(table) >= most:
            table.popitem(last=False)
        value = table[key] = make()
    return value
