"""Do streams to an endpoint that terminates end when their time is over, and no others?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bastion.discovery.catalog import Catalog
from bastion.discovery.listeners import Ending
from bastion.kube.endpoint import Endpoint
from bastion.proxy.drain import DRAINED, Drains
from tests.fakes import catalog_of, endpoints, pod, put, service
from tests.proxy.routes import route_to

ADDRESS = "10.0.0.1"


class Stream:
    def __init__(self, route: Any) -> None:
        self.route, self.ended = route, ""

    def end(self, reason: str, *, revoked: bool) -> None:
        assert not revoked
        self.ended = reason


class Open:
    """Implements what is needed of `Streams`."""

    def __init__(self, *streams: Stream) -> None:
        self._streams = streams

    def any_at(self, address: str) -> bool:
        return address == ADDRESS and bool(self._streams)

    def end_at(self, address: str, reason: str, those: Callable[[Any], bool]) -> None:
        for stream in self._streams:
            if those(stream):
                stream.end(reason, revoked=False)


class House:
    def __init__(self, *streams: Stream, **annotations: str) -> None:
        said = {f"bastion.dev/{name.replace('_', '-')}": value for name, value in annotations.items()}
        self.catalog: Catalog = catalog_of(
            services=[service("web", {"port": 80}, annotations=said)], pods=[pod("web-0", ADDRESS)]
        )
        self.say(ready=True)
        self.later: list[tuple[float, Callable[[Ending], None], Ending]] = []
        drains = Drains(self.catalog, Open(*streams), 30.0, lambda *what: self.later.append(what))  # type: ignore[arg-type]
        self.catalog.listeners.endpoint_ends.append(drains.begin)

    def say(self, *, ready: bool) -> None:
        conditions = {"ready": ready, "serving": True, "terminating": not ready}
        one = {
            "addresses": [ADDRESS],
            "conditions": conditions,
            "targetRef": {"kind": "Pod", "name": "web-0"},
        }
        put(self.catalog, "endpointslices", endpoints("web", {None: 80}, one))

    def pass_time(self) -> None:
        for _, end, ending in self.later:
            end(ending)


def test_a_stream_of_the_service_ends_and_others_go_on() -> None:
    here = Endpoint(ADDRESS, 80)
    own, of_the_pod = Stream(route_to(here)), Stream(route_to(here, resource="pods"))
    passed_on = Stream(object())
    h = House(own, of_the_pod, passed_on)
    h.say(ready=False)
    assert own.ended == ""
    h.pass_time()
    assert (own.ended, of_the_pod.ended, passed_on.ended) == (DRAINED, "", "")


@pytest.mark.parametrize(("said", "seconds"), [({}, 30.0), ({"drain_timeout": "3s"}, 3.0)])
def test_how_long_it_has(said: dict[str, str], seconds: float) -> None:
    h = House(Stream(route_to()), **said)
    h.say(ready=False)
    h.say(ready=False)
    assert [wait for wait, _, _ in h.later] == [seconds]


def test_one_that_serves_again_keeps_its_streams_and_where_there_are_none_nothing_is_done() -> None:
    stream = Stream(route_to(Endpoint(ADDRESS, 80)))
    h = House(stream)
    h.say(ready=False)
    h.say(ready=True)
    h.pass_time()
    assert stream.ended == ""
    h = House()
    h.say(ready=False)
    assert h.later == []
