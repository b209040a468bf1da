"""· How is a target?  What probes say, what the API says of its endpoints, and what was announced."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from bastion.kube.annotationvalues import Maintenance
from bastion.kube.objects import EndpointSlice, SliceEndpoint

UP, DEGRADED, DOWN, MAINTENANCE, UNPROBED = "up", "deg", "down", "main", "none"
TROUBLE = (DEGRADED, DOWN)
WORDS = {UP: "Up", DEGRADED: "Degraded", DOWN: "Down", MAINTENANCE: "Maintenance", UNPROBED: "Not probed"}
_OF_PROBES = {"up": UP, "degraded": DEGRADED, "down": DOWN}


class Probed(msgspec.Struct, frozen=True):
    """What the probes of a target came to.

    `state` is up, degraded, down or unknown; times in seconds since the epoch; `seconds` the last took;
    `trend` what those of the last hour took; `target` and `module` name the probe.
    """

    state: str
    since: float = 0.0
    last: float = 0.0
    seconds: float = 0.0
    reason: str = ""
    trend: tuple[float, ...] = ()
    target: str = ""
    module: str = ""


# bars of a history, and how many seconds each is
SPANS = {"24h": (48, 1800), "7d": (84, 7200), "90d": (90, 86400)}
Place = tuple[str, str, str]  # resource, namespace, name


class History(msgspec.Struct, frozen=True):
    """`bars`: a letter for each part of a span, u g d m n; `uptime` a share, None where nothing was probed;
    `changes` times and states (up, degraded, down), the latest last.
    """

    bars: str = ""
    uptime: float | None = None
    changes: tuple[tuple[float, str], ...] = ()


class Probes(Protocol):
    """What this replica knows of the probes.  `of` awaits nothing, so that a list of thousands is quick."""

    @property
    def broken(self) -> str:
        """Why nothing is known: no target can be reached, or nobody probes.  Empty: all is well."""
        ...

    async def look(self) -> None:
        """What another replica probes is fetched, where it is older than a moment."""
        ...

    def of(self, resource: str, namespace: str, name: str) -> Probed | None:
        """None where no probe was asked for."""
        ...

    async def details(self, resource: str, namespace: str, name: str) -> Sequence[Any]:
        """Everything that is known, of each probe of the target."""
        ...

    async def histories(self, places: Sequence[Place], span: str) -> Mapping[Place, History]:
        """Of those that are probed, for one of SPANS."""
        ...


class NoProbes:
    """Nothing is probed."""

    broken = ""

    async def look(self) -> None:
        return

    def of(self, resource: str, namespace: str, name: str) -> Probed | None:
        return None

    async def details(self, resource: str, namespace: str, name: str) -> Sequence[Any]:
        return ()

    async def histories(self, places: Sequence[Place], span: str) -> Mapping[Place, History]:
        return {}


class Readiness(msgspec.Struct, frozen=True, gc=False):
    ready: int = 0
    of: int = 0


def endpoints_of(slices: Iterable[EndpointSlice]) -> dict[str, SliceEndpoint]:
    """By pod where a pod is behind it, else by address: a pod of two families is one."""
    found: dict[str, SliceEndpoint] = {}
    for piece in slices:
        for one in piece.endpoints or ():
            name = one.target_ref.name if one.target_ref is not None else ""
            key = name or (one.addresses[0] if one.addresses else "")
            if key not in found or one.ready:
                found[key] = one
    return found


def readiness(slices: Iterable[EndpointSlice]) -> Readiness:
    found = endpoints_of(slices)
    return Readiness(sum(one.ready for one in found.values()), len(found))


def in_maintenance(window: Maintenance | None, now: float) -> bool:
    return window is not None and window.begin <= now < window.end


def state_of(
    probed: Probed | None,
    ready: Readiness | None,
    window: Maintenance | None,
    now: float,
    *,
    slow: bool = False,
) -> str:
    """`ready` None: of what has no endpoints, a pod or a node.  `slow`: for longer than its owner allows."""
    if in_maintenance(window, now):
        return MAINTENANCE
    if ready is not None and ready.ready == 0:
        return DOWN
    state = _OF_PROBES.get(probed.state) if probed is not None else None
    if state in (UP, None) and (slow or (ready is not None and ready.ready < ready.of)):
        return DEGRADED
    return state or UNPROBED
