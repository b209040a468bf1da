"""Does the bastion's own API answer as kube-apiserver's does?"""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import kubernetes.client
import pytest
from prometheus_client import CONTENT_TYPE_LATEST

from bastion import __version__
from bastion.web.app import create_app
from bastion.web.site import ROUTES

FINE = {"ping": lambda: None}
MIXED = {"ping": lambda: None, "informer-sync": lambda: "pods never listed", "post/start": lambda: None}
TEXT = "text/plain; charset=utf-8"


def broken() -> None:
    raise RuntimeError("the secret of the house")


def ask(
    path: Any,
    method: str = "GET",
    readiness: Any = FINE,
    liveness: Any = FINE,
    metrics: Any = lambda: b"up 1\n",
) -> Any:
    async def text() -> Any:
        return metrics()

    async def send() -> Any:
        transport = httpx.ASGITransport(create_app(readiness, liveness, text), raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="https://bastion") as client:
            return await client.request(method, path)

    return asyncio.run(send())


HEALTH = [
    # path, readiness, code, body
    ("/livez", FINE, 200, "ok"),
    ("/readyz", FINE, 200, "ok"),
    ("/healthz", FINE, 200, "ok"),
    ("/readyz?verbose", FINE, 200, "[+]ping ok\nreadyz check passed\n"),
    ("/readyz?verbose=false", FINE, 200, "[+]ping ok\nreadyz check passed\n"),
    ("/livez?verbose", MIXED, 200, "[+]ping ok\nlivez check passed\n"),
    ("/healthz?verbose", MIXED, 200, "[+]ping ok\nhealthz check passed\n"),
    ("/readyz", {}, 200, "ok"),
    (
        "/readyz",
        MIXED,
        500,
        "[+]ping ok\n[-]informer-sync failed: pods never listed\n[+]post/start ok\nreadyz check failed\n",
    ),
    ("/readyz?exclude=informer-sync", MIXED, 200, "ok"),
    (
        "/readyz?exclude=ping&verbose&exclude=informer-sync",
        MIXED,
        200,
        "[+]ping excluded: ok\n[+]informer-sync excluded: ok\n[+]post/start ok\nreadyz check passed\n",
    ),
    (
        "/readyz?verbose&exclude=pong&exclude=a%22b",
        FINE,
        200,
        (
            '[+]ping ok\nwarn: some health checks cannot be excluded: no matches for "a\\"b","pong"\nreadyz'
            " check passed\n"
        ),
    ),
    ("/readyz/ping", MIXED, 200, "ok"),
    ("/readyz/post/start", MIXED, 200, "ok"),
    ("/readyz/informer-sync", MIXED, 500, "internal server error: pods never listed\n"),
    ("/livez/ping", FINE, 200, "ok"),
    ("/healthz/ping", FINE, 200, "ok"),
]


@pytest.mark.parametrize(("path", "readiness", "code", "body"), HEALTH)
def test_health_is_told_as_kube_apiserver_tells_it(path: Any, readiness: Any, code: Any, body: Any) -> None:
    answer = ask(path, readiness=readiness)
    assert (answer.status_code, answer.text) == (code, body)
    assert answer.headers["content-type"] == TEXT
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-cache, private"
    assert "x-bastion-error" not in answer.headers


def test_a_check_is_asked_anew_for_each_request_and_only_if_not_excluded() -> None:
    asked = []

    def check() -> None:
        asked.append(1)

    app = {"counted": check}
    ask("/readyz", readiness=app)
    ask("/readyz?exclude=counted", readiness=app)
    assert asked == [1]


@pytest.mark.parametrize(
    "path",
    ["/livez", "/readyz", "/healthz", "/readyz/informer-sync", "/metrics", "/version", "/openapi.json"],
)
def test_head_has_the_headers_of_get_and_no_body(path: Any) -> None:
    get, head = ask(path, readiness=MIXED), ask(path, "HEAD", readiness=MIXED)
    assert head.status_code == get.status_code
    assert head.headers == get.headers
    assert head.content == b""


MISSING = [
    "/nothing",
    "/docs",
    "/redoc",
    "/livez/",
    "/livez/informer-sync",
    "/readyz/%2e%2e/version",
    "/metrics/",
    "/version/",
    "//healthz",
    "/healthz%2f..",
    "/api/v1/namespaces/a/pods/b/proxy",
]


