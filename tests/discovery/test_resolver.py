"""Where does an id lead?  kube-apiserver's own tables, and the bastion's rules where they differ: whose
address it is, names, schemes.
"""

from __future__ import annotations

import random
from typing import Any

import pytest
from msgspec.structs import replace

from bastion.discovery.apiserver import api_server_sockets
from bastion.discovery.backing import AT_ONCE, MOST_LISTED, Unfinished
from bastion.discovery.catalog import Catalog
from bastion.discovery.index import MOST_REMEMBERED
from bastion.discovery.lacking import MOST_SLICES
from bastion.discovery.resolution import UnknownTarget
from bastion.discovery.resolver import Resolver
from bastion.kube.endpoint import EITHER, KUBELET, UNVERIFIED, TLSProfile
from bastion.kube.status import StatusError
from bastion.kube.target import parse_target
from bastion.network.addresses import DialPolicy
from bastion.settings.kinds import network
from tests.fakes import backed_by, catalog_of, endpoints, node, pod, put, refused, remove, service
from tests.present import present

OVER_TLS = replace(UNVERIFIED, alpn=EITHER)
V4, V6 = "1.2.3.4", "fd00:10:244:0:2::6b"


def resolve(
    catalog: Any, resource: Any, id: Any, *, nodes: bool = True, policy: Any = None, namespace: str = "ns"
) -> Any:
    resolver = Resolver(catalog, policy or DialPolicy(), nodes=nodes)
    return resolver.resolve(parse_target(resource, "" if resource == "nodes" else namespace, id))


def leads_to(catalog: Any, resource: Any, id: Any, **options: Any) -> Any:
    """The endpoints as `scheme://address:port`, in order of the slices."""
    return [
        f"{'https' if e.tls else 'http'}://{e}" for e in resolve(catalog, resource, id, **options).endpoints
    ]


# --- pods

PODS = [
    # containers, addresses, id, endpoint
    pytest.param([], [V4], "foo", "http://1.2.3.4:80", id="C-PL-1"),
    pytest.param([], [V4], "foo:12345", "http://1.2.3.4:12345", id="C-PL-2"),
    pytest.param([[]], [V4], "foo", "http://1.2.3.4:80", id="C-PL-3"),
    pytest.param([[]], [V6], "foo", "http://[fd00:10:244:0:2::6b]:80", id="C-PL-4"),
    pytest.param([[9376]], [V4], "foo", "http://1.2.3.4:9376", id="C-PL-5"),
    pytest.param([[9376]], [V4], "foo:12345", "http://1.2.3.4:12345", id="C-PL-6"),
    pytest.param([[], [9376]], [V4], "foo", "http://1.2.3.4:9376", id="C-PL-7"),
    pytest.param([[9376], [1234]], [V4], "foo", "http://1.2.3.4:9376", id="C-PL-8"),
    pytest.param([[9376], [1234]], [V4, V6], "foo", "http://1.2.3.4:9376", id="C-PL-9"),
    pytest.param([[9376], [1234]], [V6, V4], "foo", "http://[fd00:10:244:0:2::6b]:9376", id="C-PL-10"),
    pytest.param([], ["10.0.0.1"], "foo", "http://10.0.0.1:80", id="C-PL-15-rfc1918"),
    pytest.param([], ["100.64.0.1"], "foo", "http://100.64.0.1:80", id="C-PL-15-cgnat"),
    pytest.param([], ["fd00::1"], "foo", "http://[fd00::1]:80", id="C-PL-15-ula"),
    pytest.param([], [V4], "https:foo:", "https://1.2.3.4:443", id="https-without-port"),
    pytest.param([[9376]], [V4], "https:foo:", "https://1.2.3.4:9376", id="https"),
    pytest.param([[9376]], [V4], "http:foo:443", "http://1.2.3.4:443", id="the-id-says-the-scheme"),
    pytest.param([[9376]], [V4], ":foo:", "http://1.2.3.4:9376", id="empty-scheme-and-port"),
    # ports by name (kube-apiserver drops the connection)
    pytest.param([[80, ("admin", 9000)]], [V4], "foo:admin", "http://1.2.3.4:9000", id="named"),
    pytest.param(
        [[80], [("admin", 9000)]], [V4], "foo:admin", "http://1.2.3.4:9000", id="named-in-another-container"
    ),
    pytest.param([[("a", 1), ("a", 2)]], [V4], "foo:a", "http://1.2.3.4:1", id="the-first-of-a-name"),
    # the scheme: the container port's name, its number
    pytest.param([[("https", 9376)]], [V4], "foo", "https://1.2.3.4:9376", id="name-https"),
    pytest.param(
        [[("https-admin", 9376)]], [V4], "foo:9376", "https://1.2.3.4:9376", id="name-https-by-number"
    ),
    pytest.param([[("http", 443)]], [V4], "foo", "http://1.2.3.4:443", id="name-http-beats-the-number"),
    pytest.param([[("web", 443)]], [V4], "foo", "https://1.2.3.4:443", id="number-443"),
    pytest.param(
        [[("https", 9376)]], [V4], "http:foo:https", "http://1.2.3.4:9376", id="the-id-beats-the-name"
    ),
    pytest.param([], [V4], "foo:443", "https://1.2.3.4:443", id="undeclared-443"),
    pytest.param([], [V4], "foo:8443", "https://1.2.3.4:8443", id="undeclared-8443"),
    pytest.param([], [V4], "foo:4443", "http://1.2.3.4:4443", id="another-number"),
    pytest.param([], [V4], "foo:00080", "http://1.2.3.4:80", id="leading-zeros"),
]


@pytest.mark.parametrize(("containers", "ips", "id", "endpoint"), PODS)
def test_a_pod_leads_to_its_first_address(containers: Any, ips: Any, id: Any, endpoint: Any) -> None:
    catalog = catalog_of(pods=[pod("foo", *ips, containers=containers)])
    assert leads_to(catalog, "pods", id) == [endpoint]


