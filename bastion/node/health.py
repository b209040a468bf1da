"""· Is this node's proxy healthy, should load balancers send here, and how many endpoints has a Service
here?
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any

from bastion.node.claims import ServiceKey

NANOSECONDS = 1_000_000_000


class Health:
    """Times in nanoseconds since the epoch; a change that waits longer than `patience` seconds is a fault.

    A family that has had something to do for too long is not healthy; one that has yet to start is, as in
    kube-proxy.
    """

    def __init__(self, families: tuple[str, ...], patience: float) -> None:
        self._patience = int(patience * NANOSECONDS)
        self._queued: dict[str, int | None] = dict.fromkeys(families)
        self._synced: dict[str, int | None] = dict.fromkeys(families)

    def queued(self, family: str, now: int) -> None:
        if self._queued[family] is None:
            self._queued[family] = now

    def synced(self, family: str, began: int, now: int) -> None:
        """What was queued before it began is done."""
        queued = self._queued[family]
        self._synced[family] = now
        if queued is not None and queued <= began:
            self._queued[family] = None

    def state(self, now: int) -> dict[str, tuple[int, bool]]:
        """By family: when it was last known to be right, and whether it is healthy."""
        return {family: self._of(family, now) for family in self._queued}

    def healthy(self, now: int) -> bool:
        return all(well for _, well in self.state(now).values())

    def _of(self, family: str, now: int) -> tuple[int, bool]:
        synced, queued = self._synced[family], self._queued[family]
        if queued is None:
            return now, True
        return synced or queued, now - queued < self._patience


def healthz(health: Health, now: int, eligible: bool | None) -> tuple[int, bytes]:
    """Status and body of /healthz; of /livez, which the node's state does not concern, with None."""
    state = health.state(now)
    well = health.healthy(now)
    answer: dict[str, Any] = {
        "lastUpdated": moment(min((at for at, _ in state.values()), default=now)),
        "currentTime": moment(now),
    }
    if eligible is not None:
        answer["nodeEligible"] = eligible
    answer["healthy"] = well
    answer["status"] = {
        family: {"lastUpdated": moment(at), "healthy": good} for family, (at, good) in state.items()
    }
    return (200 if well and eligible is not False else 503), json.dumps(
        answer, separators=(",", ":")
    ).encode()


def service_health(service: ServiceKey, local: int, healthy: bool) -> tuple[int, bytes, Mapping[str, str]]:
    """What a load balancer's check of a healthCheckNodePort gets."""
    answer = {
        "service": {"namespace": service[0], "name": service[1]},
        "localEndpoints": local,
        "serviceProxyHealthy": healthy,
    }
    fields = {"X-Content-Type-Options": "nosniff", "X-Load-Balancing-Endpoint-Weight": str(local)}
    return (200 if local and healthy else 503), json.dumps(answer, indent="\t").encode(), fields


def moment(nanoseconds: int) -> str:
    """RFC 3339 with nanoseconds, in UTC."""
    seconds, rest = divmod(nanoseconds, NANOSECONDS)
    days, second = divmod(seconds, 86400)
    year, month, day = _date(days)
    clock = f"{second // 3600:02}:{second % 3600 // 60:02}:{second % 60:02}"
    return f"{year:04}-{month:02}-{day:02}T{clock}.{rest:09}Z"


def _date(days: int) -> tuple[int, int, int]:
    found = date.fromordinal(date(1970, 1, 1).toordinal() + days)
    return found.year, found.month, found.day
