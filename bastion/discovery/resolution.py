"""· What does a target lead to, or why to nothing?"""

from __future__ import annotations

import msgspec

from bastion.discovery.backing import RetryResolution
from bastion.discovery.index import Memo
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import not_found
from bastion.kube.status import StatusError
from bastion.kube.target import Target


class Resolution(msgspec.Struct, frozen=True, gc=False):
    """Requests with the same `key` are balanced over `endpoints`, as `policy` says.

    `standby`: the same pods in their other address family, for a dial that fails.  `truncated`: the
    service lists more than is looked at.
    """

    key: tuple[str, str, str, int]
    endpoints: tuple[Endpoint, ...]
    standby: tuple[Endpoint, ...] = ()
    truncated: bool = False
    policy: EndpointPolicy = EndpointPolicy()

    @property
    def direct(self) -> bool:
        """Whether what is remembered of a request can be carried out without a task."""
        return self.policy.affinity != "cookie" and not self.policy.has_timeouts


# Whoever names a pod gets that one or an error.
PICKED = EndpointPolicy(affinity="none", retry_on=frozenset())


class UnknownTarget(RetryResolution):
    """404 as far as the catalog knows, which may be a moment behind."""

    target: Target


class NoneReady(StatusError):
    """The service and its port are there, and no endpoint of it is ready."""


def unknown(target: Target) -> UnknownTarget:
    error = not_found(target.resource, target.name).of(UnknownTarget)
    error.target = target
    return error


# --- cached results, by scheme and port; the catalog drops them when their objects change


Key = tuple[str, str]  # namespace and name


def recalled(memo: Memo, key: Key, target: Target) -> Resolution | None:
    known = memo.get(*key)
    return known.get((target.scheme, target.port)) if known is not None else None


def remembered(memo: Memo, key: Key, target: Target, resolved: Resolution, most: int) -> Resolution:
    known = memo.of(*key)
    if len(known) >= most:
        known.clear()  # a port can be written in many ways
    known[(target.scheme, target.port)] = resolved
    return resolved
