"""· What is known of the targets, as a document: for the pages here and for the other replicas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bastion.probe.history import DOWN, UP, History, Key, Outcome, Track, uptime_of

DEGRADED = "degraded"  # some endpoints are up, and some are not


class Report:
    """`prober` says how the prober itself is: `{"state": "ok" | "broken" | "unavailable", …}`."""

    def __init__(self, prober: Mapping[str, Any], now: float) -> None:
        self.prober = dict(prober)
        self._now = now

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        """None where nothing is known."""
        return None


class LocalReport(Report):
    def __init__(self, history: History, prober: Mapping[str, Any], now: float) -> None:
        super().__init__(prober, now)
        self._history = history

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        tracks = self._history.of(target, module)
        return described(tracks, self._now) if tracks else None


class RemoteReport(Report):
    """`found`: by target and module, as `described` made it elsewhere."""

    def __init__(self, found: Mapping[str, Any], prober: Mapping[str, Any], now: float) -> None:
        super().__init__(prober, now)
        self._found = found

    def of(self, target: str, module: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._found.get(f"{module} {target}")
        return found


def described(tracks: Mapping[Key, Track], now: float, *, brief: bool = False) -> dict[str, Any]:
    """`brief`: without single results."""
    whole = next((track for key, track in tracks.items() if not key.endpoint), None)
    endpoints = {key.endpoint: track for key, track in tracks.items() if key.endpoint}
    states = {track.state for track in endpoints.values()}
    state = whole.state if whole is not None else UP
    if state == DOWN and UP in states:
        state = DEGRADED
    first = whole or next(iter(endpoints.values()))
    return {
        "state": state,
        "since": first.since,
        "last": first.last,
        "uptime": uptime_of([first], now),
        "flapping": first.flapping(now),
        "changes": [list(change) for change in first.changes],
        "endpoints": [_endpoint(name, track, brief=brief) for name, track in sorted(endpoints.items())],
        **({} if brief else _details(first)),
    }


def _details(track: Track) -> dict[str, Any]:
    return {
        "slots": [list(slot) for slot in track.slots.worst()],
        "results": [_outcome(one) for one in track.results],
    }


def _endpoint(name: str, track: Track, *, brief: bool) -> dict[str, Any]:
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
