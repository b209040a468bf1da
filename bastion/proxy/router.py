"""Which endpoints serve a request, and in which order are they tried?

Asked anew before every dial after the first.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

import msgspec

from bastion.balance.families import Families
from bastion.balance.pool import Balancer
from bastion.discovery.backing import RetryResolution, Unfinished
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolution, Resolver, UnknownTarget
from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.errors import method_not_allowed
from bastion.kube.objects import family_of
from bastion.kube.requestinfo import VERBS, Proxied
from bastion.kube.status import StatusError
from bastion.kube.target import Target, parse_target
from bastion.proxy.kubelet import check_kubelet_request
from bastion.runtime.turns import Key

MOST_TURNS = 1000  # of the loop for one request; then its client may come again


class Route(msgspec.Struct, frozen=True, gc=False):
    """`endpoints` in the order to try; `target` is path and query for the backend; `key` names what is
    balanced, its resource first; `info` is what it was chosen for.
    """

    key: tuple[str, str, str, int]
    endpoints: Sequence[Endpoint]
    target: bytes
    info: Proxied
    resolved: Resolution | None = None

    @property
    def to_node(self) -> bool:
        return self.key[0] == "nodes"


class Led(msgspec.Struct):
    """Where a target led when the catalog had this revision; None: nowhere at once.  `target` is that of
    `info`.
    """

    info: Proxied
    target: Target
    revision: int = -1
    route: Route | None = None


class Router:
    """`turn` returns when a user may have the next step of long work done; `lookup` None: what the catalog
    does not know is not there; `families` knows which address families lead nowhere, by the clock `now`.
    """

    def __init__(
        self,
        resolver: Resolver,
        balancer: Balancer,
        turn: Callable[[Key], Awaitable[None]],
        lookup: Lookup | None = None,
        families: Families | None = None,
        now: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._resolver = resolver
        self._balancer = balancer
        self._turn = turn
        self._lookup = lookup
        self._families = families if families is not None else Families()
        self._now = now

    async def route(self, info: Proxied, asker: Key) -> Route:
        """Raises StatusError.  Called only for a request that is authorized: it tells what exists."""
        if not info.known_method:
            raise method_not_allowed(*VERBS)
        return self._route(info, await self.resolved(info, asker))

    def at_once(self, led: Led) -> Route | None:
        """None where it takes more than a look, or is to be refused.

        The catalog is asked again where anything has changed in it.
        """
        revision = self._resolver.revision
        if led.revision != revision:
            try:
                led.route = self._route(led.info, self._resolved(led.info, led.target))
            except StatusError:
                led.route = None
            led.revision = revision
            return led.route
        route = led.route
        if route is None or len(route.endpoints) == 1:
            return route
        assert route.resolved is not None
        return self._route(led.info, route.resolved)

    def _route(self, info: Proxied, resolved: Resolution) -> Route:
        rest = info.rest
        endpoints = (
            self._balancer.order(resolved.key, resolved.endpoints)
            if not resolved.standby
            else self._with_standby(resolved)
        )
        return Route(resolved.key, endpoints, rest if rest[:1] == b"/" else b"/" + rest, info, resolved)

    async def resolved(self, info: Proxied, asker: Key) -> Resolution:
        """All endpoints, in no order.  Raises StatusError."""
        try:
            return self._resolve(info)
        except RetryResolution as unsettled:
            return await self._settle(info, unsettled, asker)

    def _with_standby(self, resolved: Resolution) -> Sequence[Endpoint]:
        """In turn in the first family, and the same pods' other addresses behind; the other way round where
        the first leads nowhere.
        """
        first, other = resolved.endpoints, resolved.standby
        if self._families.is_last(resolved.key, family_of(first[0].address), self._now()):
            first, other = other, first
        return tuple(dict.fromkeys((*self._balancer.order(resolved.key, first), *other)))

    async def again(self, route: Route, asker: Key) -> Sequence[Endpoint]:
        """Where the target leads by now, in the order chosen at first.  Raises StatusError: it may be gone.

        Between two dials seconds may pass, and an address that a pod had may be another's, of another
        namespace.
        """
        resolved = await self._settled(route.info, asker)
        if resolved is route.resolved:
            return route.endpoints
        before, now = dict.fromkeys(route.endpoints), dict.fromkeys((*resolved.endpoints, *resolved.standby))
        return (
            *(endpoint for endpoint in before if endpoint in now),
            *(endpoint for endpoint in now if endpoint not in before),
        )

    async def leads_to(self, route: Route, endpoint: Endpoint, asker: Key) -> bool:
        """Whether it still is one of the target's.  Raises StatusError: the target may be gone."""
        resolved = await self._settled(route.info, asker)
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

    def _resolve(self, info: Proxied) -> Resolution:
        return self._resolved(info, target_of(info))

    def _resolved(self, info: Proxied, target: Target) -> Resolution:
        resolved = self._resolver.resolve(target)
        if resolved.endpoints[0].tls == KUBELET:
            check_kubelet_request(info.rest, info.attributes.name)
        return resolved

    async def _settle(self, info: Proxied, unsettled: RetryResolution, asker: Key) -> Resolution:
        """Where the API server knows what the catalog does not, or much is to be looked at.

        Raises StatusError.
        """
        if isinstance(unsettled, UnknownTarget):
            if self._lookup is None:
                raise unsettled
            await self._lookup.settle(unsettled.target, asker)
        return await self._settled(info, asker)

    async def _settled(self, info: Proxied, asker: Key) -> Resolution:
        for _ in range(MOST_TURNS):
            try:
                return self._resolve(info)
            except Unfinished:
                await self._turn(asker)
        return self._resolve(info)


def target_of(info: Proxied) -> Target:
    """Raises StatusError 400 where the id has not the shape."""
    attributes = info.attributes
    return parse_target(attributes.resource, attributes.namespace, attributes.name)
