"""Does a name that is not known get its second chance, and only that?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.discovery.resolution import UnknownTarget
from bastion.discovery.resolver import Resolver
from bastion.kube.requestinfo import parse_proxied
from bastion.network.addresses import DialPolicy
from bastion.proxy.router import Route, Router
from bastion.runtime.turns import Asker
from tests.fakes import a_turn, catalog_of, pod, put
from tests.present import present

INFO = present(parse_proxied("GET", b"/api/v1/namespaces/ns/pods/web:80/proxy/x?y"))
ALICE = ("user", "alice")


class Finds:
    """A look-up that puts these into the catalog; `asked` are (name, user)."""

    def __init__(self, catalog: Any, *found: Any) -> None:
        self._catalog, self._found = catalog, found
        self.asked: list[Any] = []

    async def settle(self, target: Any, asker: Asker) -> None:
        self.asked.append((target.name, asker))
        for raw in self._found:
            put(self._catalog, "pods", raw)


def settled(catalog: Any, lookup: Any) -> Route:
    router = Router(Resolver(catalog, DialPolicy(), nodes=False), a_turn, lookup)
    return asyncio.run(router.route(INFO, ALICE))


def test_what_is_found_after_all_is_where_the_request_goes() -> None:
    catalog = catalog_of()
    lookup = Finds(catalog, pod("web", "10.0.0.1"))
    route = settled(catalog, lookup)
    assert ([str(endpoint) for endpoint in route.endpoints], route.target) == (["10.0.0.1:80"], b"/x?y")
    assert lookup.asked == [("web", ALICE)]


def test_what_is_not_found_either_is_unknown() -> None:
    with pytest.raises(UnknownTarget):
        settled(catalog_of(), Finds(catalog_of()))


def test_without_a_lookup_what_is_not_known_is_not_there() -> None:
    with pytest.raises(UnknownTarget):
        settled(catalog_of(), None)
