"""Which endpoints serve a request, and in which order are they tried?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Sequence

import msgspec

from bastion.balance.pool import Balancer
from bastion.discovery.backing import Unfinished, Unsettled
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolver, UnknownTarget
from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import method_not_allowed
from bastion.kube.target import parse_target
from bastion.proxy.kubelet import check_kubelet_request

MOST_TURNS = 1000  # of the loop for one request; then its client may come again


class Route(msgspec.Struct, frozen=True, gc=False):
    """`endpoints` in the order to try; `target` is path and query for the backend; `key` names what is balanced."""

    key: Hashable
    endpoints: Sequence[Endpoint]
    target: bytes


class Router:
    """`turn` returns when a user may have the next step of long work done; `lookup` None: what the catalog does not know is not there."""

    def __init__(
        self, resolver: Resolver, balancer: Balancer, turn: Callable[[str], Awaitable[None]], lookup: Lookup | None = None
    ) -> None:
        self._resolver = resolver
        self._balancer = balancer
        self._turn = turn
        self._lookup = lookup

    def route(self, info: RequestInfo) -> Route:
        """Raises StatusError.  Called only for a request that is authorized: it tells what exists."""
        attributes = info.attributes
        if not info.known_method:
            raise method_not_allowed()
        resolved = self._resolver.resolve(parse_target(attributes.resource, attributes.namespace, attributes.name))
        if resolved.endpoints[0].identity == KUBELET:
            check_kubelet_request(info.rest, attributes.name)
        rest = info.rest
        return Route(resolved.key, self._balancer.order(resolved.key, resolved.endpoints), rest if rest[:1] == b"/" else b"/" + rest)

    async def settle(self, info: RequestInfo, unsettled: Unsettled, user: str) -> Route:
        """The route after all: where the API server knows what the catalog does not, or much is to be looked at.  Raises StatusError."""
        if isinstance(unsettled, UnknownTarget):
            if self._lookup is None:
                raise unsettled
            await self._lookup.settle(unsettled.target, user)
        for _ in range(MOST_TURNS):
            try:
                return self.route(info)
            except Unfinished as unfinished:
                unsettled = unfinished
                await self._turn(user)
        raise unsettled
