"""· What happened, from the changes of state alone; and the sentence that says how everything is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from bastion.kube.annotationvalues import Maintenance
from bastion.web.figures import listed, span
from bastion.web.health import DEGRADED, DOWN, MAINTENANCE, UNPROBED, UP, WORDS, History, in_maintenance
from bastion.web.portal.rows import Row

MOST = 30
_STATES = {"up": UP, "down": DOWN, "degraded": DEGRADED}
_SEVERITY = (UP, DEGRADED, DOWN)


class Incident(msgspec.Struct, frozen=True):
    """`end` None: it goes on.  Times in seconds since the epoch."""

    ref: str
    title: str
    state: str
    begin: float
    end: float | None
    text: str = ""

    @property
    def word(self) -> str:
        return WORDS[self.state] if self.end is None else f"{WORDS[self.state]}, over"


def incidents_of(row: Row, history: History, now: float) -> list[Incident]:
    """The latest first; one lasts from the first change away from up to the next one to it."""
    found: list[Incident] = []
    begin, worst = 0.0, UP
    for at, said in _outside(history.changes, row.subject.card.maintenance, now):
        state = _STATES.get(said, UP)
        if state == UP:
            if begin:
                found.append(Incident(row.ref, row.title, worst, begin, at))
            begin, worst = 0.0, UP
        else:
            begin = begin or at
            worst = max(worst, state, key=_SEVERITY.index)
    if begin:
        reason = row.probed.reason if row.probed is not None else ""
        found.append(Incident(row.ref, row.title, worst, begin, None, reason))
    return found[::-1]


def _outside(
    changes: Sequence[tuple[float, str]], window: Maintenance | None, now: float
) -> list[tuple[float, str]]:
    """What happens in announced maintenance is none; how it is at its end counts from there."""
    if window is None:
        return list(changes)
    before = [change for change in changes if change[0] < window.begin]
    inside = [state for at, state in changes if in_maintenance(window, at)]
    after = [change for change in changes if change[0] >= window.end]
    at_end = [(window.end, inside[-1])] if inside and now >= window.end else []
    return before + at_end + after


def announced(row: Row, now: float) -> list[Incident]:
    window = row.subject.card.maintenance
    if window is None or now < window.begin:
        return []
    end = window.end if now >= window.end else None
    return [Incident(row.ref, row.title, MAINTENANCE, window.begin, end, window.text)]


def latest(found: Iterable[Incident]) -> list[Incident]:
    return sorted(found, key=lambda one: (one.end is not None, -one.begin))[:MOST]


def verdict(rows: Sequence[Row], now: float, *, broken: str = "") -> tuple[str, str, str]:
    """A state, what is the matter, and what of the rest."""
    if broken:
        return DEGRADED, "Nothing can be said", f"The prober itself does not work: {broken}."
    if not rows:
        return UNPROBED, "Nothing is shown here", "There is no service whose state you may see."
    by_state = {state: [row for row in rows if row.state == state] for state in WORDS}
    down, degraded = by_state[DOWN], by_state[DEGRADED]
    if not down and not degraded:
        up = len(by_state[UP])
        if not up:
            return UNPROBED, "Nothing is probed", f"{_others(by_state, ())}."
        title = f"All {up} are up" if up > 1 else f"{by_state[UP][0].title} is up"
        return UP, title, (_others(by_state, (UP,)) + "." if up < len(rows) else "")
    worst = down or degraded
    state, word = (DOWN, "down") if down else (DEGRADED, "degraded")
    names = [row.title for row in worst]
    title = f"{listed(names[:3])} {'is' if len(names) == 1 else 'are'} {word}"
    if len(names) > 3:
        title = f"{len(names)} are {word}"
    since = [row.probed.since for row in worst if row.probed is not None and row.probed.since]
    said = f"For {span(now - min(since))}. " if since else ""
    return state, title, f"{said}{_others(by_state, (state,))}."


def _others(by_state: dict[str, list[Row]], but: tuple[str, ...]) -> str:
    parts = []
    for state, words in (
        (DEGRADED, "degraded"),
        (MAINTENANCE, "in maintenance"),
        (UNPROBED, "not probed"),
        (UP, "up"),
    ):
        count = len(by_state[state])
        if count and state not in but:
            parts.append(f"{count} {'is' if count == 1 else 'are'} {words}")
    return listed(parts) or "Nothing else is watched"
