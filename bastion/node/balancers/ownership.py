"""· Which node answers for an address?  Pure: time is an argument, of a steady clock.

Each node renews a Lease every second.  A node lives while its Lease changes, by the reader's own clock:
no two clocks are compared (client-go `tools/leaderelection`).  Among the nodes that live the first by a
hash of node and address has it, so that all come to the same answer without talking, and only the
addresses of a node that leaves move.

A node trusts what it knows only while its own renewals come back to it by the watch by which it sees the
others: one that cannot write, or no longer hears, stops answering before another one begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable

import msgspec

from bastion.kube.metadata import Struct

DURATION = 3.0  # seconds without a change, and a node is gone
RENEW = 1.0  # seconds between two renewals
TRUST = 2.0  # seconds without a renewal of its own, and a node stops


class LeaseMetadata(Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    resource_version: str = ""


class LeaseSpec(Struct, frozen=True):
    holder_identity: str | None = None
    renew_time: str | None = None
    lease_duration_seconds: int | None = None


class Lease(Struct, frozen=True):
    metadata: LeaseMetadata
    spec: LeaseSpec = LeaseSpec()


class _Seen(msgspec.Struct):
    """`since`: when it came to those that live, by this node's view."""

    node: str
    version: str
    at: float
    since: float


class Members:
    """The nodes that live; `own` is this one.

    `began` tells by its date when a renewal of this process began, None for any other: what comes late by the
    watch, because this process or the API server was stopped, makes nothing younger.
    """

    def __init__(self, own: str, began: Callable[[str], float | None]) -> None:
        self._own = own
        self._began = began
        self._seen: dict[str, _Seen] = {}  # by the name of the Lease

    def put(self, lease: Lease, now: float) -> None:
        node, name = lease.spec.holder_identity or "", lease.metadata.name
        if not node:  # given up
            self._seen.pop(name, None)
            return
        version = lease.metadata.resource_version
        known = self._seen.get(name)
        if known is not None and known.version == version:
            return
        at = self._began(lease.spec.renew_time or "") if node == self._own else now
        if at is None:
            return
        lives = known is not None and known.node == node and now - known.at < DURATION
        # those that were there before this node are not new
        came = now if node == self._own or now - self.own_seen < DURATION else float("-inf")
        self._seen[name] = _Seen(node, version, at, known.since if lives and known is not None else came)

    def drop(self, name: str) -> None:
        self._seen.pop(name, None)

    def alive(self, now: float) -> frozenset[str]:
        return frozenset(one.node for one in self._seen.values() if now - one.at < DURATION)

    def answering(self, nodes: Collection[str] | None, now: float) -> frozenset[str]:
        """Those of `nodes` (None: of all) among which the hash decides.

        One that is new counts once the others have heard of it, or have stopped because they do not hear:
        where there is none but new ones, they do.
        """
        alive = [
            one
            for one in self._seen.values()
            if now - one.at < DURATION and (nodes is None or one.node in nodes)
        ]
        settled = frozenset(one.node for one in alive if now - one.since >= TRUST)
        return settled or frozenset(one.node for one in alive)

    def sure(self, now: float) -> bool:
        """Whether this node may answer for anything."""
        return now - self.own_seen < TRUST

    @property
    def own_seen(self) -> float:
        """When the last renewal of this node's own began that came back."""
        return max((one.at for one in self._seen.values() if one.node == self._own), default=float("-inf"))


def owner(address: str, nodes: Iterable[str]) -> str:
    """Empty where there are none."""
    return min(nodes, key=lambda node: hashlib.sha256(f"{node}#{address}".encode()).digest(), default="")


def owned(
    own: str, claims: dict[str, Collection[str] | None], members: Members, now: float
) -> frozenset[str]:
    """`claims`: by address the nodes that may answer for it, None for every one."""
    if not members.sure(now):
        return frozenset()
    return frozenset(
        address for address, nodes in claims.items() if owner(address, members.answering(nodes, now)) == own
    )
