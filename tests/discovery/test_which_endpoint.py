"""Which address of which pod, and which port, is HTTP spoken to?  Families, protocols, endpoints that end."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import Any

import pytest

from tests.discovery.test_resolver import leads_to, one_service, resolve
from tests.fakes import backed_by, catalog_of, endpoints, pod, refused, service

V4, V6, B4, B6 = "1.2.3.4", "fd00::4", "1.2.3.5", "fd00::5"

UDP_AND_TCP = [
    {"name": "udp", "port": 53, "protocol": "UDP"},
    {"name": "quic", "port": 80, "protocol": "UDP"},
    {"name": "tcp", "port": 53},
]
UDP_PORTS = [
    pytest.param("s:53", "http://1.2.3.4:54", id="the-TCP-port-that-shares-its-number"),
    pytest.param("s:tcp", "http://1.2.3.4:54", id="by-its-name"),
    pytest.param("s", "http://1.2.3.4:54", id="the-only-one-for-HTTP-needs-no-name"),
    pytest.param("s:udp", 503, id="of-UDP"),
    pytest.param("s:80", 503, id="of-UDP-by-number"),
]


@pytest.mark.parametrize(("id", "expected"), UDP_PORTS)
def test_a_service_port_of_udp_is_never_dialled(id: Any, expected: Any) -> None:
    piece = endpoints("s", {"udp": 53, "quic": 80, "tcp": 54}, backed_by("a", V4))
    piece["ports"][0] |= {"protocol": "UDP"}
    piece["ports"].insert(0, {"name": "tcp", "port": 55, "protocol": "UDP"})  # whose name a TCP port has, too
    catalog = catalog_of(pods=[pod("a", V4)], services=[service("s", *UDP_AND_TCP)], endpointslices=[piece])
    if isinstance(expected, str):
        assert leads_to(catalog, "services", id) == [expected]
    else:
        with refused(expected):
            leads_to(catalog, "services", id)


def test_a_service_of_udp_alone_says_so() -> None:
    catalog = catalog_of(pods=[pod("a", V4)], services=[service("s", *UDP_AND_TCP[:2])])
    with refused(503, "HTTP is spoken over TCP; it has udp:53/UDP, quic:80/UDP"):
        leads_to(catalog, "services", "s")


POD_OF_UDP = [
    pytest.param("a", "http://1.2.3.4:8080", id="the-first-of-TCP"),
    pytest.param("a:53", "http://1.2.3.4:53", id="declared-for-both"),
    pytest.param("a:dns", "http://1.2.3.4:54", id="the-TCP-port-of-this-name"),
    pytest.param("a:9000", "http://1.2.3.4:9000", id="not-declared"),
    pytest.param("a:514", 400, id="declared-for-UDP-alone"),
    pytest.param("a:syslog", 400, id="by-name"),
    pytest.param("a:sctp", 400, id="SCTP"),
]


@pytest.mark.parametrize(("id", "expected"), POD_OF_UDP)
def test_a_pods_port_of_udp_is_never_dialled(id: Any, expected: Any) -> None:
    raw = pod(
        "a",
        V4,
        containers=[
            [("syslog", 514), ("udp-53", 53), ("dns", 5353), ("sctp", 7)],
            [("web", 8080), ("tcp-53", 53), ("dns", 54)],
        ],
    )
    for port, protocol in zip(
        raw["spec"]["containers"][0]["ports"], ("UDP", "UDP", "UDP", "SCTP"), strict=True
    ):
        port["protocol"] = protocol
    if isinstance(expected, str):
        assert leads_to(catalog_of(pods=[raw]), "pods", id) == [expected]
    else:
        with refused(expected, "HTTP is spoken over TCP"):
            leads_to(catalog_of(pods=[raw]), "pods", id)


TWO_FAMILIES = [
    pytest.param({"ipFamilies": ["IPv4", "IPv6"]}, [V4, B4], [V6, B6], id="IPv4-first"),
    pytest.param({"ipFamilies": ["IPv6", "IPv4"]}, [V6, B6], [V4, B4], id="IPv6-first"),
    pytest.param({"clusterIP": "fd00:96::1"}, [V6, B6], [V4, B4], id="of-the-cluster-address"),
    pytest.param({"clusterIP": "None", "ipFamilies": ["IPv6"]}, [V6, B6], [V4, B4], id="headless"),
    pytest.param({}, [V4, B4], [V6, B6], id="not-said"),
]


@pytest.mark.parametrize(("spec", "first", "standby"), TWO_FAMILIES)
def test_a_pod_of_two_families_is_one_endpoint_and_its_other_address_stands_by(
    spec: Any, first: Any, standby: Any
) -> None:
    raw = service("s", {"port": 80})
    raw["spec"] |= spec
    catalog = catalog_of(
        pods=[pod("a", V4, V6), pod("b", B4, B6)],
        services=[raw],
        endpointslices=[
            endpoints("s", {"": 80}, backed_by("a", V6), backed_by("b", B6), name="s-v6"),
            endpoints("s", {"": 80}, backed_by("a", V4), backed_by("b", B4), name="s-v4"),
        ],
    )
    resolved = resolve(catalog, "services", "s")
    assert [endpoint.address for endpoint in resolved.endpoints] == first
    assert [endpoint.address for endpoint in resolved.standby] == standby


def test_a_pod_of_the_other_family_alone_takes_part() -> None:
    catalog = one_service(
        backed_by("a", V4), backed_by("b", B6), backed_by("a", V6), pods=[pod("a", V4, V6), pod("b", B6)]
    )
    resolved = resolve(catalog, "services", "s")
    assert {endpoint.address for endpoint in resolved.endpoints} == {V4, B6}
    assert {endpoint.address for endpoint in resolved.standby} == {V6, B6}


def test_a_pods_other_address_stands_by() -> None:
    catalog = catalog_of(pods=[pod("a", V4, V6, "fe80::1")])
    resolved = resolve(catalog, "pods", "a:80")
    assert [[e.address for e in some] for some in (resolved.endpoints, resolved.standby)] == [[V4], [V6]]


@pytest.mark.parametrize(
    ("in_pod", "in_slice"),
    [("2001:db8::1", "2001:DB8:0:0::1"), ("2001:0db8:0000:0000:0000:0000:0000:0001", "2001:db8::1")],
)
def test_an_ipv6_address_is_the_same_however_it_is_written(in_pod: Any, in_slice: Any) -> None:
    assert leads_to(one_service(backed_by("a", in_slice), pods=[pod("a", in_pod)]), "services", "s") == [
        f"http://[{IPv6Address(in_slice)}]:8080"
    ]


def ending(target: Any, address: Any, **conditions: Any) -> Any:
    raw = backed_by(target, address, ready=False)
    raw["conditions"] |= conditions
    return raw


ENDINGS = [
    pytest.param([ending("a", V4, serving=True, terminating=True)], [V4], id="KEP-1669-none-is-ready"),
    pytest.param([ending("a", V4, serving=True, terminating=True), backed_by("b", B4)], [B4], id="one-is"),
    pytest.param([ending("a", V4, serving=False, terminating=True)], 503, id="serves-no-more"),
    pytest.param([ending("a", V4, terminating=True)], [V4], id="serving-is-taken-for-granted"),
    pytest.param([ending("a", V4, serving=True, terminating=False)], 503, id="not-ending-only-not-ready"),
    pytest.param([ending("a", V4)], 503, id="only-not-ready"),
]


@pytest.mark.parametrize(("listed", "expected"), ENDINGS)
def test_what_serves_while_it_ends_is_used_where_nothing_is_ready(listed: Any, expected: Any) -> None:
    catalog = one_service(*listed, pods=[pod("a", V4), pod("b", B4)])
    if expected == 503:
        with refused(503, "no endpoints available"):
            leads_to(catalog, "services", "s")
    else:
        assert leads_to(catalog, "services", "s") == [f"http://{address}:8080" for address in expected]