REFUSED_PODS = [
    pytest.param(pod("foo", "127.0.0.1"), id="C-PL-11-loopback"),
    pytest.param(pod("foo", "169.254.169.254"), id="C-PL-12-metadata"),
    pytest.param(pod("foo", "::1"), id="C-PL-13-v6-loopback"),
    pytest.param(pod("foo", "fe80::1"), id="C-PL-13-link-local"),
    pytest.param(pod("foo", "0.0.0.0"), id="C-PL-13-unspecified"),
    pytest.param(pod("foo", "224.0.0.1"), id="C-PL-13-multicast"),
    pytest.param(pod("foo", "255.255.255.255"), id="C-PL-13-broadcast"),
    pytest.param(pod("foo", "::ffff:127.0.0.1"), id="mapped-loopback"),
    pytest.param(pod("foo", "example.com"), id="no-address-at-all"),
    pytest.param(pod("foo"), id="C-PL-14-none"),
    pytest.param(pod("foo", V4, phase="Succeeded"), id="succeeded"),
    pytest.param(pod("foo", V4, phase="Failed"), id="failed"),
]


@pytest.mark.parametrize("raw", REFUSED_PODS)
def test_a_pod_whose_address_may_not_be_dialled_is_refused(raw: Any) -> None:
    with refused(400, "address not allowed"):
        resolve(catalog_of(pods=[raw]), "pods", "foo")
    assert leads_to(catalog_of(pods=[pod("foo", V4)]), "pods", "foo") == ["http://1.2.3.4:80"]


def test_a_network_may_be_allowed() -> None:
    policy = DialPolicy([network("127.0.0.0/8")])
    assert leads_to(catalog_of(pods=[pod("foo", "127.0.0.1")]), "pods", "foo", policy=policy) == [
        "http://127.0.0.1:80"
    ]


@pytest.mark.parametrize(
    "id",
    [
        "foo:99999",
        "foo:0",
        "foo:65536",
        "foo:000080",
        "foo:nope",
        "foo:+80",
        "foo:-1",
        "foo: 80",
        "foo:８０",
        "foo:8_0",
    ],
)
def test_a_port_that_a_pod_cannot_have_is_refused(id: Any) -> None:
    with refused(400, "invalid pod request"):
        resolve(catalog_of(pods=[pod("foo", V4, containers=[[80]])]), "pods", id)


@pytest.mark.parametrize(
    ("resource", "id"), [("pods", "x"), ("pods", "https:x:443"), ("services", "x:80"), ("nodes", "x")]
)
def test_what_is_not_there_is_not_found_by_its_bare_name(resource: Any, id: Any) -> None:
    catalog = catalog_of(
        pods=[pod("x", V4, namespace="other")], services=[service("x", {"port": 80}, namespace="other")]
    )
    with refused(404, f'{resource} "x" not found'):  # C-PL-16
        resolve(catalog, resource, id)


# --- whose address is it?

NEWER = "2026-02-02T00:00:00Z"


def test_an_address_that_a_newer_pod_has_taken_over_leads_to_the_newer_alone() -> None:
    catalog = catalog_of(pods=[pod("old", V4), pod("new", V4, namespace="other", created=NEWER)])
    with refused(400, "address not allowed"):
        resolve(catalog, "pods", "old")
    assert leads_to(catalog, "pods", "new", namespace="other") == ["http://1.2.3.4:80"]


def test_a_newer_pod_that_has_ended_takes_nothing_over() -> None:
    catalog = catalog_of(pods=[pod("old", V4), pod("new", V4, created=NEWER, phase="Failed")])
    assert leads_to(catalog, "pods", "old") == ["http://1.2.3.4:80"]


def test_pods_of_the_host_network_share_the_nodes_address() -> None:
    catalog = catalog_of(
        pods=[pod("a", V4, host_network=True), pod("b", V4, host_network=True, created=NEWER)]
    )
    assert leads_to(catalog, "pods", "a") == leads_to(catalog, "pods", "b") == ["http://1.2.3.4:80"]


def test_a_pod_of_the_host_network_does_not_own_what_a_pod_has() -> None:
    catalog = catalog_of(pods=[pod("host", V4, host_network=True, created=NEWER), pod("own", V4)])
    with refused(400, "address not allowed"):
        resolve(catalog, "pods", "host")
    assert leads_to(catalog, "pods", "own") == ["http://1.2.3.4:80"]


# --- services

P, Q = {"name": "p", "port": 93}, {"name": "q", "port": 76}
REGISTRY = {
    "pods": [
        pod("unnamed", "1.2.3.4", "1.2.3.5"),
        pod("named", "1.2.3.6", "1.2.3.7"),
        pod("no-endpoints", "9.9.9.9"),
    ],
    "services": [
        service("unnamed", {"port": 93}),
        service("unnamed2", {"port": 93}),
        service("named", P, Q),
        service("no-endpoints", {"port": 93}),
        service("no-slices", {"port": 93}),
        service("one-named", P),
    ],
    "endpointslices": [
        endpoints("unnamed", {"": 80}, backed_by("unnamed", "1.2.3.4")),
        endpoints("unnamed2", {None: 80}, backed_by("unnamed", "1.2.3.5")),
        endpoints("named", {"p": 80, "q": 81}, backed_by("named", "1.2.3.6")),
        endpoints("no-endpoints", {"": 80}),
        endpoints("one-named", {"p": 80}, backed_by("named", "1.2.3.6")),
    ],
}

SERVICES = [
    pytest.param("unnamed", "http://1.2.3.4:80", id="C-SL-1"),
    pytest.param("unnamed:", "http://1.2.3.4:80", id="C-SL-2"),
    pytest.param("unnamed:93", "http://1.2.3.4:80", id="C-SL-3"),
    pytest.param("http:unnamed:", "http://1.2.3.4:80", id="C-SL-4"),
    pytest.param("http:unnamed:93", "http://1.2.3.4:80", id="C-SL-5"),
    pytest.param("unnamed2", "http://1.2.3.5:80", id="C-SL-7-nil-port-name"),
    pytest.param("named:p", "http://1.2.3.6:80", id="C-SL-8"),
    pytest.param("named:q", "http://1.2.3.6:81", id="C-SL-9"),
    pytest.param("named:93", "http://1.2.3.6:80", id="C-SL-10"),
    pytest.param("named:76", "http://1.2.3.6:81", id="C-SL-11"),
    pytest.param("http:named:p", "http://1.2.3.6:80", id="C-SL-12"),
    pytest.param("http:named:q", "http://1.2.3.6:81", id="C-SL-13"),
    pytest.param("https:named:76", "https://1.2.3.6:81", id="https"),
    pytest.param("unnamed:0093", "http://1.2.3.4:80", id="zeros"),
    pytest.param("unnamed:+93", "http://1.2.3.4:80", id="plus"),
    pytest.param("one-named", "http://1.2.3.6:80", id="one-port-needs-no-name"),
    pytest.param("https:one-named:", "https://1.2.3.6:80", id="one-port-needs-no-name-https"),
]


