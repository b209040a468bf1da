"""Which endpoints serve a request, and in which order are they tried?"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

import msgspec

from bastion.balance.pool import Balancer
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolver import Resolver, UnknownTarget
from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import method_not_allowed
from bastion.kube.target import parse_target
from bastion.proxy.kubelet import check_kubelet_request
from bastion.turns import Key


class Route(msgspec.Struct, frozen=True, gc=False):
    """`endpoints` in the order to try; `target` is path and query for the backend; `key` names what is balanced."""

    key: Hashable
    endpoints: Sequence[Endpoint]
    target: bytes


class Router:
    """`lookup` None: what the catalog does not know is not there."""

    def __init__(self, resolver: Resolver, balancer: Balancer, lookup: Lookup | None = None) -> None:
        self._resolver = resolver
        self._balancer = balancer
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

    async def settle(self, info: RequestInfo, unknown: UnknownTarget, asker: Key) -> Route:
        """The route after all, where the API server knows what the catalog does not know yet.  Raises StatusError."""
        if self._lookup is None:
            raise unknown
        await self._lookup.settle(unknown.target, asker)
        return self.route(info)
