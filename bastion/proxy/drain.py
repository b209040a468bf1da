"""Ends the streams to an endpoint that terminates, once they had their time; requests end in their own."""

from __future__ import annotations

from collections.abc import Callable

from bastion.discovery.catalog import Catalog
from bastion.discovery.listeners import Ending
from bastion.discovery.policy import policy_of
from bastion.kube.annotations import EndpointPolicy
from bastion.proxy.router import Route
from bastion.proxy.streams import Streams, UnderWay

DRAINED = "the endpoint is terminating"


class Drains:
    """`timeout` in seconds, where the service does not say; `later(seconds, what, ending)` calls it then."""

    def __init__(
        self,
        catalog: Catalog,
        streams: Streams,
        timeout: float,
        later: Callable[[float, Callable[[Ending], None], Ending], object],
    ) -> None:
        self._catalog = catalog
        self._streams = streams
        self.timeout = timeout
        self._later = later

    def begin(self, ending: Ending) -> None:
        if self._streams.any_at(ending.address):
            key = (ending.namespace, ending.service)
            own = policy_of(self._catalog, EndpointPolicy, "services", key).drain_timeout
            self._later(self.timeout if own is None else own, self._end, ending)

    def _end(self, ending: Ending) -> None:
        """Unless it serves again by now."""
        if self._serves(ending):
            return
        key = ("services", ending.namespace, ending.service)

        def of_the_service(under_way: UnderWay) -> bool:
            return isinstance(under_way.route, Route) and under_way.route.key[:3] == key

        self._streams.end_at(ending.address, DRAINED, of_the_service)

    def _serves(self, ending: Ending) -> bool:
        pieces = self._catalog.slices_of(ending.namespace, ending.service).values()
        return any(
            endpoint.ready and ending.address in endpoint.addresses
            for piece in pieces
            for endpoint in piece.endpoints or ()
        )