@pytest.mark.parametrize(("id", "endpoint"), SERVICES)
def test_a_service_leads_to_its_pods(id: Any, endpoint: Any) -> None:
    assert leads_to(catalog_of(**REGISTRY), "services", id) == [endpoint]


NO_SERVICES = [
    pytest.param("unnamed:80", 503, 'no service port 80 found for service "unnamed"', id="C-SL-6"),
    pytest.param("named:bad", 503, 'no endpoints available for service "named:bad"', id="C-SL-14"),
    pytest.param("no-endpoints", 503, 'no endpoints available for service "no-endpoints"', id="C-SL-15"),
    pytest.param(
        "https:no-endpoints:93",
        503,
        'no endpoints available for service "no-endpoints"',
        id="the-bare-name",
    ),
    pytest.param("https:no-slices:93", 503, 'no endpoints available for service "no-slices"', id="no-slices"),
    pytest.param("non-existent", 404, 'services "non-existent" not found', id="C-SL-16"),
    pytest.param("named", 503, 'no endpoints available for service "named"', id="two-ports-need-a-name"),
    pytest.param("named:81", 503, 'no service port 81 found for service "named"', id="not-the-targets-port"),
    pytest.param("unnamed:-1", 503, 'no service port -1 found for service "unnamed"', id="negative"),
    pytest.param("unnamed:0x5d", 503, 'no endpoints available for service "unnamed:0x5d"', id="no-hex"),
    pytest.param("unnamed:9_3", 503, "no endpoints", id="underscore"),
    pytest.param("unnamed: 93", 503, "no endpoints", id="blank"),
    pytest.param("unnamed:９３", 503, "no endpoints", id="digits-of-others"),
    pytest.param(
        "unnamed:9223372036854775807",
        503,
        "no service port 9223372036854775807",
        id="the-most-of-64-bits",
    ),
    pytest.param("unnamed:9223372036854775808", 503, "no endpoints", id="beyond-64-bits"),
    pytest.param(
        "unnamed:-9223372036854775808",
        503,
        "no service port -9223372036854775808",
        id="the-least-of-64-bits",
    ),
    pytest.param("unnamed:-9223372036854775809", 503, "no endpoints", id="below-64-bits"),
    pytest.param("named:P", 503, "no endpoints", id="names-have-case"),
]


@pytest.mark.parametrize(("id", "code", "message"), NO_SERVICES)
def test_a_service_that_leads_nowhere_says_why(id: Any, code: Any, message: Any) -> None:
    with refused(code, message):
        resolve(catalog_of(**REGISTRY), "services", id)


def test_a_port_without_a_name_serves_who_asks_for_none_among_many() -> None:
    catalog = catalog_of(
        pods=[pod("a", V4)],
        services=[service("s", P, {"port": 80})],
        endpointslices=[endpoints("s", {"p": 1, None: 2}, backed_by("a", V4))],
    )
    assert leads_to(catalog, "services", "s") == ["http://1.2.3.4:2"]


def one_service(
    *slice_endpoints: Any, pods: Any = (), port: Any = None, slice_ports: Any = None, **more: Any
) -> Any:
    """A service `s` with these endpoints."""
    return catalog_of(
        pods=pods or [pod("a", V4)],
        services=[service("s", port or {"port": 80}, **more)],
        endpointslices=[
            endpoints("s", slice_ports or {(port or {}).get("name", ""): 8080}, *slice_endpoints)
        ],
    )


OWNED = [
    # what stands in the slice, the pods, how many endpoints are left
    pytest.param(backed_by("a", V4), [pod("a", V4)], 1, id="its-own"),
    pytest.param(backed_by("a", V4, ready=None), [pod("a", V4)], 1, id="unknown-readiness-is-ready"),
    pytest.param(backed_by("a", V4, ready=False), [pod("a", V4)], 0, id="not-ready"),
    pytest.param({"addresses": [V4]}, [pod("a", V4)], 0, id="no-target"),
    pytest.param(backed_by("a", V4, namespace="other"), [pod("a", V4)], 0, id="target-in-another-namespace"),
    pytest.param(
        backed_by("a", V4, namespace="other"),
        [pod("a", V4, namespace="other")],
        0,
        id="CVE-2021-25740-that-pod-is-another-namespaces",
    ),
    pytest.param(backed_by("a", V4), [pod("a", V4, namespace="other")], 0, id="a-pod-of-that-name-elsewhere"),
    pytest.param(backed_by("a", V4, kind="Node"), [pod("a", V4)], 0, id="no-pod"),
    pytest.param(backed_by("gone", V4), [pod("a", V4)], 0, id="no-such-pod"),
    pytest.param(backed_by("a", "9.9.9.9"), [pod("a", V4)], 0, id="not-the-pods-address"),
    pytest.param(backed_by("a", V4, "9.9.9.9"), [pod("a", V4)], 1, id="one-of-two-addresses"),
    pytest.param(backed_by("a", V4), [pod("a", V4, phase="Succeeded")], 0, id="ended"),
    pytest.param(
        backed_by("a", V4), [pod("a", V4), pod("b", V4, namespace="other", created=NEWER)], 0, id="taken-over"
    ),
    pytest.param(
        backed_by("a", V4),
        [pod("a", V4), pod("b", V4, created=NEWER, phase="Failed")],
        1,
        id="not-taken-over",
    ),
    pytest.param(
        backed_by("a", V4),
        [pod("a", V4, host_network=True), pod("b", V4, host_network=True, created=NEWER)],
        1,
        id="shared",
    ),
    pytest.param(backed_by("a", V6), [pod("a", V4, V6)], 1, id="second-family"),
    pytest.param(backed_by("a", "127.0.0.1"), [pod("a", "127.0.0.1")], 0, id="loopback"),
    pytest.param(backed_by("a", "169.254.169.254"), [pod("a", "169.254.169.254")], 0, id="metadata"),
    pytest.param(
        backed_by("a", "example.com"), [pod("a", "example.com")], 0, id="FQDN-slices-are-not-resolved"
    ),
]


