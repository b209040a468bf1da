"""The authorities that a proxy is asked for."""

from __future__ import annotations

import pytest

from bastion.kube.authority import Authorities, in_cluster
from bastion.kube.hostname import HostNames
from bastion.kube.status import StatusError

HERE = Authorities(HostNames("apps.test"), 8443)

TUNNELS = [
    ("db.shop.svc:5432", ("services", "shop", "db:5432")),
    ("DB.shop.SVC.cluster.local.:5432", ("services", "shop", "db:5432")),
    ("db.shop.svc.:1", ("services", "shop", "db:1")),
    ("db.shop.svc:postgres", ("services", "shop", "db:postgres")),
    ("db-0.shop.pod:65535", ("pods", "shop", "db-0:65535")),
    ("db.v2-0.shop.pod.cluster.local:80", ("pods", "shop", "db.v2-0:80")),
    ("db--5432--shop.svc.apps.test:443", ("services", "shop", "db:5432")),
    ("db--5432--shop.svc.apps.test:8443", ("services", "shop", "db:5432")),
    ("db--shop.svc.apps.test:5432", ("services", "shop", "db:5432")),
]
REFUSED = [
    *(
        "",
        ":",
        "*",
        "db",
        "db:1",
        "db.shop:1",
        "db.shop.svc",
        "db.shop.svc:",
        "db.shop.svc:0",
        "example.com:443",
    ),
    *("db.shop.svc:65536", "db.shop.svc:007", "db.shop.svc:+7", "db.shop.svc:7/x", "db.shop.svc:7:7"),
    *("a:b@db.shop.svc:7", "db.shop.svc.evil.test:7", "db..svc:7", ".shop.svc:7", "-db.shop.svc:7"),
    *("127.0.0.1:22", "[::1]:22", "[fe80::1%25lo]:22", "2130706433:80", "0177.0.0.1:80", "127.1:80"),
    *("db-0.db.shop.svc:7", "db.shop.svc:a_b", "db.shop.svc:sixteen-letters-", "d\xe9b.shop.svc:7", "svc:7"),
    *("apps.test:443", "https--db--443--shop.svc.apps.test:443", "db--5432--shop.svc.apps.test:5432"),
    *(
        "db.shop.svc.cluster.local.evil.test:7",
        "db.shop.svc\0:7",
        "db.shop.svc..:7",
        "shop.svc.cluster.local:7",
    ),
]
URLS = [
    ("web.shop.svc", "web:80"),
    ("web.shop.svc:", "web:80"),
    ("web.shop.svc:8080", "web:8080"),
    ("web--shop.svc.apps.test", "web:80"),
    ("web--8080--shop.svc.apps.test", "web:8080"),
]


@pytest.mark.parametrize(("authority", "target"), TUNNELS)
def test_what_a_tunnel_leads_to(authority: str, target: tuple[str, str, str]) -> None:
    asked = HERE.connect(authority.encode()).attributes
    assert (asked.resource, asked.namespace, asked.name) == target
    assert (asked.verb, asked.subresource) == ("create", "proxy")


@pytest.mark.parametrize("authority", REFUSED)
def test_anything_else_is_refused(authority: str) -> None:
    with pytest.raises(StatusError) as refused:
        HERE.connect(authority.encode("latin-1"))
    assert refused.value.code == 400


@pytest.mark.parametrize(("authority", "name"), URLS)
def test_a_url_has_the_verb_of_its_method(authority: str, name: str) -> None:
    asked = HERE.forward("DELETE", authority.encode(), b"/x")
    assert (asked.attributes.verb, asked.attributes.name, asked.rest) == ("delete", name, b"/x")


def test_a_url_names_no_port_by_its_name() -> None:
    with pytest.raises(StatusError):
        HERE.forward("GET", b"web.shop.svc:http", b"/")


def test_which_hosts_are_of_the_cluster() -> None:
    assert in_cluster(b"a.b.svc:443") and in_cluster(b"A.B.Pod.cluster.local.")
    assert not in_cluster(b"bastion.test:443") and not in_cluster(b"svc.bastion.test")