@pytest.mark.parametrize(
    ("method", "path"), [*(("GET", path) for path in MISSING), ("POST", "/nothing"), ("OPTIONS", "/nothing")]
)
def test_an_unknown_path_is_not_found(method: Any, path: Any) -> None:
    answer = ask(path, method, readiness=MIXED)
    assert_status(answer, 404, "NotFound", "the server could not find the requested resource")


@pytest.mark.parametrize("path", ["/livez", "/readyz/ping", "/metrics", "/version", "/openapi.json"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND"])
def test_only_get_and_head_are_taken(path: Any, method: Any) -> None:
    answer = ask(path, method)
    assert_status(
        answer, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"
    )
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("path", ["/readyz", "/readyz/broken", "/metrics"])
def test_an_unexpected_error_says_nothing_of_itself(path: Any) -> None:
    answer = ask(path, readiness={"broken": broken}, metrics=broken)
    assert_status(answer, 500, "InternalError", "Internal error occurred")
    assert "secret" not in answer.text


def assert_status(answer: Any, code: Any, reason: Any, message: Any) -> None:
    assert answer.status_code == code
    assert answer.headers["content-type"] == "application/json"
    status = json.loads(answer.content)
    assert answer.headers["x-bastion-error"] == status["details"]["causes"][0]["reason"]
    assert {key: status[key] for key in ("kind", "apiVersion", "status", "code", "reason", "message")} == {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": message,
    }


def test_metrics_are_prometheus_text() -> None:
    answer = ask("/metrics", metrics=lambda: b"# TYPE up gauge\nup 1.0\n")
    assert (answer.status_code, answer.content) == (200, b"# TYPE up gauge\nup 1.0\n")
    assert answer.headers["content-type"] == CONTENT_TYPE_LATEST


def test_version_is_one_that_kubernetes_clients_accept() -> None:
    answer = ask("/version")
    version = answer.json()
    assert version["gitVersion"] == f"v{__version__}"
    assert f"{version['major']}.{version['minor']}." in f"{__version__}."
    assert re.fullmatch(r"[a-z]+/[a-z0-9_]+", version["platform"])
    assert re.fullmatch(r"3\.\d+\.\d+\S*", version["pythonVersion"])
    wire_names = kubernetes.client.VersionInfo.attribute_map
    kubernetes.client.VersionInfo(**{name: version.get(wire) for name, wire in wire_names.items()})


def test_no_route_has_a_page_that_loads_from_elsewhere() -> None:
    app = create_app(FINE, FINE, bytes)  # type: ignore[arg-type]
    assert {route.path for route in app.routes} == {  # type: ignore[attr-defined]
        *(f"/{name}{rest}" for name in ("livez", "readyz", "healthz") for rest in ("", "/{check:path}")),
        "/metrics",
        "/version",
        "/openapi.json",
        "/login",
        "/logout",
        *(f"/login/{{provider}}{rest}" for rest in ("", "/callback", "/backchannel-logout")),
        "/ui/assets/{name}",
        *(route.path for route in ROUTES),
        "/favicon.ico",
        "/robots.txt",
        "/.bastion/jwks.json",
        "/.well-known/jwks.json",
        *(f"/.bastion/{name}" for name in ("handoff", "session", "logout", "")),
    }


# --- what keeps the origin the bastion's own (message.ownorigin)

OWN = [
    "/healthz",
    "/readyz/nothing",
    "/livez",
    "/metrics",
    "/version",
    "/openapi.json",
    "/nowhere",
    "/healthz?exclude=%zz",
    "/.bastion/x",
]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST"])
@pytest.mark.parametrize("path", OWN)
def test_nothing_of_its_own_answers_can_run_or_be_framed(path: Any, method: Any) -> None:
    for answer in (ask(path, method), ask(path, method, liveness=MIXED, readiness=MIXED, metrics=broken)):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert answer.headers.get_list("content-security-policy") == [
            answer.headers["content-security-policy"]
        ]
        assert answer.headers["cross-origin-opener-policy"] == "same-origin"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"
        assert answer.headers["x-content-type-options"] == "nosniff"
