"""Which application does a host name mean, and which names mean none?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.kube.attributes import Attributes
from bastion.kube.hostname import Application, HostNames, host_name, is_dns_name
from bastion.kube.requestinfo import parse_proxied
from bastion.kube.target import parse_target
from tests.fakes import refused
from tests.present import present

HOSTS = HostNames("proxy.example.test")
SUFFIX = "proxy.example.test"

NAMED = [
    # the host, (resource, namespace, id)
    ("web--shop.svc", ("services", "shop", "web")),
    ("web--80--shop.svc", ("services", "shop", "web:80")),
    ("web--http--shop.svc", ("services", "shop", "web:http")),
    ("https--web--443--shop.svc", ("services", "shop", "https:web:443")),
    ("http--web--8080--shop.svc", ("services", "shop", "http:web:8080")),
    ("https--web--shop.svc", ("services", "shop", "https:web:")),
    ("web-0--8080--shop.pod", ("pods", "shop", "web-0:8080")),
    ("a--b.pod", ("pods", "b", "a")),
    ("0--1--2.svc", ("services", "2", "0:1")),
    ("my-web--my-port--my-ns.svc", ("services", "my-ns", "my-web:my-port")),
    # a service that is called like a scheme: alone it is a name, before two more it is a scheme
    ("https--shop.svc", ("services", "shop", "https")),
    ("http--https--80--shop.svc", ("services", "shop", "http:https:80")),
    ("ftp--web--shop.svc", ("services", "shop", "ftp:web")),
    (f"{'n' * 30}--{'s' * 31}.svc", ("services", "s" * 31, "n" * 30)),
]


@pytest.mark.parametrize(("host", "means"), NAMED)
@pytest.mark.parametrize("port", ["", ":8443", ":"])
@pytest.mark.parametrize(
    "change", [str, str.upper, lambda host: host + "."], ids=["as-is", "upper-case", "dot-at-the-end"]
)
def test_a_name_means_an_application(host: Any, means: Any, port: Any, change: Any) -> None:
    written = (change(f"{host}.{SUFFIX}") + port).encode()
    assert HOSTS.application(written) == Application(*means)
    assert HOSTS.covers(written)


ELSEWHERE = [
    b"",
    b"bastion.example.test",
    b"example.test",
    b"proxy.example.test",
    b"proxy.example.test:8443",
    b"notproxy.example.test",
    b"web--shop.svc.notproxy.example.test",
    b"web--shop.svc.proxy.example.test.evil.test",
    b"web--shop.svc",
    b"127.0.0.1:8443",
    b"[::1]:8443",
    b"[::1]",
    b"localhost",
]


@pytest.mark.parametrize("host", ELSEWHERE)
def test_a_host_that_is_not_under_the_suffix_is_not_an_applications(host: Any) -> None:
    assert HOSTS.application(host) is None
    assert not HOSTS.covers(host)


UNFIT = {
    "no namespace": "web.svc",
    "no kind": "web--shop",
    "another kind": "web--shop.node",
    "nothing but the kind": "svc",
    "no label": ".svc",
    "a label too many": "x.web--shop.svc",
    "a kind too many": "web--shop.svc.svc",
    "no name": "--shop.svc",
    "nothing after the name": "web--.svc",
    "an empty port": "web----shop.svc",
    "four parts without a scheme": "my--web--80--shop.svc",
    "five parts": "https--my--web--80--shop.svc",
    "a scheme and one part too few": "https--web--80--my--shop.svc",
    "a hyphen before the name": "-web--shop.svc",
    "a hyphen after the name": "web---shop.svc",
    "an underscore": "we_b--shop.svc",
    "a percent sign": "web%2d--shop.svc",
    "64 characters": f"{'n' * 30}--{'s' * 32}.svc",
}


@pytest.mark.parametrize("host", UNFIT.values(), ids=UNFIT)
def test_a_name_that_fits_nothing_is_refused_and_told_the_path_form(host: Any) -> None:
    assert HOSTS.covers(f"{host}.{SUFFIX}".encode())
    with refused(400, "/api/v1/namespaces/<namespace>/services/<[scheme:]name[:port]>/proxy/"):
        HOSTS.application(f"{host}.{SUFFIX}:8443".encode())


def test_the_refusal_quotes_what_came_and_shows_no_markup() -> None:
    with refused(400, r'"<b>\"--x.svc.proxy.example.test"'):
        HOSTS.application(b'<b>"--x.svc.proxy.example.test')


def test_letters_that_are_no_ascii_fit_nothing() -> None:
    with refused(400):
        HOSTS.application("wéb--shop.svc.proxy.example.test".encode())


def test_the_target_and_the_question_are_those_of_the_path_form() -> None:
    application = HOSTS.application(b"https--web--443--shop.svc.proxy.example.test")
    by_host = parse_proxied("POST", b"/a//b?c", application)
    by_path = parse_proxied("POST", b"/api/v1/namespaces/shop/services/https:web:443/proxy/a//b?c")
    assert (
        present(by_host).attributes
        == present(by_path).attributes
        == Attributes("create", "", "v1", "shop", "services", "proxy", "https:web:443")
    )
    assert (present(by_host).prefix, present(by_host).rest) == (b"", b"/a//b?c")
    assert present(by_path).rest == present(by_host).rest


@pytest.mark.parametrize(("host", "means"), NAMED)
def test_every_id_is_one_that_a_path_may_have(host: Any, means: Any) -> None:
    resource, namespace, id = means
    assert parse_target(resource, namespace, id).id == id


def test_the_whole_path_is_the_applications_also_where_it_reads_like_a_proxied_one() -> None:
    target = b"/api/v1/namespaces/other/pods/x/proxy/y"
    info = present(parse_proxied("GET", target, HOSTS.application(b"web--shop.svc.proxy.example.test")))
    assert (info.attributes.name, info.attributes.namespace, info.rest) == ("web", "shop", target)


def test_other_methods_are_known_to_be_unknown() -> None:
    application = HOSTS.application(b"web--shop.svc.proxy.example.test")
    assert not present(parse_proxied("PURGE", b"/", application)).known_method


@given(st.text(alphabet="ab-.0", max_size=70))
def test_whatever_comes_is_an_application_whose_parts_stand_in_the_name_or_is_refused(text: Any) -> None:
    host = f"{text}.{SUFFIX}"
    try:
        found = HOSTS.application(host.encode())
    except Exception as error:
        assert getattr(error, "code", None) == 400
        return
    assert found is not None
    assert found.id.replace(":", "--").strip("-") + "--" + found.namespace == text.split(".")[0].strip("-")


NAMES = [
    (b"bastion.example.test:8443", "bastion.example.test"),
    (b"BASTION.example.test", "bastion.example.test"),
    (b"bastion.example.test.", "bastion.example.test"),
    (b"127.0.0.1:1", "127.0.0.1"),
    (b"[::1]:8443", "[::1]"),
    (b"[::1]", "[::1]"),
    (b"", ""),
]


@pytest.mark.parametrize(("host", "name"), NAMES)
def test_a_cookie_belongs_to_a_host_whatever_its_port(host: Any, name: Any) -> None:
    assert host_name(host) == name


DOMAINS = [
    ("a", True),
    ("proxy.localhost", True),
    ("a-b.c1.example", True),
    ("", False),
    ("a..b", False),
    (".a", False),
    ("-a.b", False),
    ("a-.b", False),
    ("A.b", False),
    ("a_b", False),
    ("a b", False),
    (f"{'a' * 63}.b", True),
    (f"{'a' * 64}.b", False),
    (".".join(["a" * 60] * 5), False),
]


@pytest.mark.parametrize(("text", "good"), DOMAINS)
def test_what_a_domain_is(text: Any, good: Any) -> None:
    assert is_dns_name(text) is good
