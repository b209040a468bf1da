"""Is just what we read of an object read, and equal objects equal?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from bastion.kube.compaction import compact
from bastion.kube.objects import (
    PATHS,
    STRUCTS,
    ContainerPort,
    EndpointSlice,
    Node,
    Pod,
    Service,
    path_of,
)
from tests import fakes


def read(struct: Any, raw: Any) -> Any:
    return msgspec.json.decode(json.dumps(raw), type=struct)


def test_every_resource_that_is_watched_has_a_path_and_a_struct() -> None:
    assert PATHS.keys() == STRUCTS.keys() == {"pods", "services", "endpointslices", "nodes"}


ADDRESSES = [
    ({"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]}, ("10.0.0.1", "fd00::1")),
    # the first family wins
    ({"podIP": "10.0.0.1", "podIPs": [{"ip": "fd00::1"}, {"ip": "10.0.0.1"}]}, ("fd00::1", "10.0.0.1")),
    ({"podIP": "10.0.0.1"}, ("10.0.0.1",)),
    ({"podIP": "10.0.0.1", "podIPs": []}, ("10.0.0.1",)),
    ({"podIPs": [{}, {"ip": ""}]}, ()),
    ({"podIPs": None}, ()),
    ({}, ()),
]


@pytest.mark.parametrize(("status", "addresses"), ADDRESSES)
def test_the_addresses_of_a_pod(status: Any, addresses: Any) -> None:
    assert read(Pod, {"metadata": {"name": "p"}, "status": status}).addresses == addresses


def test_ports_come_in_the_order_of_the_containers() -> None:
    pod = read(Pod, fakes.pod("p", containers=[[], [("web", 80), 81], [90]]))
    assert pod.ports == (ContainerPort(80, "web"), ContainerPort(81), ContainerPort(90))


def test_init_and_ephemeral_containers_have_no_ports_of_the_pod() -> None:
    spec = {
        "initContainers": [{"ports": [{"containerPort": 1}]}],
        "ephemeralContainers": [{"ports": [{"containerPort": 2}]}],
    }
    assert read(Pod, {"metadata": {}, "spec": spec}).ports == ()


def test_ports_of_sidecars_come_after_those_of_containers() -> None:
    init = [
        {"ports": [{"containerPort": 1}]},
        {"restartPolicy": "Always", "ports": [{"name": "gateway", "containerPort": 2}]},
    ]
    raw = {
        "metadata": {},
        "spec": {"initContainers": init, "containers": [{"ports": [{"containerPort": 3}]}]},
    }
    for pod in (read(Pod, raw), compact(read(Pod, raw))):
        assert pod.ports == (ContainerPort(3), ContainerPort(2, "gateway"))
        assert pod.default_port == ContainerPort(3)
    assert read(Pod, {"metadata": {}, "spec": {"initContainers": init}}).default_port is None
    assert [len(pod.spec.init_containers) for pod in (read(Pod, raw), compact(read(Pod, raw)))] == [2, 1], (
        "the rest is not kept"
    )


@pytest.mark.parametrize(
    ("phase", "terminal"),
    [
        ("Succeeded", True),
        ("Failed", True),
        ("Running", False),
        ("Pending", False),
        ("Unknown", False),
        ("", False),
    ],
)
def test_a_pod_that_has_ended_is_terminal(phase: Any, terminal: Any) -> None:
    assert read(Pod, fakes.pod("p", phase=phase)).terminal is terminal


@pytest.mark.parametrize(
    ("conditions", "ready"),
    [({"ready": True}, True), ({"ready": False}, False), ({}, True), ({"ready": None}, True)],
)
def test_an_endpoint_of_unknown_readiness_is_ready(conditions: Any, ready: Any) -> None:
    piece = read(
        EndpointSlice, {"metadata": {}, "endpoints": [{"addresses": ["10.0.0.1"], "conditions": conditions}]}
    )
    assert piece.endpoints[0].ready is ready


@pytest.mark.parametrize(
    ("labels", "service"),
    [({"kubernetes.io/service-name": "web"}, "web"), ({"app": "web"}, ""), ({}, ""), (None, "")],
)
def test_a_slice_names_its_service_by_label(labels: Any, service: Any) -> None:
    assert read(EndpointSlice, {"metadata": {"labels": labels}}).service == service


def test_a_service_is_a_cluster_ip_over_tcp_where_it_does_not_say() -> None:
    service = read(Service, {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}})
    (port,) = service.spec.ports
    assert (service.spec.type, port.protocol, port.app_protocol, port.name) == ("ClusterIP", "TCP", None, "")


def test_app_protocol_and_kubelet_port_are_read_under_their_wire_names() -> None:
    service = read(Service, fakes.service("s", {"port": 1, "appProtocol": "https"}))
    assert service.spec.ports[0].app_protocol == "https"
    assert (
        read(Node, fakes.node("n", kubelet_port=5000)).status.daemon_endpoints.kubelet_endpoint.port == 5000
    )


@pytest.mark.parametrize("struct", STRUCTS.values(), ids=STRUCTS)
def test_an_object_with_nothing_but_a_name_is_read(struct: Any) -> None:
    object = read(struct, {"metadata": {"name": "x", "managedFields": [{}], "unknown": 1}, "unknown": [1]})
    assert object.metadata.name == "x"


@pytest.mark.parametrize("struct", STRUCTS.values(), ids=STRUCTS)
def test_an_update_of_what_nobody_reads_is_no_change(struct: Any) -> None:
    before, after = (
        {"metadata": {"name": "x", "resourceVersion": v, "annotations": {"a": v}}} for v in ("1", "2")
    )
    assert compact(read(struct, before)) == compact(read(struct, after))
    assert compact(read(struct, before)) != compact(read(struct, {"metadata": {"name": "y"}}))


@pytest.mark.parametrize("struct", STRUCTS.values(), ids=STRUCTS)
def test_an_object_cannot_be_changed_under_the_indexes(struct: Any) -> None:
    object = read(struct, {"metadata": {"name": "x"}})
    with pytest.raises(AttributeError):
        object.metadata.name = "y"
    with pytest.raises(AttributeError):
        object.metadata = None


# --- what is said fifty thousand times is kept once

COMPACTED = [
    (Pod, fakes.pod("p", "10.0.0.1", containers=[[("web", 80)], []])),
    (Pod, fakes.pod("p", "10.0.0.1", "fd00::1")),
    (Pod, fakes.pod("p")),
    (Pod, {"metadata": {}}),
    (Service, fakes.service("s", {"name": "web", "port": 80})),
    (Service, {"metadata": {}}),
    (
        EndpointSlice,
        fakes.endpoints(
            "s",
            {"web": 80, None: 81},
            fakes.backed_by("p", "10.0.0.1"),
            fakes.backed_by("q", "10.0.0.2", ready=None),
        ),
    ),
    (EndpointSlice, {"metadata": {}, "endpoints": [{"addresses": ["10.0.0.1"]}]}),
    (Node, fakes.node("n", ("InternalIP", "10.0.0.9"))),
]


@pytest.mark.parametrize(("struct", "raw"), COMPACTED)
def test_a_compact_object_says_the_same(struct: Any, raw: Any) -> None:
    plain, compacted = read(struct, raw), compact(read(struct, raw))
    assert compacted.metadata.name == plain.metadata.name
    if struct is Pod:
        assert (compacted.addresses, compacted.ports, compacted.terminal) == (
            plain.addresses,
            plain.ports,
            plain.terminal,
        )
        assert compacted.spec == plain.spec
    elif struct is EndpointSlice:
        assert (compacted.service, compacted.endpoints, compacted.ports) == (
            plain.service,
            plain.endpoints,
            plain.ports,
        )
    else:
        assert compacted == plain


def test_what_many_say_is_one_string() -> None:
    one, other = (
        compact(read(Pod, fakes.pod(name, "10.0.0.1", namespace="a-namespace", phase="Running")))
        for name in "ab"
    )
    assert one.metadata.namespace is other.metadata.namespace
    assert one.status.phase is other.status.phase


PLACES = [
    (("pods",), "/api/v1/pods"),
    (("pods", "ns"), "/api/v1/namespaces/ns/pods"),
    (("pods", "ns", "p"), "/api/v1/namespaces/ns/pods/p"),
    (("endpointslices", "ns"), "/apis/discovery.k8s.io/v1/namespaces/ns/endpointslices"),
    (("nodes", "", "n"), "/api/v1/nodes/n"),
]


@pytest.mark.parametrize(("asked", "path"), PLACES)
def test_the_path_of_a_list_and_of_an_object(asked: Any, path: Any) -> None:
    assert path_of(*asked) == path
