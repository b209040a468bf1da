"""· Outlier detection: which endpoints fail, and for which users?  Pure: time is an argument.

A user's own requests may make an endpoint fail: a path that crashes the application, a response that takes
hours.  So failures count per user: several in a row eject the endpoint for that user alone.  It is ejected
for all users where it cannot be dialled, or where several failures in a row were of more than one user.

An ejected endpoint is tried last, and first by one request every few seconds; it is never excluded.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import NamedTuple, TypeVar

E = TypeVar("E", bound=Hashable)
V = TypeVar("V")

FAILURES = 5  # in a row
PROBE_SECONDS = 5.0
PAUSES = (1, 2, 4, 8, 12)  # times that: the pause of a user whose every try failed
MAX_TRACKED = 16384  # endpoints that fail for all users
MAX_USERS = 4096
MAX_OF_A_USER = 256  # endpoints


class _FailureRun:
    """Failures in a row, the first of them of user `of`."""

    __slots__ = ("count", "of", "shared", "undialled", "until")

    def __init__(self, of: Hashable) -> None:
        self.count = 0
        self.undialled = 0  # of these the last so many were dials that failed
        self.of = of
        self.shared = False  # other users' requests failed, too
        self.until = 0.0  # when it may be tried again

    def failed(self, user: Hashable, *, dialled: bool) -> None:
        self.count += 1
        self.undialled = 0 if dialled else self.undialled + 1
        self.shared = self.shared or user != self.of


class OutlierStatistics(NamedTuple):
    """Endpoints that are ejected: for all users, or for one user alone."""

    failing: int
    failing_for_one_user: int


class Outliers:
    """Remembers only endpoints that fail."""

    def __init__(self, failures: int = FAILURES, probe_seconds: float = PROBE_SECONDS) -> None:
        self._failures = failures
        self._probe_seconds = probe_seconds
        self._all: OrderedDict[Hashable, _FailureRun] = (
            OrderedDict()
        )  # endpoint -> failures since its last response
        # user -> endpoint -> failures since its last response to this user
        self._users: OrderedDict[Hashable, OrderedDict[Hashable, _FailureRun]] = OrderedDict()

    def order(self, endpoints: Iterable[E], user: Hashable, now: float) -> Iterable[E]:
        """Healthy endpoints in the given order, then the others.

        Iterating to an ejected one that is due makes this request its probe.
        """
        if not self:
            return endpoints
        return self._in_order(endpoints, user, now)

    def __bool__(self) -> bool:
        """Whether any endpoint fails."""
        return bool(self._all or self._users)

    def _in_order(self, endpoints: Iterable[E], user: Hashable, now: float) -> Iterator[E]:
        others = []
        for endpoint in endpoints:
            if self.worth_a_try(endpoint, user, now):
                yield endpoint
            else:
                others.append(endpoint)
        yield from others

    def worth_a_try(self, endpoint: Hashable, user: Hashable, now: float) -> bool:
        """True for an ejected endpoint makes this request the probe; the next one is due later."""
        runs, everybody = self._users.get(user), self._all.get(endpoint)
        own = runs.get(endpoint) if runs is not None else None
        ejected = [run for run in (own, everybody) if run is not None and self._is_ejected(run, everybody)]
        if any(now < run.until for run in ejected):
            return False
        for run in ejected:
            run.until = now + self._probe_seconds
        return True

    def well(self, endpoint: Hashable, user: Hashable) -> bool:
        """Whether the endpoint is not ejected; unlike `worth_a_try` this is never a probe."""
        if not self:
            return True
        runs, everybody = self._users.get(user), self._all.get(endpoint)
        own = runs.get(endpoint) if runs is not None else None
        return not any(run is not None and self._is_ejected(run, everybody) for run in (own, everybody))

    def answered(self, endpoint: Hashable, user: Hashable) -> None:
        """The endpoint responded to this user; failures of other users' own requests stay."""
        if self._all:
            self._all.pop(endpoint, None)
        if self._users:
            runs = self._users.get(user)
            if runs is not None and runs.pop(endpoint, None) is not None and not runs:
                del self._users[user]

    def undialled(self, endpoint: Hashable, user: Hashable, now: float) -> None:
        self._failed(endpoint, user, now, dialled=False)

    def unanswered(self, endpoint: Hashable, user: Hashable, now: float) -> None:
        """The connection was made, but no response came."""
        self._failed(endpoint, user, now, dialled=True)
        run = _kept(
            _kept(self._users, user, MAX_USERS, OrderedDict),
            endpoint,
            MAX_OF_A_USER,
            lambda: _FailureRun(user),
        )
        run.failed(user, dialled=True)
        # A user whose every try fails tries ever more rarely, so that the probes are left to others.
        beyond = max(0, run.count - self._failures)
        run.until = now + self._probe_seconds * PAUSES[min(beyond, len(PAUSES) - 1)]

    def _failed(self, endpoint: Hashable, user: Hashable, now: float, *, dialled: bool) -> None:
        run = _kept(self._all, endpoint, MAX_TRACKED, lambda: _FailureRun(user))
        ejected = self._is_ejected(run, run)
        run.failed(user, dialled=dialled)
        if (
            not ejected
        ):  # else the requests of one user without another endpoint would delay the probes of all
            run.until = now + self._probe_seconds

    def _is_ejected(self, run: _FailureRun, everybody: _FailureRun | None) -> bool:
        if run.count < self._failures:
            return False
        return run is not everybody or run.shared or run.undialled >= self._failures

    def statistics(self) -> OutlierStatistics:
        return OutlierStatistics(
            sum(self._is_ejected(run, run) for run in self._all.values()),
            sum(run.count >= self._failures for runs in self._users.values() for run in runs.values()),
        )


def _kept(table: OrderedDict[Hashable, V], key: Hashable, most: int, make: Callable[[], V]) -> V:
    """The value of this key, made where there is none; the oldest entry is removed when the table is full."""
    value = table.get(key)
    if value is None:
        if len(table) >= most:
            table.popitem(last=False)
        value = table[key] = make()
    return value
