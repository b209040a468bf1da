"""· What became of each endpoint: the last results, the last failures with their log, and how long it was up.

Time is an argument.  Per ten minutes there are two bytes, how many probes there were and how many were good:
uptime over any time and the worst state of each ten minutes follow from them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

SLOT = 600  # seconds
SLOTS = 90 * 86400 // SLOT
RESULTS, FAILURES = 120, 20  # of one endpoint
CHANGES = 50
MOST_TRACKS = 20_000
SPANS = {"24h": (48, 1800), "7d": (84, 7200), "90d": (90, 86400)}  # bars, and how many seconds each is
DOWN_FROM = 300.0  # seconds without which a bar is down, and not only degraded
WINDOWS = {"1h": 3600, "24h": 86400, "7d": 7 * 86400, "30d": 30 * 86400, "90d": 90 * 86400}
UP, DOWN, UNKNOWN = "up", "down", "unknown"
FLAPPING = 6  # changes within an hour


class StoreError(Exception):
    """The file of the history cannot be used."""


class Key(msgspec.Struct, frozen=True, gc=False, order=True):
    """`endpoint` is address:port, empty for a service without one."""

    target: str
    module: str
    endpoint: str


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """Of one probe.  `success` None: the prober was broken.  `at` in seconds of the epoch.

    `counted`: for or against uptime, as it is outside of announced maintenance.
    """

    at: float
    success: bool | None
    duration: float
    reason: str = ""
    pod: str = ""
    log: tuple[str, ...] = ()
    status: int = 0
    counted: bool = True


class Slots:
    """Counts per ten minutes, the newest last; `away` are those with announced maintenance."""

    __slots__ = ("_bad", "_good", "away", "newest")

    def __init__(self) -> None:
        self._good = bytearray()
        self._bad = bytearray()
        self.away: set[int] = set()
        self.newest = 0  # the number of the last slot

    def add(self, slot: int, good: int, bad: int) -> None:
        """Neither good nor bad: it was probed during maintenance, which counts for nothing."""
        if not good and not bad and slot not in self.away:
            self.away = {one for one in self.away if one > slot - SLOTS} | {slot}
        if not self._good:
            self.newest = slot - 1
        if slot > self.newest:
            missing = min(slot - self.newest, SLOTS)
            self._good.extend(bytes(missing))
            self._bad.extend(bytes(missing))
            self.newest = slot
            if len(self._good) > SLOTS:
                del self._good[:-SLOTS], self._bad[:-SLOTS]
        at = len(self._good) - 1 - (self.newest - slot)
        if at >= 0:
            self._good[at] = min(self._good[at] + good, 255)
            self._bad[at] = min(self._bad[at] + bad, 255)

    def of(self, slot: int) -> tuple[int, int]:
        """Good and bad."""
        at = len(self._good) - 1 - (self.newest - slot)
        return (self._good[at], self._bad[at]) if 0 <= at < len(self._good) else (0, 0)

    def uptime(self, now: float, window: float) -> float | None:
        """The share of good probes; None where there was none."""
        last = int(now // SLOT)
        count = int(window // SLOT)
        end = len(self._good) - (self.newest - last)
        begin = max(0, end - count)
        good, bad = sum(self._good[begin : max(end, 0)]), sum(self._bad[begin : max(end, 0)])
        return good / (good + bad) if good + bad else None

    def bars(self, now: float, span: str, beside: Sequence[Slots] = ()) -> str:
        """A letter for each bar of `span`, the newest last: up, degraded, down, maintenance, or not probed.

        `beside`: of the endpoints, where this is of the whole: while one of them was up, it was not down.
        """
        count, seconds = SPANS[span]
        wide = seconds // SLOT
        last = int(now // SLOT)
        # the bar of today is as wide as the others, so that it ends now
        end = len(self._good) - 1 - (self.newest - last) + 1
        return "".join(self._bar(end - n * wide, wide, beside) for n in range(count, 0, -1))

    def _bar(self, begin: int, wide: int, beside: Sequence[Slots]) -> str:
        first, after = max(begin, 0), max(begin + wide, 0)
        good, bad = self._good[first:after], self._bad[first:after]
        oldest = self.newest - len(self._good) + 1
        if not any(bad):
            if self.away and not self.away.isdisjoint(range(oldest + begin, oldest + begin + wide)):
                return "m"
            return "u" if any(good) else "n"
        down = sum(
            SLOT * b / (g + b)
            for n, (g, b) in enumerate(zip(good, bad, strict=True))
            if b and not served(beside, oldest + first + n)
        )
        return "d" if down >= DOWN_FROM else "g"

    def worst(self) -> Iterator[tuple[int, str]]:
        """(seconds of the epoch, up or down) of each ten minutes with a probe."""
        first = self.newest - len(self._good) + 1
        for n, (good, bad) in enumerate(zip(self._good, self._bad, strict=True)):
            if good or bad:
                yield (first + n) * SLOT, DOWN if bad else UP


def served(endpoints: Iterable[Slots], slot: int) -> bool:
    """Whether one of them was up at that time."""
    return any(one.of(slot)[0] for one in endpoints)


class Track:
    """Of one endpoint.  `since`: when its state began."""

    __slots__ = ("changes", "detail", "failures", "last", "pod", "results", "row", "since", "slots", "state")

    def __init__(self) -> None:
        self.results: deque[Outcome] = deque(maxlen=RESULTS)
        self.failures: deque[Outcome] = deque(maxlen=FAILURES)
        self.changes: deque[tuple[float, str]] = deque(maxlen=CHANGES)
        self.slots = Slots()
        self.state = UNKNOWN
        self.since = 0.0
        self.pod = ""
        self.row = 0  # of good or bad results, negative for bad ones
        self.last = 0.0
        self.detail = ""

    def add(self, outcome: Outcome, failures: int, successes: int) -> str:
        """The new state where it has changed, else empty."""
        self.last, self.pod = outcome.at, outcome.pod or self.pod
        self.results.append(msgspec.structs.replace(outcome, log=()))
        if outcome.success is None:
            return self._become(UNKNOWN, outcome.at)
        slot = int(outcome.at // SLOT)
        counted = outcome.counted
        self.slots.add(slot, int(counted and outcome.success), int(counted and not outcome.success))
        if outcome.success:
            self.row = max(self.row, 0) + 1
        else:
            self.row = min(self.row, 0) - 1
            self.failures.append(outcome)
            self.detail = outcome.reason
        if self.state == UNKNOWN:  # whichever comes first
            return self._become(UP if outcome.success else DOWN, outcome.at)
        if self.row >= successes:
            return self._become(UP, outcome.at)
        return self._become(DOWN, outcome.at) if -self.row >= failures else ""

    def _become(self, state: str, at: float) -> str:
        if state == self.state:
            return ""
        self.state, self.since = state, at
        self.changes.append((at, state))
        return state

    def flapping(self, now: float) -> bool:
        return sum(at > now - 3600 for at, _ in self.changes) >= FLAPPING


class History:
    """Of all endpoints that were probed by the schedule, bounded; the longest unprobed are dropped."""

    def __init__(self, most: int = MOST_TRACKS) -> None:
        self._most = most
        self._tracks: dict[Key, Track] = {}
        self._of: dict[tuple[str, str], dict[Key, Track]] = {}

    def add(self, key: Key, outcome: Outcome, failures: int = 1, successes: int = 1) -> str:
        """The new state where it has changed, else empty."""
        track = self._tracks.get(key) or self._new(key)
        return track.add(outcome, failures, successes)

    def track(self, key: Key) -> Track:
        return self._tracks.get(key) or self._new(key)

    def of(self, target: str, module: str) -> dict[Key, Track]:
        return self._of.get((target, module), {})

    def items(self) -> Iterable[tuple[Key, Track]]:
        return self._tracks.items()

    def targets(self) -> list[tuple[str, str]]:
        return list(self._of)

    def clear(self) -> None:
        self._tracks.clear()
        self._of.clear()

    def forget(self, keys: Iterable[Key]) -> None:
        for key in list(keys):
            self._tracks.pop(key, None)
            there = self._of.get((key.target, key.module), {})
            there.pop(key, None)
            if not there:
                self._of.pop((key.target, key.module), None)

    def statistics(self) -> int:
        """Endpoints and targets that are known."""
        return len(self._tracks)

    def _new(self, key: Key) -> Track:
        if len(self._tracks) >= self._most:
            self.forget([min(self._tracks, key=lambda one: self._tracks[one].last)])
        track = self._tracks[key] = Track()
        self._of.setdefault((key.target, key.module), {})[key] = track
        return track


def state_of(tracks: Iterable[Track]) -> str:
    """Of a target: down where one endpoint is, unknown where nothing is known."""
    states = {track.state for track in tracks}
    return DOWN if DOWN in states else UP if UP in states else UNKNOWN


def uptime_of(tracks: Iterable[Track], now: float) -> dict[str, float | None]:
    """By window, over all endpoints."""
    there = list(tracks)
    return {
        name: sum(known) / len(known) if (known := _known(there, now, window)) else None
        for name, window in WINDOWS.items()
    }


def _known(tracks: list[Track], now: float, window: float) -> list[float]:
    shares = (track.slots.uptime(now, window) for track in tracks)
    return [share for share in shares if share is not None]
