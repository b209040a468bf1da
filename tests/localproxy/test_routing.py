"""Prefixes: which part of a URL is for whom."""

from __future__ import annotations

import pytest

from bastion.localproxy import options
from bastion.localproxy.routing import Api, Redirect, Route, Router, Static

WWW = "--www=/tmp"
ROUTES: list[tuple[list[str], bytes, Route]] = [
    ([], b"/api/v1", Api(b"/api/v1")),
    ([], b"/static/x", Api(b"/static/x")),
    ([WWW], b"/static/x", Static(b"x")),
    ([WWW], b"/static", Redirect(b"/static/")),
    ([WWW], b"/staticx", Api(b"/staticx")),
    (["--api-prefix=/custom/"], b"/custom/a%2Fb", Api(b"/a%2Fb")),
    (["--api-prefix=/custom"], b"/custom/", Api(b"/")),
    (["--api-prefix=custom"], b"/custom/x", Api(b"/x")),
    (["--api-prefix=/custom/"], b"/custom", Redirect(b"/custom/")),
    (["--api-prefix=/custom/"], b"/customx", None),
    (["--api-prefix=/custom/"], b"/custom/custom/x", Api(b"/custom/x")),
    (["--api-prefix=/api/"], b"/api/v1", Api(b"/api/v1")),
    (["--api-prefix=/api/"], b"/apis/apps", None),
    (["--api-prefix=/api-east/"], b"/api-east/api/v1", Api(b"/api/v1")),
    (["--api-prefix="], b"/x", Api(b"/x")),
    ([WWW, "--www-prefix=/", "--api-prefix=/api"], b"/index", Static(b"index")),
    ([WWW, "--www-prefix=/", "--api-prefix=/api"], b"/api/v1", Api(b"/api/v1")),
    ([WWW, "--www-prefix=/", "--api-prefix=/k8s"], b"/k8s", Redirect(b"/k8s/")),
    ([WWW, "--www-prefix=/x", "--api-prefix=/x/k8s"], b"/x/k8s/v", Api(b"/v")),
    ([], b"/api/v1//pods", Api(b"/api/v1//pods")),
    ([], b"/api/../x", Redirect(b"/x")),
]


@pytest.mark.parametrize(("flags", "path", "route"), ROUTES, ids=str)
def test_routes(flags: list[str], path: bytes, route: Route) -> None:
    assert Router(options.read(flags)).route(path) == route


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--api-prefix=/{x/"], "--api-prefix"),
        (["--api-prefix=/a b/"], "--api-prefix"),
        ([WWW, "--www-prefix=/%41/"], "--www-prefix"),
        ([WWW, "--www-prefix=/"], "must differ"),
    ],
)
def test_prefixes_that_cannot_be(flags: list[str], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Router(options.read(flags))
