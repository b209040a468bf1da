"""· What does a client's connection wait for, and until when?

Seconds of the loop's clock throughout.  A connection looks at these once a second while something is under
way, so that a request costs no timer.
"""

from __future__ import annotations

from bastion.settings.sections import Timeouts

LOOK_SECONDS = 1.0


class Waits:
    """`settled`: the client's first SETTINGS have come."""

    __slots__ = ("_bodies", "_head_until", "_idle_until", "_timeouts", "settled")

    def __init__(self, timeouts: Timeouts, now: float) -> None:
        self._timeouts = timeouts
        self._head_until: float | None = now + timeouts.request_header
        self._idle_until = now + timeouts.keep_alive
        self._bodies: dict[int, float] = {}  # of streams whose body is waited for, the longest first
        self.settled = False

    def came(self, now: float, *, in_head: bool) -> None:
        """A head is begun, or nothing is."""
        if not in_head and self.settled:
            self._head_until = None
        elif self._head_until is None:
            self._head_until = now + self._timeouts.request_header

    def idle_from(self, now: float) -> None:
        """No stream is open any more."""
        self._idle_until = now + self._timeouts.keep_alive

    def look(self, now: float, *, busy: bool) -> float:
        """When to look again.  `busy`: something is under way."""
        if busy or self._head_until is not None:
            return now + LOOK_SECONDS
        return max(self._idle_until, now + LOOK_SECONDS)

    def body(self, stream: int, now: float) -> None:
        self._bodies.pop(stream, None)
        self._bodies[stream] = now + self._timeouts.request_body_idle

    def no_body(self, stream: int) -> None:
        self._bodies.pop(stream, None)

    def head_late(self, now: float) -> bool:
        return self._head_until is not None and now >= self._head_until

    def idle_late(self, now: float) -> bool:
        return now >= self._idle_until

    def late_bodies(self, now: float) -> list[int]:
        late = []
        for stream, until in self._bodies.items():
            if until > now:
                break
            late.append(stream)
        for stream in late:
            del self._bodies[stream]
        return late