@pytest.mark.parametrize(("endpoint", "pods", "count"), OWNED)
def test_an_endpoint_counts_only_where_its_pod_owns_the_address(endpoint: Any, pods: Any, count: Any) -> None:
    catalog = one_service(endpoint, pods=pods)
    if count:
        assert len(leads_to(catalog, "services", "s")) == count
    else:
        with refused(503, 'no endpoints available for service "s"'):
            resolve(catalog, "services", "s")


def test_endpoints_that_are_no_good_are_told_by_the_whole_id() -> None:
    with refused(503, 'no endpoints available for service "https:s:80"'):
        resolve(one_service(backed_by("gone", V4)), "services", "https:s:80")


def test_endpoints_of_several_slices_come_together_and_once() -> None:
    catalog = catalog_of(
        pods=[pod("a", V4), pod("b", "1.2.3.5")],
        services=[service("s", {"port": 80})],
        endpointslices=[
            endpoints("s", {"": 8080}, backed_by("a", V4), name="1"),
            endpoints("s", {"": 8081}, backed_by("b", "1.2.3.5"), backed_by("a", V4), name="2"),
            endpoints("s", {"": 8080}, backed_by("a", V4), name="3"),
            endpoints("s", {"other": 9}, backed_by("a", V4), name="4"),
            endpoints("s", {"": None}, backed_by("a", V4), name="5"),
            endpoints("s", {}, backed_by("a", V4), name="6"),
        ],
    )
    assert sorted(leads_to(catalog, "services", "s")) == [
        "http://1.2.3.4:8080",
        "http://1.2.3.4:8081",
        "http://1.2.3.5:8081",
    ]


def test_a_slice_of_another_namespace_is_another_services() -> None:
    catalog = catalog_of(
        pods=[pod("a", V4)],
        services=[service("s", {"port": 80})],
        endpointslices=[endpoints("s", {"": 80}, backed_by("a", V4), namespace="other")],
    )
    with refused(503):
        resolve(catalog, "services", "s")


SCHEMES = [
    # the service port, the id, is it TLS?
    pytest.param({"port": 80, "appProtocol": "https"}, "s", True, id="appProtocol-https"),
    pytest.param({"port": 80, "appProtocol": "HTTPS"}, "s", True, id="appProtocol-case"),
    pytest.param({"port": 80, "appProtocol": "kubernetes.io/wss"}, "s", True, id="appProtocol-wss"),
    pytest.param({"port": 443, "appProtocol": "http"}, "s", False, id="appProtocol-beats-the-number"),
    pytest.param({"port": 443, "appProtocol": "kubernetes.io/ws"}, "s", False, id="appProtocol-ws"),
    pytest.param({"port": 443, "appProtocol": "kubernetes.io/h2c"}, "s", False, id="appProtocol-h2c"),
    pytest.param(
        {"name": "http", "port": 80, "appProtocol": "https"}, "s", True, id="appProtocol-beats-the-name"
    ),
    pytest.param({"port": 443, "appProtocol": "example.com/own"}, "s", True, id="appProtocol-unknown"),
    pytest.param({"name": "https", "port": 80}, "s", True, id="name-https"),
    pytest.param({"name": "https-web", "port": 80}, "s", True, id="name-https-prefix"),
    pytest.param({"name": "http", "port": 443}, "s", False, id="name-http-beats-the-number"),
    pytest.param({"name": "http2", "port": 8443}, "s", False, id="name-http-prefix"),
    pytest.param({"name": "web", "port": 443}, "s", True, id="number-443"),
    pytest.param({"name": "web", "port": 8443}, "s", True, id="number-8443"),
    pytest.param({"name": "web", "port": 80}, "s", False, id="nothing-says-so"),
    pytest.param(
        {"name": "https", "port": 443, "appProtocol": "https"}, "http:s:443", False, id="the-id-says-http"
    ),
    pytest.param(
        {"name": "http", "port": 80, "appProtocol": "http"}, "https:s:http", True, id="the-id-says-https"
    ),
    pytest.param({"name": "https", "port": 80}, ":s:", True, id="an-empty-scheme-says-nothing"),
]


@pytest.mark.parametrize(("port", "id", "tls"), SCHEMES)
def test_the_scheme_is_what_is_said_first(port: Any, id: Any, tls: Any) -> None:
    catalog = one_service(backed_by("a", V4), port=port)
    (endpoint,) = resolve(catalog, "services", id).endpoints
    assert (endpoint.address, endpoint.port, endpoint.tls) == (V4, 8080, OVER_TLS if tls else None)


def test_an_external_name_is_not_followed() -> None:
    catalog = one_service(backed_by("a", V4), type="ExternalName")
    for id in ("s", "s:80", "s:x"):
        with refused(503, f'no endpoints available for service "{id}"'):
            resolve(catalog, "services", id)
    assert leads_to(one_service(backed_by("a", V4), type="NodePort"), "services", "s") == [
        "http://1.2.3.4:8080"
    ]


def test_ids_of_one_port_take_turns_together() -> None:
    catalog = catalog_of(**REGISTRY)
    keys = {
        id: resolve(catalog, "services", id).key for id in ("named:p", "named:93", "http:named:p", "named:q")
    }
    assert keys["named:p"] == keys["named:93"] == keys["http:named:p"] != keys["named:q"]


# --- nothing that was worked out outlives what it came from

AFTER = [
    pytest.param(lambda c: remove(c, "services", "s"), 404, id="service-deleted"),
    pytest.param(
        lambda c: put(c, "services", service("s", {"port": 81})),
        "http://1.2.3.4:8080",
        id="service-port-changed",
    ),
    pytest.param(
        lambda c: put(
            c, "services", service("s", {"port": 80}, {"port": 90, "name": "x"}, type="ExternalName")
        ),
        503,
        id="type-changed",
    ),
    pytest.param(
        lambda c: put(c, "services", service("s", {"port": 80, "appProtocol": "https"})),
        "https://1.2.3.4:8080",
        id="appProtocol",
    ),
    pytest.param(lambda c: remove(c, "endpointslices", "s-1"), 503, id="slice-deleted"),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("s", {"": 8081}, backed_by("a", V4))),
        "http://1.2.3.4:8081",
        id="slice-port",
    ),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("s", {"": 8080}, backed_by("a", V4, ready=False))),
        503,
        id="not-ready",
    ),
    pytest.param(
        lambda c: put(c, "endpointslices", endpoints("t", {"": 8080}, backed_by("a", V4), name="s-1")),
        503,
        id="slice-moved",
    ),
    pytest.param(lambda c: remove(c, "pods", "a"), 503, id="pod-deleted"),
    pytest.param(lambda c: put(c, "pods", pod("a", V4, phase="Failed")), 503, id="pod-ended"),
    pytest.param(lambda c: put(c, "pods", pod("a", "9.9.9.9")), 503, id="pod-moved"),
    pytest.param(
        lambda c: put(c, "pods", pod("b", V4, namespace="other", created=NEWER)), 503, id="address-taken-over"
    ),
    pytest.param(lambda c: list(c.retain("pods", set())), 503, id="pods-relisted"),
    pytest.param(lambda c: list(c.retain("endpointslices", set())), 503, id="slices-relisted"),
    pytest.param(lambda c: list(c.retain("services", set())), 404, id="services-relisted"),
]


