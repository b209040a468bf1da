"""· May an API server get requests?  Outcomes of probes in, a state out; no clock, no I/O.

A server that starts is worse than one that is away: until it has read its RBAC rules kube-apiserver forbids
everything to everybody, /readyz included, and nothing tells that 403 from a true one.  So a server that was
away gets nothing before /readyz has said 200 twice.  One that says no on the very connection on which it has
said yes is the same process, and is going down, or has lost etcd: it still answers.
"""

from __future__ import annotations

from enum import Enum

import msgspec

WELL_AGAIN = 2  # good probes of a server that was away
MISSES = 2  # probes without an answer, and it is dead


class State(Enum):
    __hash__ = object.__hash__

    UNKNOWN = "unknown"
    READY = "ready"
    DRAINING = "draining"  # it was ready, and says no
    STARTING = "starting"  # it was away, or never ready
    DEAD = "dead"
    IMPOSTOR = "impostor"  # its certificate is not one of an API server


class Outcome(Enum):
    """Of a probe."""

    WELL = "200"
    UNWELL = "another answer, on a connection on which there was a 200"
    STRANGE = "another answer, on a new connection"
    SILENT = "no answer in time, or none at all"
    REFUSED = "no connection"
    UNTRUSTED = "a certificate that is not trusted"


class Health(msgspec.Struct, frozen=True, gc=False):
    """`well` and `missed` count the probes of their kind in a row."""

    state: State = State.UNKNOWN
    well: int = 0
    missed: int = 0

    @property
    def sure(self) -> bool:
        """Ready, and the last probe was answered."""
        return self.state is State.READY and not self.missed


_BEFORE = (State.READY, State.DRAINING)


def observe(health: Health, outcome: Outcome) -> Health:
    """The first rule that matches decides."""
    state = health.state
    match outcome:
        case Outcome.WELL:
            well = health.well + 1
            known = state in (*_BEFORE, State.UNKNOWN) or well >= WELL_AGAIN
            return Health(State.READY if known else State.STARTING, well)
        case Outcome.UNWELL:
            return Health(State.DRAINING if state in _BEFORE else State.STARTING)
        case Outcome.STRANGE:
            return Health(State.STARTING)
        case Outcome.REFUSED:
            return Health(State.DEAD)
        case Outcome.UNTRUSTED:
            return Health(State.IMPOSTOR)
        case Outcome.SILENT:
            missed = health.missed + 1
            return Health(State.DEAD if missed >= MISSES else state, 0, missed)


def doubted(health: Health) -> Health:
    """The connection of its probes broke: whether it was only closed the next probe shows."""
    return Health(health.state, health.well, max(health.missed, 1)) if health.state in _BEFORE else health
