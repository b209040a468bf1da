"""· Outlier detection: which endpoints fail, and for which users?  Pure: time is an argument.

A user's own requests may make an endpoint fail: a path that crashes the application, a response that takes
hours.  So failures count per user: several in a row eject the endpoint for that user alone.  It is ejected
for all users where it cannot be dialled, or where several failures in a row were of more than one user.

An ejected endpoint gets nothing for a while, then one request as a probe; each probe that fails doubles the
while.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import NamedTuple, TypeVar

V = TypeVar("V")

FAILURES = 5  # in a row
PAUSE, PAUSE_MOST = 2.0, 30.0  # seconds without a request
MAX_TRACKED = 16384  # endpoints that fail for all users
MAX_USERS = 4096
MAX_OF_A_USER = 256  # endpoints


class _FailureRun:
    """Failures in a row, the first of them of user `of`, the latest of `latest`."""

    __slots__ = ("count", "ejected_at", "latest", "of", "pause", "probed", "shared", "undialled", "until")

    def __init__(self, of: Hashable) -> None:
        self.count = 0
        self.undialled = 0  # of these the last so many were dials that failed
        self.of = self.latest = of
        self.shared = False  # other users' requests failed, too
        self.ejected_at = 0.0
        self.until = 0.0  # when it may be tried again
        self.pause = PAUSE
        self.probed = False  # a probe is under way

    def failed(self, user: Hashable, *, dialled: bool) -> None:
        self.count += 1
        self.undialled = 0 if dialled else self.undialled + 1
        self.shared = self.shared or user != self.of

    def eject(self, now: float) -> None:
        self.ejected_at, self.until = now, now + self.pause

    def probe_failed(self, now: float, *, longer: bool) -> None:
        """What is tried for want of another endpoint is no probe, and puts off none."""
        if self.probed:
            self.probed = False
            self.pause = min(2 * self.pause, PAUSE_MOST) if longer else self.pause
            self.until = now + self.pause


class OutlierStatistics(NamedTuple):
    """Endpoints that are ejected: for all users, or for one user alone."""

    failing: int
    failing_for_one_user: int


class Outliers:
    """Remembers only endpoints that fail; `tracked` is false while none does."""

    def __init__(self, failures: int = FAILURES) -> None:
        self._failures = failures
        # endpoint -> failures since its last response
        self._all: OrderedDict[Hashable, _FailureRun] = OrderedDict()
        # user -> endpoint -> failures since its last response to this user
        self._users: OrderedDict[Hashable, OrderedDict[Hashable, _FailureRun]] = OrderedDict()
        self.tracked = False

    def well(self, endpoint: Hashable, user: Hashable) -> bool:
        """Whether the endpoint is not ejected."""
        return not self.tracked or not self._ejected(endpoint, user)

    def out_for_all(self, endpoint: Hashable) -> bool:
        run = self._all.get(endpoint) if self.tracked else None
        return run is not None and self._is_ejected(run, run)

    def due_at(self, endpoint: Hashable, user: Hashable) -> float:
        """When an ejected one is to be tried again."""
        return max((run.until for run in self._ejected(endpoint, user)), default=0.0)

    def ejected_at(self, endpoint: Hashable, user: Hashable) -> float:
        return max((run.ejected_at for run in self._ejected(endpoint, user)), default=0.0)

    def probe(self, endpoint: Hashable, user: Hashable, now: float) -> None:
        """A request is its probe; the next one is due later."""
        for run in self._ejected(endpoint, user):
            run.until, run.probed = now + run.pause, True

    def answered(self, endpoint: Hashable, user: Hashable) -> bool:
        """The endpoint responded to this user; failures of other users' own requests stay.

        True where it was ejected.
        """
        ejected = bool(self._ejected(endpoint, user))
        self._all.pop(endpoint, None)
        runs = self._users.get(user)
        if runs is not None and runs.pop(endpoint, None) is not None and not runs:
            del self._users[user]
        self.tracked = bool(self._all or self._users)
        return ejected

    def dialled(self, endpoint: Hashable, user: Hashable) -> None:
        """It takes connections again, and no request has tried it: one that fails ejects it again."""
        for run in self._ejected(endpoint, user):
            run.count = self._failures - 1
            run.undialled = min(run.undialled, run.count)
            run.probed = True

    def failed(self, endpoint: Hashable, user: Hashable, now: float, *, dialled: bool) -> bool:
        """`dialled`: the connection was made, but no response came.  True where this ejected it."""
        self.tracked = True
        ejected = bool(self._ejected(endpoint, user))
        everybody = _kept(self._all, endpoint, MAX_TRACKED, lambda: _FailureRun(user))
        self._count(everybody, everybody, user, now, dialled=dialled)
        if dialled:
            runs = _kept(self._users, user, MAX_USERS, OrderedDict)
            own = _kept(runs, endpoint, MAX_OF_A_USER, lambda: _FailureRun(user))
            self._count(own, everybody, user, now, dialled=True)
        return not ejected and bool(self._ejected(endpoint, user))

    def _count(
        self, run: _FailureRun, everybody: _FailureRun, user: Hashable, now: float, *, dialled: bool
    ) -> None:
        was = self._is_ejected(run, everybody)
        run.failed(user, dialled=dialled)
        # One user's failures alone do not make the probes of all rarer.
        others = run is not everybody or user != run.latest or not dialled
        run.latest = user
        if was:
            run.probe_failed(now, longer=others)
        elif self._is_ejected(run, everybody):
            if run.probed:  # it had been dialled alone, and failed at once
                run.pause, run.probed = min(2 * run.pause, PAUSE_MOST), False
            run.eject(now)

    def _ejected(self, endpoint: Hashable, user: Hashable) -> list[_FailureRun]:
        runs, everybody = self._users.get(user), self._all.get(endpoint)
        own = runs.get(endpoint) if runs is not None else None
        return [run for run in (own, everybody) if run is not None and self._is_ejected(run, everybody)]

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