@pytest.mark.parametrize(("change", "expected"), AFTER)
def test_the_next_request_sees_every_change(change: Any, expected: Any) -> None:
    catalog = one_service(backed_by("a", V4))
    resolver = Resolver(catalog, DialPolicy(), nodes=False)
    target = parse_target("services", "ns", "s")
    before = resolver.resolve(target)
    assert resolver.resolve(target) is before  # two look-ups, nothing worked out twice
    change(catalog)
    if isinstance(expected, int):
        with refused(expected):
            resolver.resolve(target)
    else:
        (endpoint,) = resolver.resolve(target).endpoints
        assert f"{'https' if endpoint.tls else 'http'}://{endpoint}" == expected


def test_a_pod_that_comes_after_its_slice_is_seen() -> None:
    catalog = catalog_of(
        pods=[pod("a", V4)],
        services=[service("s", {"port": 80})],
        endpointslices=[endpoints("s", {"": 80}, backed_by("a", V4), backed_by("b", "1.2.3.5"))],
    )
    assert len(leads_to(catalog, "services", "s")) == 1
    put(catalog, "pods", pod("b", "1.2.3.5"))
    assert len(leads_to(catalog, "services", "s")) == 2


def test_ids_that_differ_do_not_share_what_was_worked_out() -> None:
    catalog = catalog_of(**REGISTRY)
    for _ in range(2):
        assert leads_to(catalog, "services", "named:p") == ["http://1.2.3.6:80"]
        assert leads_to(catalog, "services", "https:named:p") == ["https://1.2.3.6:80"]
        assert leads_to(catalog, "services", "named:q") == ["http://1.2.3.6:81"]


def test_what_is_remembered_per_service_is_bounded() -> None:
    catalog = one_service(backed_by("a", V4))
    for zeros in range(1, 18):
        for sign in ("", "+"):
            for scheme in ("", "http", "https"):
                resolve(catalog, "services", f"{scheme}:s:{sign}{'0' * zeros}80")
    assert len(catalog.memos.services.get("ns", "s")) <= 64


def test_what_is_remembered_per_pod_is_bounded() -> None:
    catalog = catalog_of(pods=[pod("foo", V4)])
    for port in range(1, 100):
        assert leads_to(catalog, "pods", f"http:foo:{port}") == [f"http://1.2.3.4:{port}"]
    assert len(present(catalog.memos.pods.get("ns", "foo"))) <= 4


