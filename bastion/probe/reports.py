"""· What is known of the targets, as a document: for the pages here and for the other replicas."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from itertools import pairwise
from typing import Any

import msgspec

from bastion.probe.history import (
    DOWN,
    SLOT,
    SPANS,
    UP,
    WINDOWS,
    History,
    Key,
    Outcome,
    Slots,
    Track,
    served,
    uptime_of,
)

DEGRADED = "degraded"  # some endpoints are up, and some are not
HOUR, POINTS = 3600.0, 28  # how far back a trend goes, and in how many values


class Brief(msgspec.Struct, frozen=True):
    """What a list says of a target: times in seconds since the epoch, durations in seconds."""

    state: str
    since: float
    last: float
    duration: float
    reason: str
    trend: tuple[float, ...]


class Past(msgspec.Struct, frozen=True):
    """`bars` as `Slots.bars` has them; `uptime` is a share, None where nothing was probed; `changes` are
    times and states, the latest last.
    """

    bars: str
    uptime: float | None
    changes: tuple[tuple[float, str], ...]


class Report:
    """`prober` says how the prober itself is: `{"state": "ok" | "broken" | "unavailable", …}`."""

    def __init__(self, prober: Mapping[str, Any], now: float) -> None:
        self.prober = dict(prober)
        self._now = now

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        """None where nothing is known."""
        return None

    def brief(self, target: str, module: str) -> Brief | None:
        """As `of`, without what only the target's own page shows."""
        return None

    def past(self, target: str, module: str, span: str) -> Past | None:
        """Of one of SPANS."""
        return None


class LocalReport(Report):
    def __init__(self, history: History, prober: Mapping[str, Any], now: float) -> None:
        super().__init__(prober, now)
        self._history = history

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        tracks = self._history.of(target, module)
        return described(tracks, self._now) if tracks else None

    def brief(self, target: str, module: str) -> Brief | None:
        tracks = self._history.of(target, module)
        return brief_of(tracks, self._now) if tracks else None

    def past(self, target: str, module: str, span: str) -> Past | None:
        tracks = self._history.of(target, module)
        if not tracks:
            return None
        first, beside = _whole(tracks)
        bars, uptime = first.slots.bars(self._now, span, beside), first.slots.uptime(self._now, WINDOWS[span])
        return Past(bars, uptime, tuple(_changes(first, beside)))


class RemoteReport(Report):
    """`found`: by target and module, as `described` made it elsewhere."""

    def __init__(self, found: Mapping[str, Any], prober: Mapping[str, Any], now: float) -> None:
        super().__init__(prober, now)
        self._found = found

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._found.get(f"{module} {target}")
        return found

    def brief(self, target: str, module: str) -> Brief | None:
        found = self.of(target, module)
        return msgspec.convert(found, Brief) if found is not None else None

    def past(self, target: str, module: str, span: str) -> Past | None:
        found = self.of(target, module)
        if found is None:
            return None
        changes = tuple((float(at), str(state)) for at, state in found["changes"])
        return Past(str(found["bars"][span]), found["uptime"][span], changes)


def brief_of(tracks: Mapping[Key, Track], now: float) -> Brief:
    whole = next((track for key, track in tracks.items() if not key.endpoint), None)
    states = {track.state for key, track in tracks.items() if key.endpoint}
    first = whole or next(iter(tracks.values()))
    last = first.results[-1] if first.results else None
    return Brief(
        state=_state(whole.state if whole is not None else UP, states),
        since=first.since,
        last=first.last,
        duration=last.duration if last is not None else 0.0,
        reason=last.reason if last is not None and not last.success else "",
        trend=_trend([one.duration for one in first.results if one.success and one.at > now - HOUR]),
    )


def _state(whole: str, endpoints: Set[str]) -> str:
    """Where some are up and some are not, it is degraded, whatever the whole is."""
    return DEGRADED if whole == DOWN and UP in endpoints else whole


def _trend(durations: Sequence[float]) -> tuple[float, ...]:
    """Each value the mean of a part."""
    parts = min(len(durations), POINTS)
    edges = [len(durations) * n // parts for n in range(parts + 1)] if parts else []
    return tuple(round(sum(durations[a:b]) / (b - a), 5) for a, b in pairwise(edges))


def described(tracks: Mapping[Key, Track], now: float, *, brief: bool = False) -> dict[str, Any]:
    """`brief`: without single results."""
    known = brief_of(tracks, now)
    endpoints = {key.endpoint: track for key, track in tracks.items() if key.endpoint}
    first, beside = _whole(tracks)
    return {
        **msgspec.structs.asdict(known),
        "uptime": uptime_of([first], now),
        "flapping": first.flapping(now),
        "changes": [list(change) for change in _changes(first, beside)],
        "endpoints": [_endpoint(name, track, now, brief=brief) for name, track in sorted(endpoints.items())],
        **({} if brief else _details(first, now, beside)),
    }


def _whole(tracks: Mapping[Key, Track]) -> tuple[Track, list[Slots]]:
    """Of the target as a whole, and what its endpoints were meanwhile."""
    beside = [track.slots for key, track in tracks.items() if key.endpoint]
    whole = next((track for key, track in tracks.items() if not key.endpoint), None)
    return whole or next(iter(tracks.values())), beside


def _changes(track: Track, beside: Sequence[Slots]) -> Iterator[tuple[float, str]]:
    """Where an endpoint was up when it went down, it was degraded."""
    for at, state in track.changes:
        yield at, DEGRADED if state == DOWN and served(beside, int(at // SLOT)) else state


def _details(track: Track, now: float, beside: Sequence[Slots]) -> dict[str, Any]:
    return {
        "bars": {span: track.slots.bars(now, span, beside) for span in SPANS},
        "slots": [list(slot) for slot in track.slots.worst()],
        "results": [_outcome(one) for one in track.results],
    }


def _endpoint(name: str, track: Track, now: float, *, brief: bool) -> dict[str, Any]:
    last = track.results[-1] if track.results else None
    return {
        "endpoint": name,
        "pod": track.pod,
        "state": track.state,
        "since": track.since,
        "last": track.last,
        "duration": last.duration if last is not None else 0.0,
        "reason": last.reason if last is not None and not last.success else "",
        **(
            {}
            if brief
            else {
                "bars": {span: track.slots.bars(now, span) for span in ("24h", "7d")},
                "results": [_outcome(one) for one in track.results],
                "failures": [{**_outcome(one), "log": list(one.log)} for one in track.failures],
            }
        ),
    }


def _outcome(one: Outcome) -> dict[str, Any]:
    found: dict[str, Any] = {"at": one.at, "success": one.success, "duration": round(one.duration, 6)}
    if one.status:
        found["status"] = one.status
    if one.reason:
        found["reason"] = one.reason
    return found
