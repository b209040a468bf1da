"""· Why is a pod not ready?  In a word of its own status, such as CrashLoopBackOff.

Never more than the word: a pull error names a registry, a scheduler's message names nodes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from sys import intern

from bastion.kube.metadata import Struct

READINESS, TERMINATING = "ReadinessProbeFailed", "Terminating"
UNKNOWN = "NotReady"
# Says only that the container waits for those before it.
_NO_REASON = ("", "PodInitializing")
_WORD = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")


class Condition(Struct, frozen=True):
    type: str = ""
    status: str = ""
    reason: str = ""


class Waiting(Struct, frozen=True):
    reason: str = ""


class Terminated(Struct, frozen=True):
    reason: str = ""
    exit_code: int = 0


class State(Struct, frozen=True):
    waiting: Waiting | None = None
    terminated: Terminated | None = None


class ContainerStatus(Struct, frozen=True):
    ready: bool = False
    restart_count: int = 0
    state: State = State()
    last_state: State = State()


class Trouble(Struct, frozen=True):
    """`restarts` of the container that the reason is of, and how it `last` ended."""

    reason: str
    restarts: int = 0
    last: str = ""


def is_ready(conditions: Sequence[Condition]) -> bool:
    return any(one.type == "Ready" and one.status == "True" for one in conditions)


def trouble_of(
    phase: str,
    reason: str,
    conditions: Sequence[Condition],
    init: Sequence[ContainerStatus],
    containers: Sequence[ContainerStatus],
    *,
    terminating: bool,
) -> Trouble:
    """Of a pod that is not ready.  `reason` is the whole pod's.

    The first cause that fits: what keeps it from being placed, then its init containers, then the others.
    """
    if terminating:
        return Trouble(TERMINATING)
    by_type = {one.type: one for one in conditions}
    scheduled = by_type.get("PodScheduled")
    if reason:
        return Trouble(_word(reason))
    if scheduled is not None and scheduled.status == "False" and scheduled.reason:
        return Trouble(_word(scheduled.reason))
    for one in init:
        ended = one.state.terminated
        if not one.ready and not (ended is not None and ended.exit_code == 0):
            found = _of_container(one)
            if found is not None and found.reason != READINESS:
                return found
    for one in containers:
        if not one.ready and (found := _of_container(one)) is not None:
            return found
    ready = by_type.get("Ready")
    if phase == "Running" and ready is not None and ready.reason:
        return Trouble(_word(ready.reason))
    return Trouble(_word(phase) if phase and phase != "Running" else UNKNOWN)


def _of_container(one: ContainerStatus) -> Trouble | None:
    """None where it only waits for others."""
    state, before = one.state, one.last_state.terminated
    last = _word(before.reason) if before is not None and before.reason else ""
    if state.waiting is not None:
        waits = state.waiting.reason
        return None if waits in _NO_REASON else Trouble(_word(waits), one.restart_count, last)
    if state.terminated is not None:
        return Trouble(_word(state.terminated.reason or "Error"), one.restart_count, last)
    return Trouble(READINESS, one.restart_count, last)


def _word(reason: str) -> str:
    """What is no word is not told."""
    return intern(reason) if _WORD.fullmatch(reason) else UNKNOWN