def test_what_is_remembered_in_all_is_bounded() -> None:
    catalog = catalog_of(
        pods=[pod(f"p{n}", f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}") for n in range(MOST_REMEMBERED + 1)]
    )
    for n in range(MOST_REMEMBERED + 1):
        resolve(catalog, "pods", f"p{n}")
    assert len(catalog.memos.pods) <= MOST_REMEMBERED


def outcome(catalog: Any, resource: Any, id: Any) -> Any:
    try:
        return sorted(leads_to(catalog, resource, id))
    except StatusError as error:
        return (error.code, error.message)


@pytest.mark.parametrize("seed", range(20))
def test_what_was_worked_out_before_is_what_would_be_worked_out_now(seed: Any) -> None:
    """After each of many changes, against a catalog that has seen nothing else."""
    chance = random.Random(seed)
    known: dict[Any, Any] = {"pods": {}, "services": {}, "endpointslices": {}}
    catalog = catalog_of()
    ids = [("pods", f"{name}{port}") for name in "abc" for port in ("", ":80", ":http")]
    ids += [("services", f"{name}{port}") for name in "st" for port in ("", ":80", ":81")]
    for _ in range(60):
        resource, raw = some_object(chance)
        name = raw["metadata"]["name"]
        if chance.random() < 0.25:
            known[resource].pop(name, None)
            remove(catalog, resource, name)
        else:
            known[resource][name] = raw
            put(catalog, resource, raw)
        fresh = catalog_of(**{kind: raws.values() for kind, raws in known.items()})
        for one in ids:
            assert outcome(catalog, *one) == outcome(fresh, *one)


def some_object(chance: Any) -> Any:
    """(resource, raw)"""
    kind, addresses = chance.choice(["pods", "services", "endpointslices"]), ("10.0.0.1", "10.0.0.2")
    if kind == "pods":
        name, ports = chance.choice("abc"), chance.choice([[], [[("http", 80)]], [[("http", 8080)]]])
        how = {
            "phase": chance.choice(["Running", "Running", "Failed"]),
            "host_network": chance.random() < 0.3,
        }
        ips = chance.sample(addresses, chance.randrange(3))
        return kind, pod(
            name, *ips, containers=ports, created=f"2026-01-0{chance.randrange(1, 4)}T00:00:00Z", **how
        )
    if kind == "services":
        return kind, service(
            chance.choice("st"),
            *({"name": str(port), "port": port} for port in chance.sample((80, 81), chance.randrange(3))),
        )
    backing = [backed_by(chance.choice("abc"), address, ready=chance.random() < 0.7) for address in addresses]
    name = chance.choice("st")
    return kind, endpoints(name, {"80": 80, "81": 8081}, *backing, name=f"{name}-{chance.randrange(2)}")


# --- nodes

NODES = [
    # addresses, kubelet port, id, address and port
    pytest.param([("InternalIP", "10.0.0.1")], 0, "node0", "10.0.0.1:10250", id="C-NL-1"),
    pytest.param([("InternalIP", "10.0.0.1")], 0, "node0:5000", "10.0.0.1:5000", id="C-NL-2"),
    pytest.param([("InternalIP", "10.0.0.1")], 5000, "node0", "10.0.0.1:5000", id="C-NL-3"),
    pytest.param(
        [("ExternalIP", "1.2.3.5"), ("ExternalIP", "1.2.3.7")],
        0,
        "node0",
        "1.2.3.5:10250",
        id="C-NL-9-the-first-of-a-type",
    ),
    pytest.param(
        [("ExternalIP", "203.0.113.10"), ("InternalIP", "192.168.1.10")],
        0,
        "node0",
        "192.168.1.10:10250",
        id="inside-first",
    ),
    pytest.param(
        [("Hostname", "node0"), ("ExternalIP", "1.2.3.5")],
        0,
        "node0",
        "1.2.3.5:10250",
        id="names-are-not-resolved",
    ),
    pytest.param(
        [("InternalIP", "bad"), ("InternalIP", "10.0.0.1")],
        0,
        "node0",
        "10.0.0.1:10250",
        id="the-first-that-is-one",
    ),
    pytest.param(
        [("Hostname", "10.0.0.9")], 0, "node0", "10.0.0.9:10250", id="a-hostname-that-is-an-address"
    ),
    pytest.param([("InternalIP", "fd00::1")], 0, "node0", "[fd00::1]:10250", id="v6"),
]


@pytest.mark.parametrize(("addresses", "kubelet", "id", "endpoint"), NODES)
def test_a_node_leads_to_an_address_of_its_own(addresses: Any, kubelet: Any, id: Any, endpoint: Any) -> None:
    resolved = resolve(catalog_of(nodes=[node("node0", *addresses, kubelet_port=kubelet)]), "nodes", id)
    assert list(map(str, resolved.endpoints)) == [endpoint]


@pytest.mark.parametrize(
    ("address", "kubelet", "id"),
    [
        ("127.0.0.1", 0, "node0"),
        ("127.0.0.1", 0, "node0:5000"),
        ("127.0.0.1", 443, "node0"),
        ("169.254.1.1", 0, "node0"),
    ],
)
def test_a_nodes_address_that_may_not_be_dialled_is_refused(address: Any, kubelet: Any, id: Any) -> None:
    with refused(400, "address not allowed"):  # C-NL-4..6
        resolve(catalog_of(nodes=[node("node0", ("InternalIP", address), kubelet_port=kubelet)]), "nodes", id)


@pytest.mark.parametrize(
    "addresses",
    [[], [("Hostname", "node0")], [("InternalDNS", "10.0.0.1")]],
    ids=["C-NL-16-none", "names", "another-type"],
)
def test_a_node_without_an_address_is_not_there_for_us(addresses: Any) -> None:
    with refused(503, "node0"):
        resolve(catalog_of(nodes=[node("node0", *addresses)]), "nodes", "node0")


IDENTITIES = [
    # id, TLS
    pytest.param("node0", KUBELET, id="no-port"),
    pytest.param("node0:10250", KUBELET, id="its-port"),
    pytest.param("http:node0:", KUBELET, id="whatever-scheme"),
    pytest.param("http:node0:10250", KUBELET, id="whatever-scheme-its-port"),
    pytest.param("node0:10255", None, id="another-port"),
    pytest.param("https:node0:10255", OVER_TLS, id="another-port-https"),
    pytest.param("node0:443", OVER_TLS, id="443"),
    pytest.param("http:node0:443", None, id="443-http"),
]


@pytest.mark.parametrize(("id", "tls"), IDENTITIES)
def test_the_kubelets_identity_is_for_its_port_alone(id: str, tls: TLSProfile | None) -> None:
    (endpoint,) = resolve(
        catalog_of(nodes=[node("node0", ("InternalIP", "10.0.0.1"))]), "nodes", id
    ).endpoints
    assert endpoint.tls == tls


@pytest.mark.parametrize(
    "id", ["node0:kubelet", "node0:0", "node0:65536", "node0:+1", "node0:010250", "node0:10_250"]
)
def test_the_port_of_a_node_is_a_number(id: Any) -> None:
    with refused(400, "invalid node request"):
        resolve(catalog_of(nodes=[node("node0", ("InternalIP", "10.0.0.1"))]), "nodes", id)


@pytest.mark.parametrize("name", ["node0", "unknown"])
def test_nodes_are_off_unless_enabled_and_then_nothing_is_told(name: Any) -> None:
    with refused(403, "--enable-node-proxy"):
        resolve(catalog_of(nodes=[node("node0", ("InternalIP", "10.0.0.1"))]), "nodes", name, nodes=False)


# --- before everything was read


@pytest.mark.parametrize("missing", ["pods", "services", "endpointslices", "nodes"])
@pytest.mark.parametrize(
    ("resource", "id"), [("pods", "unnamed"), ("services", "unnamed"), ("pods", "unknown")]
)
def test_before_the_lists_were_read_nothing_is_said_to_be_missing(
    missing: Any, resource: Any, id: Any
) -> None:
    catalog = catalog_of(**REGISTRY)
    catalog.synced[missing] = False
    with refused(503, "try again"):
        resolve(catalog, resource, id)


def test_before_a_list_that_the_bastion_may_not_have_nobody_is_told_to_come_back() -> None:
    catalog = Catalog()
    for resource in ("pods", "services"):
        catalog.expect(resource)
    resolver = Resolver(catalog, DialPolicy(), nodes=False)
    with refused(503, "try again shortly"):
        resolver.resolve(parse_target("services", "ns", "web"))
    catalog.refused.add("services")
    with refused(503, "the bastion itself may not list services at the Kubernetes API server"):
        resolver.resolve(parse_target("services", "ns", "web"))
    list(catalog.retain("services", set()))
    with refused(503, "try again shortly"):
        resolver.resolve(parse_target("services", "ns", "web"))


def test_own_sockets_are_nobodys_endpoint() -> None:
    catalog = one_service(backed_by("a", V4))
    policy = DialPolicy(own=[(V4, 8080), (V4, 80)])
    with refused(503):
        resolve(catalog, "services", "s", policy=policy)
    with refused(400, "address not allowed"):
        resolve(catalog, "pods", "a", policy=policy)
    assert leads_to(catalog, "pods", "a:81", policy=policy) == ["http://1.2.3.4:81"]


# --- a kubelet, and an API server, however they are named

NODE = "10.0.0.1"
HOST_POD = pod("exporter", NODE, containers=[[9100]], host_network=True)
KUBELETS = [
    # nodes, pods, the pod's id; is it a kubelet?
    pytest.param([node("n", ("InternalIP", NODE))], [HOST_POD], "exporter:10250", True, id="host-network"),
    pytest.param([node("n", ("InternalIP", NODE))], [HOST_POD], "https:exporter:10250", True, id="by-https"),
    pytest.param([node("n", ("InternalIP", NODE))], [HOST_POD], "exporter:9100", False, id="another-port"),
    pytest.param(
        [node("n", ("InternalIP", NODE), kubelet_port=5000)],
        [HOST_POD],
        "exporter:5000",
        True,
        id="the-port-that-it-declares",
    ),
    pytest.param(
        [node("n", ("InternalIP", NODE), kubelet_port=5000)],
        [HOST_POD],
        "exporter:10250",
        False,
        id="declared-elsewhere",
    ),
    pytest.param(
        [node("n", ("InternalIP", "10.0.0.9"), ("ExternalIP", NODE))],
        [HOST_POD],
        "exporter:10250",
        True,
        id="another-address",
    ),
    pytest.param(
        [node("n", ("InternalIP", NODE))],
        [pod("forged", NODE)],
        "forged:10250",
        True,
        id="a-pod-that-says-it-is-there",
    ),
    pytest.param(
        [node("n", ("InternalIP", NODE))],
        [pod("forged", "::ffff:10.0.0.1")],
        "forged:10250",
        True,
        id="mapped",
    ),
    pytest.param([], [HOST_POD], "exporter:10250", True, id="nodes-are-not-watched"),
    pytest.param(
        [], [HOST_POD, pod("forged", NODE)], "forged:10250", True, id="not-watched-beside-a-host-network-pod"
    ),
    pytest.param([], [pod("hook", "10.0.0.7")], "hook:10250", False, id="not-watched-a-pod-network-pod"),
    pytest.param(
        [node("n", ("InternalIP", NODE))],
        [pod("hook", "10.0.0.7")],
        "hook:10250",
        False,
        id="a-pod-network-pod",
    ),
]


@pytest.mark.parametrize(("nodes", "pods", "id", "is_kubelet"), KUBELETS)
def test_a_kubelet_is_reached_as_a_node_alone(nodes: Any, pods: Any, id: Any, is_kubelet: Any) -> None:
    catalog = catalog_of(nodes=nodes, pods=pods)
    policy = DialPolicy(is_kubelet=catalog.is_kubelet)
    name = id.removeprefix("https:").partition(":")[0]
    port = int(id.rpartition(":")[2])
    put(catalog, "services", service(name, {"port": 80}))
    put(
        catalog,
        "endpointslices",
        endpoints(name, {None: port}, backed_by(name, *catalog.pods[("ns", name)].addresses)),
    )
    for served in (True, False):  # --enable-node-proxy or not
        if is_kubelet:
            with refused(403, "is a kubelet"):
                resolve(catalog, "pods", id, policy=policy, nodes=served)
            with refused(503, "no endpoints available"):
                resolve(catalog, "services", name, policy=policy, nodes=served)
        else:
            assert resolve(catalog, "pods", id, policy=policy, nodes=served).endpoints[0].port == port
            assert resolve(catalog, "services", name, policy=policy, nodes=served).endpoints[0].port == port


def test_of_two_nodes_at_one_address_both_kubelets_are_kubelets() -> None:
    catalog = catalog_of(
        nodes=[
            node("a", ("InternalIP", NODE), kubelet_port=5000),
            node("b", ("InternalIP", NODE), kubelet_port=5001),
        ]
    )
    policy = DialPolicy(is_kubelet=catalog.is_kubelet)
    for id, tls in (("a:5000", KUBELET), ("a:5001", KUBELET), ("b:5000", KUBELET), ("a:5002", None)):
        assert resolve(catalog, "nodes", id, policy=policy).endpoints[0].tls == tls


def test_a_kubelet_is_known_as_long_as_its_node() -> None:
    catalog = catalog_of(nodes=[node("a", ("InternalIP", NODE)), node("b", ("InternalIP", NODE))])
    put(catalog, "nodes", node("a", ("InternalIP", "10.0.0.2"), kubelet_port=5000))
    assert [
        catalog.is_kubelet(*socket) for socket in ((NODE, 10250), ("10.0.0.2", 5000), ("10.0.0.2", 10250))
    ] == [True, True, False]
    remove(catalog, "nodes", "b")
    assert not catalog.is_kubelet(NODE, 10250)
    remove(catalog, "nodes", "a")
    assert not catalog.is_kubelet("10.0.0.2", 5000)
    assert not catalog._kubelets._ports


def test_the_api_servers_of_the_cluster_are_no_target() -> None:
    """Their Service and its endpoints tell; no kubeconfig names them so."""
    api = service("kubernetes", {"port": 443, "name": "https"}, namespace="default")
    api["spec"] |= {"clusterIP": "10.96.0.1", "clusterIPs": ["10.96.0.1", "fd00:96::1"]}
    slices = [
        endpoints(
            "kubernetes",
            {"https": 6443},
            {"addresses": ["10.0.0.1"]},
            {"addresses": ["10.0.0.2"]},
            namespace="default",
        )
    ]
    pods = [
        pod(f"p{i}", address)
        for i, address in enumerate(["10.0.0.1", "10.0.0.2", "10.96.0.1", "fd00:96::1", "10.0.0.3"])
    ]
    catalog = catalog_of(services=[api], endpointslices=slices, pods=pods)
    policy = DialPolicy(api_servers=lambda: api_server_sockets(catalog))
    for id in ("p0:6443", "p1:6443", "p2:443", "p3:443"):
        with refused(400, "address not allowed"):
            resolve(catalog, "pods", id, policy=policy)
    assert leads_to(catalog, "pods", "p0:8080", policy=policy) == ["http://10.0.0.1:8080"]
    assert leads_to(catalog, "pods", "p4:6443", policy=policy) == ["http://10.0.0.3:6443"]
    remove(catalog, "endpointslices", "kubernetes-1", namespace="default")
    assert leads_to(catalog, "pods", "p1:6443", policy=policy) == ["http://10.0.0.2:6443"]


@pytest.mark.parametrize("spec", [{}, {"clusterIP": "None"}, {"clusterIP": "None", "clusterIPs": ["None"]}])
def test_a_headless_service_has_no_address(spec: Any) -> None:
    api = service("kubernetes", {"port": 443}, namespace="default")
    api["spec"] |= spec
    assert list(api_server_sockets(catalog_of(services=[api]))) == []


# --- what is not known, and what is not served


@pytest.mark.parametrize(("resource", "id"), [("pods", "x:80"), ("services", "x"), ("nodes", "x")])
def test_a_name_that_is_not_known_says_so_for_who_can_find_out(resource: Any, id: Any) -> None:
    with pytest.raises(UnknownTarget) as caught:
        resolve(catalog_of(), resource, id)
    assert (caught.value.code, caught.value.reason, caught.value.target.name) == (404, "NotFound", "x")


def test_what_is_known_and_cannot_be_reached_is_not_unknown() -> None:
    catalog = catalog_of(pods=[pod("p")], services=[service("s", {"port": 80})])
    for resource, id in (("pods", "p"), ("services", "s"), ("services", "s:81")):
        with refused(400 if resource == "pods" else 503):
            resolve(catalog, resource, id)


def test_with_namespaces_the_others_are_not_served_and_nobody_need_look() -> None:
    catalog = catalog_of(
        pods=[pod("p", V4), pod("p", V6, namespace="other")], nodes=[node("n", ("InternalIP", V4))]
    )
    resolver = Resolver(catalog, DialPolicy(), nodes=True, namespaces=["ns", "more"])
    assert resolver.resolve(parse_target("pods", "ns", "p")).endpoints
    assert resolver.resolve(parse_target("nodes", "", "n")).endpoints
    with refused(404, "this bastion serves the namespaces more, ns only"):
        resolver.resolve(parse_target("pods", "other", "p"))
    with pytest.raises(Exception) as caught:
        resolver.resolve(parse_target("services", "other", "p"))
    assert not isinstance(caught.value, UnknownTarget)


# --- what one service may make anybody look at


class Counting(DialPolicy):
    """Counts the addresses it is asked about."""

    asked = 0

    def permits(self, address: Any, port: Any) -> Any:
        self.asked += 1
        return super().permits(address, port)


def large(slices: Any, each: Any, *, live: bool = True) -> Any:
    """A service of so many slices with so many endpoints each."""

    def address(n: Any) -> str:
        return f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}"

    named = [[slice * each + n for n in range(each)] for slice in range(slices)]
    return catalog_of(
        pods=[pod(f"p{n}", address(n)) for some in named for n in some] if live else [],
        services=[service("s", {"port": 80})],
        endpointslices=[
            endpoints("s", {"": 80}, *(backed_by(f"p{n}", address(n)) for n in some), name=f"s-{slice}")
            for slice, some in enumerate(named)
        ],
    )


