"""Which resource does a request target name, and what is left for the backend?  Byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.kube.requestinfo import parse_proxied
from tests.fakes import refused
from tests.present import present

POD = b"/api/v1/namespaces/other/pods/foo/proxy"

ROUTES = [
    # target, (namespace, resource, name), prefix, rest
    pytest.param(POD + b"/subpath", ("other", "pods", "foo"), POD, b"/subpath", id="C-RI-19"),
    pytest.param(POD, ("other", "pods", "foo"), POD, b"", id="empty-sub-path"),
    pytest.param(POD + b"/", ("other", "pods", "foo"), POD, b"/", id="slash"),
    pytest.param(POD + b"//a", ("other", "pods", "foo"), POD, b"//a", id="byte-exact-double-slash"),
    pytest.param(POD + b"/../../x", ("other", "pods", "foo"), POD, b"/../../x", id="byte-exact-dots"),
    pytest.param(
        POD + b"/a%2Fb%2f%41%7e%00%zz",
        ("other", "pods", "foo"),
        POD,
        b"/a%2Fb%2f%41%7e%00%zz",
        id="byte-exact-escapes",
    ),
    pytest.param(POD + b"/a+b?x=%zz&y;z??", ("other", "pods", "foo"), POD, b"/a+b?x=%zz&y;z??", id="query"),
    pytest.param(POD + b"?a/b/../c", ("other", "pods", "foo"), POD, b"?a/b/../c", id="query-without-path"),
    pytest.param(POD + b"?", ("other", "pods", "foo"), POD, b"?", id="bare-question-mark"),
    pytest.param(POD + b"/\xff\xfe", ("other", "pods", "foo"), POD, b"/\xff\xfe", id="raw-bytes"),
    pytest.param(
        b"/api/v1/namespaces/ns/services/https:foo:443/proxy/x",
        ("ns", "services", "https:foo:443"),
        b"/api/v1/namespaces/ns/services/https:foo:443/proxy",
        b"/x",
    ),
    pytest.param(
        b"/api/v1/namespaces/ns/services/https%3Afoo%3a443/proxy/x",
        ("ns", "services", "https:foo:443"),
        b"/api/v1/namespaces/ns/services/https%3Afoo%3a443/proxy",
        b"/x",
        id="encoded-colon",
    ),
    pytest.param(
        b"/api/v1/nodes/n1:10250/proxy/metrics",
        ("", "nodes", "n1:10250"),
        b"/api/v1/nodes/n1:10250/proxy",
        b"/metrics",
        id="node",
    ),
    pytest.param(b"/api/v1/nodes/n1/proxy", ("", "nodes", "n1"), b"/api/v1/nodes/n1/proxy", b"", id="node"),
    pytest.param(
        b"/api/v1/namespaces/a%62c/pods/%66oo/proxy/%66",
        ("abc", "pods", "foo"),
        b"/api/v1/namespaces/a%62c/pods/%66oo/proxy",
        b"/%66",
        id="decoded-once-prefix-kept-raw",
    ),
    pytest.param(
        b"/api/v1/namespaces/ns/pods/a%2541/proxy",
        ("ns", "pods", "a%41"),
        b"/api/v1/namespaces/ns/pods/a%2541/proxy",
        b"",
        id="not-twice",
    ),
    pytest.param(
        b"/api/v1/namespaces/ns/pods/../proxy/x",
        ("ns", "pods", ".."),
        b"/api/v1/namespaces/ns/pods/../proxy",
        b"/x",
        id="not-cleaned",
    ),
    pytest.param(
        "/api/v1/namespaces/ns/pods/今/proxy".encode(),
        ("ns", "pods", "今"),
        "/api/v1/namespaces/ns/pods/今/proxy".encode(),
        b"",
        id="utf8",
    ),
    pytest.param(
        b"/api/v1/namespaces/proxy/pods/proxy/proxy/proxy",
        ("proxy", "pods", "proxy"),
        b"/api/v1/namespaces/proxy/pods/proxy/proxy",
        b"/proxy",
        id="named-proxy",
    ),
]


@pytest.mark.parametrize(("target", "names", "prefix", "rest"), ROUTES)
def test_a_proxy_route_is_taken_apart(
    target: bytes, names: tuple[str, str, str], prefix: bytes, rest: bytes
) -> None:
    info = present(parse_proxied("GET", target))
    attributes = info.attributes
    assert (attributes.namespace, attributes.resource, attributes.name) == names
    assert (attributes.group, attributes.version, attributes.subresource, attributes.path) == (
        "",
        "v1",
        "proxy",
        "",
    )
    assert (present(info).prefix, present(info).rest) == (prefix, rest)


NO_ROUTES = [
    b"/",
    b"",
    b"*",
    b"/healthz",
    b"/api/v1/namespaces/other/pods/foo",
    b"/api/v1/namespaces/other/pods/foo/status",
    b"/api/v1/namespaces/other/pods/foo/proxyx",
    b"/api/v1/namespaces/other/pods/foo/exec/proxy",
    b"/api/v1/namespaces/other/secrets/foo/proxy",
    b"/api/v1/namespaces/other/nodes/foo/proxy",
    b"/api/v1/pods/foo/proxy",
    b"/api/v1/services/foo/proxy/x",
    b"/api/v1/proxy/namespaces/other/pods/foo/x",
    b"/api/v1/redirect/namespaces/other/pods/foo",
    b"/api/v1/watch/namespaces/other/pods/foo/proxy",
    b"/api/v2/namespaces/other/pods/foo/proxy",
    b"/apis/v1/namespaces/other/pods/foo/proxy",
    b"//api/v1/namespaces/other/pods/foo/proxy",
    b"/api//v1/namespaces/other/pods/foo/proxy",
    b"/api/v1/namespaces/other/pods//foo/proxy",
    b"/api/v1/namespaces/other/pods/a/b/proxy",
    b"/api/v1/namespaces/other/pods/foo?/proxy/",
    b"/API/v1/namespaces/other/pods/foo/proxy",
    b"/api/v1/namespaces/other/Pods/foo/proxy",
    b"/api%2Fv1/namespaces/other/pods/foo/proxy",
    b"/api/v1/nodes/proxy",
    b"/api/v1/nodes/n/metrics",
    b"api/v1/namespaces/other/pods/foo/proxy",
    b"/x?/api/v1/namespaces/other/pods/foo/proxy",
]


@pytest.mark.parametrize("target", NO_ROUTES)
def test_anything_else_is_no_proxy_route(target: bytes) -> None:
    assert parse_proxied("GET", target) is None


HIDING = [
    pytest.param(b"a%2Fb", id="encoded-slash"),
    pytest.param(b"a%2fb", id="encoded-slash-lower"),
    pytest.param(b"%2e%2e%2fsecret", id="encoded-climb"),
    pytest.param(b"a%00", id="nul"),
    pytest.param(b"a%0d%0ax", id="crlf"),
    pytest.param(b"a%7f", id="del"),
    pytest.param(b"a%1b[2J", id="escape-sequence"),
    pytest.param(b"a%ff", id="no-utf8"),
    pytest.param(b"\xc3", id="raw-no-utf8"),
    pytest.param(b"a%c0%afb", id="overlong-slash"),
    pytest.param("a\u202eb".encode(), id="bidi-override"),
    pytest.param(b"a%e2%80%8bb", id="zero-width-space"),
]


@pytest.mark.parametrize("segment", HIDING)
@pytest.mark.parametrize(
    "shape",
    [
        b"/api/v1/namespaces/ns/pods/%b/proxy",
        b"/api/v1/namespaces/%b/services/s/proxy",
        b"/api/v1/nodes/%b/proxy/x",
    ],
)
def test_a_fixed_segment_that_hides_something_is_refused(segment: Any, shape: Any) -> None:
    with refused(400):
        parse_proxied("GET", shape % segment)
    assert parse_proxied("GET", shape % b"ab") is not None


@pytest.mark.parametrize(
    "target",
    [
        b"/api/v1/namespaces/ns/pods//proxy",
        b"/api/v1/namespaces//pods/foo/proxy",
        b"/api/v1/namespaces//services//proxy/x",
        b"/api/v1/nodes//proxy",
    ],
)
def test_an_empty_name_is_refused(target: Any) -> None:
    with refused(400, "name must be provided"):
        parse_proxied("GET", target)


METHODS = [
    ("GET", "get", True),
    ("HEAD", "get", True),
    ("POST", "create", True),
    ("PUT", "update", True),
    ("PATCH", "patch", True),
    ("DELETE", "delete", True),
    ("OPTIONS", "", True),
    ("TRACE", "", False),
    ("CONNECT", "", False),
    ("PROPFIND", "", False),
    ("get", "", False),
]


@pytest.mark.parametrize(("method", "verb", "known"), METHODS)
def test_the_verb_is_that_of_the_method(method: str, verb: str, known: bool) -> None:
    info = present(parse_proxied(method, POD))
    assert (info.attributes.verb, info.known_method) == (verb, known)


@given(st.binary(max_size=60).filter(lambda rest: not rest or rest[:1] in (b"/", b"?")))
def test_prefix_and_rest_are_the_target(rest: bytes) -> None:
    info = present(parse_proxied("GET", POD + rest))
    assert info.prefix + info.rest == POD + rest
    assert info.prefix == POD


@given(
    st.lists(
        st.sampled_from(
            [b"/", b"api", b"v1", b"namespaces", b"nodes", b"pods", b"proxy", b"%2F", b"..", b"x", b"?"]
        ),
        max_size=14,
    )
)
def test_whatever_is_a_route_has_its_names_in_the_prefix(pieces: Any) -> None:
    target = b"".join(pieces)
    try:
        info = parse_proxied("GET", target)
    except Exception as error:
        assert getattr(error, "code", None) == 400
        return
    if info is not None:
        assert info.prefix + info.rest == target
        assert info.prefix.endswith(b"/proxy")
        assert b"?" not in info.prefix
        assert info.rest[:1] in (b"", b"/", b"?")
        assert info.attributes.name in [segment.decode() for segment in info.prefix.split(b"/")]
