"""Which endpoints may serve a request?

Asked anew before every dial after the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import structs

from bastion.balance.families import Families
from bastion.discovery.backing import RetryResolution, Unfinished
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolution import Resolution, UnknownTarget
from bastion.discovery.resolver import Resolver
from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.objects import family_of
from bastion.kube.pathgroups import PathGroups
from bastion.kube.requestinfo import Proxied
from bastion.kube.status import StatusError
from bastion.kube.target import Target, parse_target
from bastion.proxy.kubelet import check_kubelet_request
from bastion.proxy.permit import GroupsOf, no_groups
from bastion.runtime.turns import Key

MOST_TURNS = 1000  # of the loop for one request; then its client may come again


class Route(msgspec.Struct, frozen=True, gc=False):
    """`endpoints` are balanced as `policy` says, `others` stand by; `target` is path and query for the
    backend; `key` names what is balanced, its resource first; `info` is what it was chosen for, and `pod` the
    one that is to serve it, empty for any.
    """

    key: tuple[str, str, str, int]
    endpoints: Sequence[Endpoint]
    target: bytes
    info: Proxied
    resolved: Resolution | None = None
    others: Sequence[Endpoint] = ()
    policy: EndpointPolicy = EndpointPolicy()
    pod: str = ""

    @property
    def to_node(self) -> bool:
        return self.key[0] == "nodes"


class Led(msgspec.Struct):
    """Where a target led when the catalog had this revision; None: nowhere at once.  `target` is that of
    `info`, `groups` are those that its path was admitted by.
    """

    info: Proxied
    target: Target
    groups: PathGroups | None = None
    revision: int = -1
    route: Route | None = None


class Router:
    """`turn` returns when a user may have the next step of long work done; `lookup` None: what the catalog
    does not know is not there; `families` knows which address families lead nowhere, by the clock `now`;
    `groups_of`: the path groups of a service.
    """

    def __init__(
        self,
        resolver: Resolver,
        turn: Callable[[Key], Awaitable[None]],
        lookup: Lookup | None = None,
        families: Families | None = None,
        now: Callable[[], float] = lambda: 0.0,
        groups_of: GroupsOf = no_groups,
    ) -> None:
        self._resolver = resolver
        self._turn = turn
        self._lookup = lookup
        self._families = families if families is not None else Families()
        self._now = now
        self.groups_of = groups_of

    async def route(self, info: Proxied, asker: Key, pod: str = "") -> Route:
        """Raises StatusError.  Called only for a request that is authorized: it tells what exists."""
        return self._route(info, await self.resolved(info, asker, pod), pod)

    def at_once(self, led: Led) -> Route | None:
        """None where it takes more than a look, or is to be refused.

        The catalog is asked again where anything has changed in it.
        """
        revision = self._resolver.revision
        if led.revision != revision:
            led.revision, led.route = revision, self._led(led)
        elif led.route is not None and led.route.others:
            led.route = self._led(led)  # which family is first may change
        return led.route

    def _led(self, led: Led) -> Route | None:
        if self.groups_of(led.info.attributes) != led.groups:
            return None  # it is to be admitted anew
        try:
            resolved = self._resolved(led.info, led.target)
        except StatusError:
            return None
        return self._route(led.info, resolved) if resolved.direct else None

    def _route(self, info: Proxied, resolved: Resolution, pod: str = "") -> Route:
        """The same pods' other addresses stand by; the other way round where the first lead nowhere."""
        rest = info.rest
        first, others = resolved.endpoints, resolved.standby
        if others and self._families.is_last(resolved.key, family_of(first[0].address), self._now()):
            first, others = others, first
        target = rest if rest[:1] == b"/" else b"/" + rest
        return Route(
            resolved.key,
            first,
            target,
            info,
            resolved=resolved,
            others=others,
            policy=resolved.policy,
            pod=pod,
        )

    async def resolved(self, info: Proxied, asker: Key, pod: str = "") -> Resolution:
        """All endpoints, in no order.  Raises StatusError."""
        try:
            return self._resolve(info, pod)
        except RetryResolution as unsettled:
            return await self._settle(info, unsettled, asker, pod)

    async def again(self, route: Route, asker: Key) -> Sequence[Endpoint]:
        """Where the target leads by now, those that stand by last.  Raises StatusError: it may be gone.

        Between two dials seconds may pass, and an address that a pod had may be another's, of another
        namespace.
        """
        resolved = await self._settled(route.info, asker, route.pod)
        if resolved is route.resolved and not route.others:
            return route.endpoints
        before = dict.fromkeys((*route.endpoints, *route.others))
        now = dict.fromkeys((*resolved.endpoints, *resolved.standby))
        return (
            *(endpoint for endpoint in before if endpoint in now),
            *(endpoint for endpoint in now if endpoint not in before),
        )

    async def leads_to(self, route: Route, endpoint: Endpoint, asker: Key) -> bool:
        """Whether it still is one of the target's.  Raises StatusError: the target may be gone."""
        resolved = await self._settled(route.info, asker, route.pod)
        return endpoint in resolved.endpoints or endpoint in resolved.standby

    def dialled(self, route: Route, endpoint: Endpoint, *, silent: bool) -> None:
        """A new connection went there, or (`silent`) nobody answered; a refusal is neither."""
        if route.resolved is None or not route.resolved.standby:
            return
        family = family_of(endpoint.address)
        if silent:
            self._families.silent(route.key, family, self._now())
        else:
            self._families.answered(route.key, family)

    def _resolve(self, info: Proxied, pod: str = "") -> Resolution:
        return self._resolved(info, target_of(info), pod)

    def _resolved(self, info: Proxied, target: Target, pod: str = "") -> Resolution:
        resolved = self._resolver.resolve(target, pod)
        if resolved.endpoints[0].tls == KUBELET:
            check_kubelet_request(info.rest, info.attributes.name)
        return resolved

    async def _settle(self, info: Proxied, unsettled: RetryResolution, asker: Key, pod: str) -> Resolution:
        """Where the API server knows what the catalog does not, or much is to be looked at.

        Raises StatusError.
        """
        if isinstance(unsettled, UnknownTarget):
            if self._lookup is None:
                raise unsettled
            await self._lookup.settle(unsettled.target, asker)
        return await self._settled(info, asker, pod)

    async def _settled(self, info: Proxied, asker: Key, pod: str) -> Resolution:
        for _ in range(MOST_TURNS):
            try:
                return self._resolve(info, pod)
            except Unfinished:
                await self._turn(asker)
        return self._resolve(info, pod)


def target_of(info: Proxied) -> Target:
    """Raises StatusError 400 where the id has not the shape."""
    attributes = info.attributes
    target = parse_target(attributes.resource, attributes.namespace, attributes.name)
    return structs.replace(target, scheme="http") if info.plain else target
