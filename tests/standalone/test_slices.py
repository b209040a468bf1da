"""EndpointSlices that nobody wrote: of Endpoints, or of the pods that a selector chooses."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.standalone.resources import Object
from bastion.standalone.slices import derived_slices
from tests.standalone.objects import by_key, pod, service

WEB = {"app": "web"}


def summary(*objects: Object) -> list[tuple[str, list[tuple[str, int]], list[tuple[str, str]]]]:
    """(addressType, [(port name, number)], [(address, state)]) of each slice; the state has R, S, T where it
    is so.
    """
    found = []
    for slice in derived_slices(by_key(*objects)).values():
        members = [("/".join(e["addresses"]), state(e["conditions"])) for e in slice["endpoints"]]
        found.append((slice["addressType"], [(p["name"], p["port"]) for p in slice["ports"]], members))
    return sorted(found)


def state(conditions: dict[str, bool]) -> str:
    return "".join(
        letter
        for letter, name in (("R", "ready"), ("S", "serving"), ("T", "terminating"))
        if conditions[name]
    )


def endpoints(name: str, *subsets: Object) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": name, "namespace": "default"},
        "subsets": list(subsets),
    }


def one(*members: tuple[str, str], ports: Any = (("http", 8080),), family: str = "IPv4") -> list[Any]:
    return [(family, list(ports), list(members))]


V6_POD = pod("v6", ip="fd00::1")
DUAL_POD = pod("dual", ip="10.0.0.1", ips=["10.0.0.1", "fd00::1"])
UDP = {"ports": [{"name": "dns", "port": 53, "targetPort": "http", "protocol": "UDP"}]}


def with_sidecars(pod: Object) -> Object:
    """Init containers that declare the port `http`: one that ends, two that stay."""
    init = [{"name": "ends", "ports": [{"name": "http", "containerPort": 80}]}]
    init += [
        {
            "name": f"stays-{number}",
            "restartPolicy": "Always",
            "ports": [{"name": "http", "containerPort": number}],
        }
        for number in (81, 82)
    ]
    return {**pod, "spec": {**pod["spec"], "initContainers": init}}


FROM_PODS = [
    ("ready", [service("s", selector=WEB), pod("a")], one(("10.0.0.1", "RS"))),
    ("not ready", [service("s", selector=WEB), pod("a", ready=False)], one(("10.0.0.1", ""))),
    ("being deleted", [service("s", selector=WEB), pod("a", deleted=True)], one(("10.0.0.1", "ST"))),
    (
        "published",
        [service("s", selector=WEB, publishNotReadyAddresses=True), pod("a", ready=False)],
        one(("10.0.0.1", "R")),
    ),
    (
        "published going",
        [service("s", selector=WEB, publishNotReadyAddresses=True), pod("a", deleted=True)],
        one(("10.0.0.1", "RST")),
    ),
    ("succeeded", [service("s", selector=WEB), pod("a", phase="Succeeded")], []),
    ("failed", [service("s", selector=WEB), pod("a", phase="Failed")], []),
    (
        "pending with address",
        [service("s", selector=WEB), pod("a", phase="Pending", ready=False)],
        one(("10.0.0.1", "")),
    ),
    ("no address", [service("s", selector=WEB), pod("a", ip="")], []),
    ("other label", [service("s", selector=WEB), pod("a", labels={"app": "api"})], []),
    ("all labels needed", [service("s", selector={"app": "web", "tier": "x"}), pod("a")], []),
    ("other namespace", [service("s", selector=WEB), pod("a", namespace="elsewhere")], []),
    ("no selector", [service("s"), pod("a")], []),
    ("empty selector", [service("s", selector={}), pod("a")], []),
    ("ExternalName", [service("s", selector=WEB, type="ExternalName", externalName="x.test"), pod("a")], []),
    (
        "number",
        [service("s", selector=WEB, ports=[{"port": 80, "targetPort": 9000}]), pod("a")],
        one(("10.0.0.1", "RS"), ports=[("", 9000)]),
    ),
    (
        "no target",
        [service("s", selector=WEB, ports=[{"port": 80}]), pod("a")],
        one(("10.0.0.1", "RS"), ports=[("", 80)]),
    ),
    (
        "name unknown to the pod",
        [service("s", selector=WEB), pod("a", ports=[("x", 1)])],
        one(("10.0.0.1", "RS"), ports=[]),
    ),
    (
        "port of a sidecar",
        [service("s", selector=WEB), with_sidecars(pod("a", ports=[]))],
        one(("10.0.0.1", "RS"), ports=[("http", 81)]),
    ),
    (
        "a container before a sidecar",
        [service("s", selector=WEB), with_sidecars(pod("a"))],
        one(("10.0.0.1", "RS")),
    ),
    (
        "name of another protocol",
        [service("s", selector=WEB, **UDP), pod("a")],  # type: ignore[arg-type]
        one(("10.0.0.1", "RS"), ports=[]),
    ),
    (
        "headless without ports",
        [service("s", selector=WEB, clusterIP="None", ports=[]), pod("a")],
        one(("10.0.0.1", "RS"), ports=[]),
    ),
    (
        "same port, one slice, by name of the pod",
        [service("s", selector=WEB), pod("b", ip="10.0.0.2"), pod("a")],
        one(("10.0.0.1", "RS"), ("10.0.0.2", "RS")),
    ),
    (
        "the name means different numbers",
        [service("s", selector=WEB), pod("a"), pod("b", ip="10.0.0.2", ports=[("http", 9090)])],
        [("IPv4", [("http", 8080)], [("10.0.0.1", "RS")]), ("IPv4", [("http", 9090)], [("10.0.0.2", "RS")])],
    ),
    (
        "two ports",
        [
            service(
                "s",
                selector=WEB,
                ports=[{"name": "a", "port": 1, "targetPort": "http"}, {"name": "b", "port": 2}],
            ),
            pod("a"),
        ],
        one(("10.0.0.1", "RS"), ports=[("a", 8080), ("b", 2)]),
    ),
    ("IPv6 pod", [service("s", selector=WEB), V6_POD], one(("fd00::1", "RS"), family="IPv6")),
    ("dual-stack pod, nothing said", [service("s", selector=WEB), DUAL_POD], one(("10.0.0.1", "RS"))),
    (
        "dual-stack pod, IPv6 service",
        [service("s", selector=WEB, ipFamilies=["IPv6"]), DUAL_POD],
        one(("fd00::1", "RS"), family="IPv6"),
    ),
    (
        "dual-stack pod, IPv6 clusterIP",
        [service("s", selector=WEB, clusterIP="fd01::1"), DUAL_POD],
        one(("fd00::1", "RS"), family="IPv6"),
    ),
    (
        "both families",
        [service("s", selector=WEB, ipFamilies=["IPv4", "IPv6"]), DUAL_POD],
        one(("10.0.0.1", "RS")) + one(("fd00::1", "RS"), family="IPv6"),
    ),
    ("IPv4 service, IPv6 pod", [service("s", selector=WEB, ipFamilies=["IPv4"]), V6_POD], []),
]


@pytest.mark.parametrize(
    ("objects", "expected"), [row[1:] for row in FROM_PODS], ids=[row[0] for row in FROM_PODS]
)
def test_slices_of_pods(objects: list[Object], expected: list[Any]) -> None:
    assert summary(*objects) == expected


PORTS = [{"name": "http", "port": 8080}]
FROM_ENDPOINTS = [
    ("ready", [{"addresses": [{"ip": "10.0.0.1"}], "ports": PORTS}], one(("10.0.0.1", "RS"))),
    ("not ready", [{"notReadyAddresses": [{"ip": "10.0.0.1"}], "ports": PORTS}], one(("10.0.0.1", ""))),
    (
        "both",
        [{"addresses": [{"ip": "10.0.0.1"}], "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": PORTS}],
        one(("10.0.0.1", "RS"), ("10.0.0.2", "")),
    ),
    (
        "unnamed port",
        [{"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 1}]}],
        one(("10.0.0.1", "RS"), ports=[("", 1)]),
    ),
    (
        "two subsets",
        [
            {"addresses": [{"ip": "10.0.0.1"}], "ports": PORTS},
            {"addresses": [{"ip": "10.0.0.2"}], "ports": [{"name": "x", "port": 2}]},
        ],
        [("IPv4", [("http", 8080)], [("10.0.0.1", "RS")]), ("IPv4", [("x", 2)], [("10.0.0.2", "RS")])],
    ),
    (
        "two families",
        [{"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}], "ports": PORTS}],
        one(("10.0.0.1", "RS")) + one(("fd00::1", "RS"), family="IPv6"),
    ),
    ("none", [], []),
]


@pytest.mark.parametrize(
    ("subsets", "expected"), [row[1:] for row in FROM_ENDPOINTS], ids=[row[0] for row in FROM_ENDPOINTS]
)
def test_slices_of_endpoints_win_over_the_selector(subsets: list[Object], expected: list[Any]) -> None:
    objects = [service("s", selector=WEB), pod("a", ip="10.9.9.9"), endpoints("s", *subsets)]
    assert summary(*objects) == expected


def test_a_service_with_slices_of_its_own_gets_no_others() -> None:
    own = {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {"name": "mine", "namespace": "default", "labels": {"kubernetes.io/service-name": "s"}},
        "addressType": "IPv4",
        "endpoints": [],
    }
    same_name_elsewhere = service("s", namespace="other", selector=WEB)
    objects = [own, service("s", selector=WEB), pod("a"), endpoints("s", {"addresses": [{"ip": "10.0.0.1"}]})]
    assert derived_slices(by_key(*objects)) == {}
    derived = derived_slices(by_key(*objects, same_name_elsewhere, pod("a", namespace="other")))
    assert [key[1] for key in derived] == ["other"]


def test_a_derived_slice_says_whose_it_is() -> None:
    address = {
        "ip": "10.0.0.1",
        "hostname": "h",
        "nodeName": "n",
        "targetRef": {"kind": "Pod", "name": "a", "namespace": "default"},
    }
    port = {"name": "web", "port": 1, "protocol": "UDP", "appProtocol": "h2c"}
    for objects, member_has in (
        ([service("s", selector=WEB), pod("a")], {"nodeName": "node-a", "targetRef": address["targetRef"]}),
        (
            [service("s"), endpoints("s", {"addresses": [address], "ports": [port]})],
            {k: v for k, v in address.items() if k != "ip"},
        ),
    ):
        ((key, slice),) = derived_slices(by_key(*objects)).items()
        assert key == ("endpointslices", "default", slice["metadata"]["name"])
        assert (slice["apiVersion"], slice["kind"]) == ("discovery.k8s.io/v1", "EndpointSlice")
        assert slice["metadata"]["labels"]["kubernetes.io/service-name"] == "s"
        assert member_has.items() <= slice["endpoints"][0].items()
    assert slice["ports"] == [port]


def test_a_pod_that_comes_changes_a_slice_and_replaces_none() -> None:
    before = derived_slices(by_key(service("s", selector=WEB), pod("a")))
    after = derived_slices(by_key(service("s", selector=WEB), pod("a"), pod("b", ip="10.0.0.2")))
    assert before.keys() == after.keys()
    assert before != after


def test_many_pods_are_spread_over_slices_of_a_thousand() -> None:
    pods = [pod(f"p{i}", ip=f"10.0.{i // 250}.{i % 250}") for i in range(1001)]
    derived = derived_slices(by_key(service("s", selector=WEB), *pods))
    assert sorted(len(slice["endpoints"]) for slice in derived.values()) == [1, 1000]