def in_turns(resolver: Any, target: Any) -> Any:
    """(what it leads to, how many turns were not enough)"""
    unfinished = 0
    while True:
        try:
            return resolver.resolve(target), unfinished
        except Unfinished:
            unfinished += 1


def test_a_large_service_is_looked_at_in_turns() -> None:
    policy = Counting()
    resolver = Resolver(large(5, 1000), policy, nodes=False)
    target = parse_target("services", "ns", "s")
    with pytest.raises(Unfinished) as caught:
        resolver.resolve(target)
    assert policy.asked == AT_ONCE
    assert (caught.value.code, caught.value.headers) == (503, ((b"Retry-After", b"1"),))
    resolved, unfinished = in_turns(resolver, target)
    assert len(resolved.endpoints) == 5000
    assert policy.asked == 5000
    assert unfinished <= 5000 // AT_ONCE + 5
    assert resolver.resolve(target) is resolved


def test_after_a_change_only_the_slice_that_names_the_pod_is_looked_at_again() -> None:
    policy = Counting()
    catalog = large(5, 100)
    resolver = Resolver(catalog, policy, nodes=False)
    target = parse_target("services", "ns", "s")
    in_turns(resolver, target)
    before = policy.asked
    put(catalog, "pods", pod("p7", "10.0.0.7", phase="Failed"))
    resolved, _ = in_turns(resolver, target)
    assert len(resolved.endpoints) == 499
    assert policy.asked - before == 99


