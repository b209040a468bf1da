"""The last hour of each target: how many requests, how slow, how many failed, and the last failures.

For people who look at a page, of this process alone; /metrics has what is to be added up.  Counted by the raw
id of a proxy path, because every request passes here.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable

import msgspec

from bastion.kube.requestinfo import Proxied
from bastion.observe.record import Record

MINUTES, HALF = 60, 1800
MOST = 2000  # ids that are kept apart, the longest unused is dropped
FAILURES = 20  # of one id
SLOW_FOR = 5  # minutes, before a target counts as slow
# seconds
BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
LEAST = BOUNDS[0]
COUNT, ERRORS, FIRST = 0, 1, 2  # places in a minute; the buckets follow
_NONE = (0,) * (FIRST + len(BOUNDS) + 1)

Key = tuple[str, str, str]  # resource, namespace, [scheme:]name[:port]


class Failure(msgspec.Struct, frozen=True, gc=False):
    """`at` in seconds since the epoch; `endpoint` is address and port, empty where none was reached."""

    at: float
    code: int
    reason: str
    method: str
    user: str
    endpoint: str


class Summary(msgspec.Struct, frozen=True):
    """Of the last minutes: `rate` a second, durations in seconds, `errors` a share; in the plural of the
    last hour, a value for each minute.
    """

    rate: float = 0.0
    p50: float | None = None
    p99: float | None = None
    errors: float = 0.0
    rates: tuple[float, ...] = ()
    p50s: tuple[float, ...] = ()
    p99s: tuple[float, ...] = ()
    error_shares: tuple[float, ...] = ()


class _Hour:
    __slots__ = ("failures", "minutes", "newest")

    def __init__(self) -> None:
        self.minutes: deque[list[int]] = deque(maxlen=MINUTES)
        self.newest = 0  # the number of the last minute
        self.failures: deque[Failure] = deque(maxlen=FAILURES)

    def current(self, minute: int) -> list[int]:
        while not self.minutes or self.newest < minute:
            if not self.minutes or minute - self.newest >= MINUTES:
                self.minutes.clear()
                self.newest = minute - 1
            self.minutes.append(list(_NONE))
            self.newest += 1
        return self.minutes[-1]

    def last(self, count: int, minute: int) -> list[list[int]]:
        """Up to `minute`, whose place may still be missing."""
        missing = min(minute - self.newest, count) if self.minutes else count
        kept = list(self.minutes)[-(count - missing) :] if count > missing else []
        found = [*kept, *([list(_NONE)] * missing)]
        return [*([list(_NONE)] * (count - len(found))), *found]


class _Users:
    """Requests and bytes of each, in two halves of an hour."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._half = 0
        self.now: dict[str, list[int]] = {}
        self._before: dict[str, list[int]] = {}

    def new(self, name: str) -> list[int]:
        if len(self.now) >= MOST:
            return [0, 0]
        found = self.now[name] = [0, 0]
        return found

    def busiest(self) -> list[tuple[str, int, int]]:
        self.turn()
        found = {name: (counts[0], counts[1]) for name, counts in self._before.items()}
        for name, (requests, moved) in self.now.items():
            before = found.get(name, (0, 0))
            found[name] = (before[0] + requests, before[1] + moved)
        rows = [(name, requests, moved) for name, (requests, moved) in found.items()]
        return sorted(rows, key=lambda row: -row[1])

    def turn(self) -> None:
        half = int(self._clock()) // HALF
        if half != self._half:
            self._before = self.now if half == self._half + 1 else {}
            self.now, self._half = {}, half


