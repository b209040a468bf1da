"""One reading of the URL: proxied, refused, or an API server's to answer."""

from __future__ import annotations

import itertools
from urllib.parse import quote, unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.kube.aliases import origin_form, request_info
from bastion.kube.requestinfo import ApiCall, Proxied
from bastion.kube.status import StatusError
from tests.fakes import refused

ROUTES = [
    "/api/v1/namespaces/shop/services/web/proxy/x",
    "/api/v1/namespaces/shop/pods/https:web:8443/proxy",
    "/api/v1/nodes/node-a/proxy/metrics",
]
CALLS = [
    "/",
    "/api",
    "/apis/apps/v1/namespaces/shop/deployments/web/scale",
    "/version?timeout=32s",
    "/readyz/etcd",
    "/metrics",
    "/openapi/v3/apis/apps/v1?hash=1F",
    "/api/v1/namespaces/shop/pods/web/exec?command=a&command=b",
    "/api/v1/namespaces/shop/pods/proxy",
    "/api/v1/namespaces/shop/pods/proxy/log",
    "/api/v1/namespaces/proxy/services/web",
    "/api/v1/namespaces/shop/services/web/proxies",
    "/api/v1/namespaces/shop/services/web/Proxy/x",
    "/api/v1/namespaces/shop/services/web/proxy;a=b/x",
    "/api/v1/namespaces/shop/services/web/proxy%3Fx",
    "/api/v1/namespaces/shop/services/web/%2570roxy",
    "/api/v1/namespaces/shop/configmaps/web/proxy",
    "/api/v2/namespaces/shop/services/web/proxy/x",
    "/apis/cluster.example.com/v1/namespaces/shop/services/web/proxy/x",
    "/api/v1/proxy/namespaces/shop/services/web",
    "/api/v1/pods?x=/api/v1/nodes/n/proxy/",
    "//api/v1/pods",
    "/api/v1/namespaces/shop/configmaps/a%2fb",
    "/api/v1/namespaces/shop/configmaps/%zz",
]
ALIASES = [
    "/api/v1/namespaces/shop/services/web/prox%79/x",
    "/api/v1/namespaces/shop/services/web%2Fproxy/x",
    "/api/v1/namespaces/shop/services%2fweb/proxy/x",
    "/api/v1/namespaces%2Fshop%2Fservices%2Fweb%2Fproxy%2Fx",
    "/%61pi/v1/nodes/node-a/proxy/metrics",
    "/api/v1/node%73/node-a/proxy/run/a/b/c",
    "/api/v1/namespaces/shop/nodes/node-a/proxy/metrics",
    "//api/v1/nodes/node-a/proxy/metrics",
    "/api//v1/nodes/node-a/proxy/metrics",
    "/api/v1/./nodes/node-a/proxy/metrics",
    "/apis/../api/v1/nodes/node-a/proxy/metrics",
    "/api/v1/nodes/node-a/%2e/proxy",
    "https://any/api/v1/nodes/node-a/proxy/metrics",
    "https://any/api/v1/nodes/node-a/prox%79/metrics",
    "HTTP://any/api/v1/nodes/node-a/proxy",
    "http:/api/v1/nodes/node-a/proxy/metrics",
    "gopher:///api/v1/nodes/node-a/proxy/metrics",
]


@pytest.mark.parametrize("target", ROUTES)
def test_a_proxied_target_is_one(target: str) -> None:
    assert isinstance(request_info("GET", target.encode()), Proxied)


@pytest.mark.parametrize("target", CALLS)
def test_what_is_no_target_is_a_call(target: str) -> None:
    assert isinstance(request_info("GET", target.encode()), ApiCall)
    assert origin_form("GET", target.encode()) == target.encode()


@pytest.mark.parametrize("target", ALIASES)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "FOO"])
def test_an_alias_of_a_target_is_refused(method: str, target: str) -> None:
    with refused(400):
        request_info(method, target.encode())


@given(st.sampled_from(ROUTES), st.data())
def test_no_spelling_of_a_target_is_a_call(route: str, data: st.DataObject) -> None:
    """Each character may be encoded, and each slash: kube-apiserver reads the same."""
    spelled = "".join(
        f"%{ord(char):02{data.draw(st.sampled_from('xX'))}}" if data.draw(st.booleans()) else char
        for char in route[1:]
    )
    path = "/" + spelled
    assert unquote(path) == route
    try:
        info = request_info("GET", path.encode())
    except StatusError as error:
        assert error.code == 400
    else:
        assert isinstance(info, Proxied)


@pytest.mark.parametrize(
    ("method", "target", "sent"),
    [
        ("OPTIONS", "*", "*"),
        ("GET", "https://any:6443/api/v1/nodes?a=b", "/api/v1/nodes?a=b"),
        ("GET", "http://any", "/"),
        ("GET", "http://any?watch=1", "/?watch=1"),
        ("GET", "*", None),
        ("GET", "https:///api/v1/nodes", None),
        ("GET", "https:/api/v1/nodes", None),
        ("GET", "https://user@any/api/v1/nodes", None),
        ("GET", "ftp://any/api/v1/nodes", None),
        ("GET", "api/v1/nodes", None),
        ("CONNECT", "10.0.0.1:443", None),
        ("CONNECT", "https://any/", None),
    ],
)
def test_in_which_form_it_is_sent_on(method: str, target: str, sent: str | None) -> None:
    assert origin_form(method, target.encode()) == (sent.encode() if sent is not None else None)
    if sent is None:
        with refused(400):
            request_info(method, target.encode())


def test_both_kinds_ask_for_what_they_are() -> None:
    for verb, quoted in itertools.product(("GET", "PATCH"), ("web", quote("a%b", safe=""))):
        call = request_info(verb, f"/api/v1/namespaces/shop/configmaps/{quoted}".encode())
        assert call.attributes.resource == "configmaps"
