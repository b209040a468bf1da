"""Is a name that the catalog does not know settled by one look at the API server, and does nobody turn that
on it?
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from bastion.cluster.errors import ApiError
from bastion.discovery.lookup import Lookup
from bastion.discovery.resolution import UnknownTarget
from bastion.discovery.resolver import Resolver
from bastion.kube.target import parse_target
from bastion.network.addresses import DialPolicy
from bastion.runtime.limits import Rate
from bastion.runtime.turns import Asker
from tests.fakes import (
    ClockLoop,
    backed_by,
    catalog_of,
    endpoints,
    node,
    pass_time,
    pod,
    refused,
    remove,
    run,
    service,
    settle,
)

NONE = ApiError("the API server answered 404", 404)
AWAY = ApiError("it does not answer")


class Informer:
    """How far one has come."""

    def __init__(self, resource: Any, version: str = "100", namespace: str = "") -> None:
        self.resource, self.version, self.namespace = resource, version, namespace


class Api:
    """What the API server holds, by path; an exception is raised.  `asked` are the paths and queries."""

    def __init__(self, objects: Any) -> None:
        self.objects = objects
        self.asked: list[Any] = []
        self.go = asyncio.Event()
        self.go.set()

    async def get(self, path: Any, query: Any, asker: Asker) -> Any:
        self.asked.append((path, query))
        await self.go.wait()
        found = self.objects.get(path, NONE)
        if isinstance(found, Exception):
            raise found
        return json.dumps(found).encode()


def of_version(raw: Any, version: Any) -> Any:
    return {**raw, "metadata": {**raw["metadata"], "resourceVersion": version}}


class Scene:
    def __init__(
        self,
        objects: Any = None,
        version: str = "100",
        budget: float = 20.0,
        informers: Any = None,
        **known: Any,
    ) -> None:
        self.api = Api(objects or {})
        self.catalog = catalog_of(**known)
        self.informers = informers or [
            Informer(resource, version) for resource in ("pods", "services", "endpointslices", "nodes")
        ]
        self.lookup = Lookup(self.api, self.catalog, self.informers, Rate(budget, budget))
        self.resolver = Resolver(self.catalog, DialPolicy(), nodes=True)

    async def endpoints(self, resource: Any, name: Any, user: str = "alice", namespace: str = "ns") -> Any:
        """As the gateway does it."""
        target = parse_target(resource, "" if resource == "nodes" else namespace, name)
        try:
            return self.resolver.resolve(target).endpoints
        except UnknownTarget:
            await self.lookup.settle(target, ("user", user))
            return self.resolver.resolve(target).endpoints


def on_a_clock(scene: Any) -> None:
    run(scene(), loop=ClockLoop)


POD = "/api/v1/namespaces/ns/pods/web"
SERVICE = "/api/v1/namespaces/ns/services/web"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices"
NODE = "/api/v1/nodes/n1"


def test_a_pod_that_is_younger_than_the_copy_is_found() -> None:
    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), "101")})
        assert [str(endpoint) for endpoint in await it.endpoints("pods", "web:80")] == ["10.0.0.1:80"]
        await it.endpoints("pods", "web:80")
        assert it.api.asked == [(POD, {})], "the second time the catalog knew"

    on_a_clock(scene)


def test_a_service_is_found_with_its_slices() -> None:
    async def scene() -> None:
        slices = {"items": [of_version(endpoints("web", {"": 8080}, backed_by("web-1", "10.0.0.1")), "103")]}
        it = Scene(
            {SERVICE: of_version(service("web", {"port": 80}), "102"), SLICES: slices},
            pods=[pod("web-1", "10.0.0.1")],
        )
        assert [str(endpoint) for endpoint in await it.endpoints("services", "web")] == ["10.0.0.1:8080"]
        assert it.api.asked == [
            (SERVICE, {}),
            (SLICES, {"labelSelector": "kubernetes.io/service-name=web", "limit": "25"}),
        ]

    on_a_clock(scene)


def test_a_node_is_found() -> None:
    async def scene() -> None:
        it = Scene({NODE: of_version(node("n1", ("InternalIP", "10.0.0.9")), "101")})
        assert [str(endpoint) for endpoint in await it.endpoints("nodes", "n1")] == ["10.0.0.9:10250"]
        assert it.api.asked == [(NODE, {})]

    on_a_clock(scene)


def test_what_is_known_costs_nothing() -> None:
    async def scene() -> None:
        it = Scene(pods=[pod("web", "10.0.0.1")])
        for _ in range(100):
            await it.endpoints("pods", "web:80")
        assert it.api.asked == []

    on_a_clock(scene)


@pytest.mark.parametrize("version", ["99", "100", "", "abc"])
def test_what_the_watch_passed_meanwhile_and_the_copy_does_not_hold_is_gone(version: Any) -> None:
    """Else a deletion that was on its way while we looked would leave a pod that nobody takes out any
    more.
    """

    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), version)}, version="90")
        doubts: list[str] = []
        it.catalog.listeners.went_back.append(doubts.append)
        it.api.go.clear()
        asking = asyncio.create_task(it.endpoints("pods", "web:80"))
        await settle()
        for informer in it.informers:
            informer.version = "100"
        it.api.go.set()
        with refused(404):
            await asking
        assert (it.catalog.keys("pods"), doubts) == (set(), [])

    on_a_clock(scene)


@pytest.mark.parametrize(("version", "proof"), [("99", True), ("100", True), ("", False), ("abc", False)])
def test_what_the_watch_had_passed_before_it_was_looked_for_is_there_because_time_went_back(
    version: Any, proof: Any
) -> None:
    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), version)})
        doubts: list[str] = []
        it.catalog.listeners.went_back.append(doubts.append)
        if proof:
            assert await it.endpoints("pods", "web:80")
            assert doubts == [f"ns/web of version {version} exists, but is not among the objects up to 100"]
            await it.endpoints("pods", "web:80")
        else:
            with refused(404):
                await it.endpoints("pods", "web:80")
        assert len(doubts) == proof

    on_a_clock(scene)


def test_a_service_of_another_past_is_found_with_its_slices() -> None:
    async def scene() -> None:
        slices = {"items": [of_version(endpoints("web", {"": 8080}, backed_by("web-1", "10.0.0.1")), "93")]}
        it = Scene(
            {SERVICE: of_version(service("web", {"port": 80}), "92"), SLICES: slices},
            pods=[pod("web-1", "10.0.0.1")],
        )
        assert [str(endpoint) for endpoint in await it.endpoints("services", "web")] == ["10.0.0.1:8080"]

    on_a_clock(scene)


def test_while_a_list_is_read_whatever_is_found_counts() -> None:
    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), "7")}, version=None)  # type: ignore[arg-type]
        assert await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_a_name_that_is_not_there_is_asked_for_once_a_second() -> None:
    async def scene() -> None:
        it = Scene()
        for _ in range(10):
            with refused(404, 'pods "web" not found'):
                await it.endpoints("pods", "web:80")
        assert len(it.api.asked) == 1
        await pass_time(1.001)
        it.api.objects[POD] = of_version(pod("web", "10.0.0.1"), "101")
        assert await it.endpoints("pods", "web:80")
        assert len(it.api.asked) == 2

    on_a_clock(scene)


def test_what_was_found_and_went_is_looked_for_again() -> None:
    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), "101")})
        await it.endpoints("pods", "web:80")
        remove(it.catalog, "pods", "web")
        del it.api.objects[POD]
        with refused(404):
            await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_however_many_ask_for_one_name_one_look_is_taken() -> None:
    async def scene() -> None:
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), "101")}, budget=1.0)
        it.api.go.clear()
        asking = [
            asyncio.create_task(it.endpoints("pods", "web:80", user=f"user-{i % 3}")) for i in range(60)
        ]
        await settle()
        it.api.go.set()
        assert len(await asyncio.gather(*asking)) == 60
        assert len(it.api.asked) == 1

    on_a_clock(scene)


def test_a_user_who_looks_for_too_many_names_waits_and_nobody_else_does() -> None:
    async def scene() -> None:
        it = Scene(budget=20.0)
        for i in range(20):
            with refused(404):
                await it.endpoints("pods", f"no-{i}:80")
        with refused(429, "try again"):
            await it.endpoints("pods", "no-20:80")
        with refused(404):
            await it.endpoints("pods", "no-0:80")  # remembered: costs nothing
        with refused(404):
            await it.endpoints("pods", "no-20:80", user="bob")
        assert len(it.api.asked) == 21
        await pass_time(0.0501)
        with refused(404):
            await it.endpoints("pods", "no-22:80")

    on_a_clock(scene)


@pytest.mark.parametrize(
    "name", ["Web", "web_1", "-web", "web-", "wéb", "a b", "x" * 254, "..x", "web?x", "web#x", "web\n"]
)
def test_a_name_that_no_object_can_have_is_not_asked_for(name: Any) -> None:
    async def scene() -> None:
        it = Scene()
        with refused(404):
            await it.endpoints("pods", name)
        with refused(404):
            await it.endpoints("pods", "web", namespace=name)
        assert it.api.asked == []

    on_a_clock(scene)


@pytest.mark.parametrize("status", [0, 401, 429, 500, 503])
def test_an_api_server_that_does_not_tell_is_a_503_and_nothing_is_remembered(status: Any) -> None:
    async def scene() -> None:
        it = Scene({POD: ApiError("no", status)})
        with refused(503, "cannot find out"):
            await it.endpoints("pods", "web:80")
        it.api.objects[POD] = of_version(pod("web", "10.0.0.1"), "101")
        assert await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_an_api_server_that_is_silent_is_a_503() -> None:
    async def scene() -> None:
        it = Scene()
        it.api.go.clear()
        asking = asyncio.create_task(it.endpoints("pods", "web:80"))
        await pass_time(11)
        with refused(503):
            await asking

    on_a_clock(scene)


@pytest.mark.parametrize("body", [[], {}, {"metadata": 3}, {"metadata": {}}, "x"])
def test_an_answer_that_is_no_object_is_a_503(body: Any) -> None:
    async def scene() -> None:
        it = Scene({POD: body})
        with refused(503):
            await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_where_the_bastion_may_not_look_its_copy_is_all_there_is() -> None:
    async def scene() -> None:
        it = Scene({POD: ApiError("no", 403)})
        with refused(404):
            await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_with_namespaces_the_informer_of_the_namespace_tells_how_far_it_has_come() -> None:
    async def scene() -> None:
        informers = [Informer("pods", "100", "ns"), Informer("pods", "500", "other")]
        it = Scene({POD: of_version(pod("web", "10.0.0.1"), "101")}, informers=informers)
        assert await it.endpoints("pods", "web:80")

    on_a_clock(scene)


def test_every_path_that_is_asked_for_is_one_path() -> None:
    async def scene() -> None:
        it = Scene()
        for name in ("a.b", "0", "a" * 253):
            with refused(404):
                await it.endpoints("pods", name)
        for path, query in it.api.asked:
            assert urlsplit(path).path == path and not parse_qsl(urlsplit(path).query) and not query

    on_a_clock(scene)