class Recent:
    """A sink of `observe.observer`.  `clock` is seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time, most: int = MOST) -> None:
        self._clock = clock
        self._most = most
        self._hours: OrderedDict[Key, _Hour] = OrderedDict()
        self._users = _Users(clock)

    def observe(self, record: Record) -> None:
        info = record.info
        if not isinstance(info, Proxied) or not record.endpoint:
            return
        attributes = info.attributes
        key = (attributes.resource, attributes.namespace, attributes.name)
        hour = self._hours.get(key) or self._new(key)
        now = self._clock()
        minute = int(now) // 60
        counts = hour.minutes[-1] if hour.newest == minute else self._next(hour, minute)
        seconds = record.seconds
        counts[COUNT] += 1
        # most fall into the first bucket, and a comparison is cheaper than a call
        counts[FIRST + bisect_left(BOUNDS, seconds) if seconds > LEAST else FIRST] += 1
        if record.user is not None:
            user = self._users.now.get(record.user.name) or self._users.new(record.user.name)
            user[0] += 1
            user[1] += record.bytes_in + record.bytes_out
        if record.code >= 500 or record.code == 0:
            counts[ERRORS] += 1
            hour.failures.append(_failure(record, now))

    def _next(self, hour: _Hour, minute: int) -> list[int]:
        self._users.turn()
        return hour.current(minute)

    def lasts(self, record: Record) -> None:
        """A stream is over when it ends."""

    def _new(self, key: Key) -> _Hour:
        while len(self._hours) >= self._most:
            self._hours.popitem(last=False)
        self._hours[key] = found = _Hour()
        return found

    # --- what pages ask

    def targets(self) -> dict[Key, list[Key]]:
        """The ids of each pod, service and node that was reached; the third of its key is its name."""
        found: dict[Key, list[Key]] = {}
        for key in self._hours:
            parts = key[2].split(":")
            name = parts[1] if len(parts) == 3 else parts[0]
            found.setdefault((key[0], key[1], name), []).append(key)
        return found

    def summary(self, keys: Iterable[Key], minutes: int = 5) -> Summary:
        """Of several ids together."""
        minute = int(self._clock()) // 60
        there = [self._hours[key] for key in keys if key in self._hours]
        hour = _added([one.last(MINUTES, minute) for one in there])
        recent = hour[-minutes:]
        total = [sum(column) for column in zip(*recent, strict=True)]
        begun = (minutes - 1) * 60 + self._clock() % 60
        return Summary(
            rate=total[COUNT] / max(begun, 1.0),
            p50=quantile(total, 0.5),
            p99=quantile(total, 0.99),
            errors=total[ERRORS] / total[COUNT] if total[COUNT] else 0.0,
            rates=tuple(one[COUNT] / 60 for one in hour),
            p50s=tuple(quantile(one, 0.5) or 0.0 for one in hour),
            p99s=tuple(quantile(one, 0.99) or 0.0 for one in hour),
            error_shares=tuple(one[ERRORS] / one[COUNT] if one[COUNT] else 0.0 for one in hour),
        )

    def slow(self, keys: Iterable[Key], above: float) -> bool:
        """Whether in each of the last whole minutes that had requests the 99th percentile was above that many
        seconds, and the first of them had some.
        """
        minute = int(self._clock()) // 60
        there = [one.last(SLOW_FOR + 1, minute)[:-1] for key in keys if (one := self._hours.get(key))]
        added = [[sum(column) for column in zip(*parts, strict=True)] for parts in zip(*there, strict=True)]
        p99s = [quantile(one, 0.99) for one in added]
        return bool(p99s) and p99s[0] is not None and all(one is None or one > above for one in p99s)

    def users(self) -> list[tuple[str, int, int]]:
        """The busiest of the last hour: name, requests, bytes."""
        return self._users.busiest()

    def failures(self, keys: Iterable[Key]) -> list[Failure]:
        """The latest first."""
        found = [one for key in keys if key in self._hours for one in self._hours[key].failures]
        return sorted(found, key=lambda one: -one.at)[:FAILURES]


def quantile(counts: list[int], share: float) -> float | None:
    """Seconds, between the bounds of its bucket; None of nothing."""
    if not counts[COUNT]:
        return None
    rank, below = share * counts[COUNT], 0
    for n, count in enumerate(counts[FIRST:]):
        if count and below + count >= rank:
            low = BOUNDS[n - 1] if n else 0.0
            high = BOUNDS[n] if n < len(BOUNDS) else BOUNDS[-1]
            return low + (high - low) * (rank - below) / count
        below += count
    return BOUNDS[-1]


def _added(hours: list[list[list[int]]]) -> list[list[int]]:
    if not hours:
        return [list(_NONE)] * MINUTES
    return [[sum(column) for column in zip(*minute, strict=True)] for minute in zip(*hours, strict=True)]


def _failure(record: Record, now: float) -> Failure:
    user = record.acting_as or record.user
    reason = record.error.partition(":")[0] or record.outcome or f"answered {record.code}"
    return Failure(
        now, record.code, reason, record.method, user.name if user is not None else "", record.endpoint
    )