def test_of_a_service_that_nobody_backs_a_bounded_part_is_looked_at_again() -> None:
    """Each refusal tells what is so now, and costs the same however much a service lists."""
    catalog = large(MOST_SLICES + 50, 1, live=False)
    resolver = Resolver(catalog, DialPolicy(), nodes=False)
    target = parse_target("services", "ns", "s")
    with refused(503, 'no endpoints available for service "s"'):
        in_turns(resolver, target)
    slices, seen = catalog.slices_of("ns", "s"), []

    class Watched(dict[Any, Any]):
        def values(self) -> Any:
            for piece in slices.values():
                seen.append(piece)
                yield piece

    catalog.slices_of = lambda *key: Watched(slices)
    with refused(503, 'no endpoints available for service "s"'):
        resolver.resolve(target)
    assert 0 < len(seen) <= 2 * MOST_SLICES
    del catalog.slices_of
    put(catalog, "pods", pod("p0", "10.0.0.0"))
    assert leads_to(catalog, "services", "s") == ["http://10.0.0.0:80"]


@pytest.mark.parametrize("empty", [True, False], ids=["slices-without-endpoints", "endpoints"])
def test_beyond_what_a_service_may_list_nothing_is_looked_at(empty: Any) -> None:
    full = [] if empty else [backed_by("nobody", V4)] * 1000
    count = MOST_LISTED // (2 + len(full)) + 1
    last = endpoints("s", {"": 80}, backed_by("a", V4), name="last")
    catalog = catalog_of(
        pods=[pod("a", V4)],
        services=[service("s", {"port": 80})],
        endpointslices=[*(endpoints("s", {"": 80}, *full, name=f"s-{n}") for n in range(count)), last],
    )
    beyond: list[Any] = []
    resolver = Resolver(catalog, DialPolicy(), nodes=False, on_truncated=beyond.append)
    with refused(503, f"none of the first {MOST_LISTED} in its slices is ready, and the others are ignored"):
        in_turns(resolver, parse_target("services", "ns", "s"))
    assert set(beyond) == {("ns", "s")}


def test_a_service_of_very_many_ports_names_a_few() -> None:
    catalog = catalog_of(services=[service("s", *({"port": n, "name": f"p{n}"} for n in range(1, 3000)))])
    with refused(503, "p16:16 and 2983 more"):
        resolve(catalog, "services", "s:nope")
