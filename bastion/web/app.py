"""What does the bastion answer about itself?

Health, metrics, version and the description of its API, in kube-apiserver's words.

Proxied requests never come here: `server/` hands them to the gateway.  An answer to HEAD is that to GET; its
body is left out by the server, as ASGI has it.  Source: apiserver `server/healthz/healthz.go`, apimachinery
`version/types.go`.
"""

from __future__ import annotations

import platform
from collections.abc import Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.routing import Match, Route
from starlette.types import Receive, Scope, Send

from bastion import __version__
from bastion.kube.errors import ROUTE_NOT_FOUND, error_of, internal_error, method_not_allowed
from bastion.kube.errorwords import NOT_A_PROXY_PATH
from bastion.kube.status import CONTENT_TYPE, StatusError, quoted
from bastion.web.assets import add_assets
from bastion.web.guarded import guarding
from bastion.web.handoff import add_handoff
from bastion.web.issuers import add_issuers
from bastion.web.login import add_sign_in
from bastion.web.ownpaths import with_own_paths
from bastion.web.probed import with_probe_paths
from bastion.web.proxied import ERROR_ANSWER, with_proxied_paths
from bastion.web.site import Site, add_site
from bastion.web.visit import Desk

Check = Callable[[], str | None]

HEADERS = {"Cache-Control": "no-cache, private"}
METRICS = (
    "Metrics in Prometheus' text format, for those who may `get` this path unless"
    " --metrics-authorization=false"
)
SUMMARY = (
    "An apiserver-style bastion proxy for Kubernetes: pods, services and nodes over HTTP, under the cluster's"
    " own RBAC."
)

# Go's names, as every Kubernetes client expects them in version.Info.
_GO_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True, slots=True)
class VersionInfo:
    """`version.Info`; fields without a meaning here are empty, as generated clients want all of them."""

    major: str
    minor: str
    gitVersion: str
    gitCommit: str
    gitTreeState: str
    buildDate: str
    goVersion: str
    pythonVersion: str
    compiler: str
    platform: str


class Api(FastAPI):
    """A FastAPI whose description also has the proxied paths, which are not among its routes.

    Every response, also those that FastAPI makes itself, has the fields of the bastion's own responses.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await super().__call__(scope, receive, guarding(send) if scope["type"] == "http" else send)

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            self.openapi_schema = with_proxied_paths(with_probe_paths(with_own_paths(super().openapi())))
        return self.openapi_schema

    def setup(self) -> None:
        """FastAPI's own route would encode these 60 KB for each request, which takes 2 ms."""
        written: list[bytes] = []

        async def describe(request: Request) -> Response:
            if not written:
                written.append(bytes(JSONResponse(self.openapi()).body))
            return Response(written[0], media_type="application/json")

        self.add_route("/openapi.json", describe, include_in_schema=False)


def create_app(
    readiness: Mapping[str, Check],
    liveness: Mapping[str, Check],
    metrics: Callable[[], Awaitable[bytes]],
    desk: Desk | None = None,
    site: Site | None = None,
) -> FastAPI:
    """A check returns None when all is well, else a short reason that anyone may read.

    Checks are called on the event loop, so that what they read does not change meanwhile.  `metrics` returns
    Prometheus' text format.  Without a `desk` there is no signing in, without a `site` are no pages.
    """
    app = Api(
        title="bastion",
        summary=SUMMARY,
        version=__version__,
        license_info={"name": "Apache License 2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        responses={"default": ERROR_ANSWER},
    )
    for name, checks in (("livez", liveness), ("readyz", readiness), ("healthz", liveness)):
        _add_health(app, name, checks)
    _add_metrics(app, metrics)
    _add_version(app)
    add_sign_in(app, desk)
    add_handoff(app, desk)
    add_issuers(app, desk)
    add_assets(app)
    add_site(app, site)
    for status in (error_of(NOT_A_PROXY_PATH, ROUTE_NOT_FOUND, details={}), method_not_allowed()):
        app.add_exception_handler(status.code, _answering(status))
    app.add_exception_handler(Exception, _answering(internal_error()))
    app.openapi()  # made now: that takes longer than a request may
    return app


def version_info() -> VersionInfo:
    major, minor = __version__.split(".")[:2]
    machine = platform.machine().lower()
    return VersionInfo(
        major=major,
        minor=minor,
        gitVersion=f"v{__version__}",
        gitCommit="",
        gitTreeState="",
        buildDate="",
        goVersion="",
        pythonVersion=platform.python_version(),
        compiler=platform.python_implementation().lower(),
        platform=f"{platform.system().lower()}/{_GO_MACHINES.get(machine, machine)}",
    )


def health_report(name: str, checks: Mapping[str, Check], excluded: AbstractSet[str]) -> tuple[bool, str]:
    """Whether all checks pass that are not excluded, and a line for each check."""
    lines, passed = [], True
    for check, examine in checks.items():
        if check in excluded:
            lines.append(f"[+]{check} excluded: ok")
            continue
        reason = examine()
        passed = passed and reason is None
        lines.append(f"[+]{check} ok" if reason is None else f"[-]{check} failed: {reason}")
    if unknown := sorted(excluded - checks.keys()):
        lines.append(
            f"warn: some health checks cannot be excluded: no matches for {','.join(map(quoted, unknown))}"
        )
    lines.append(f"{name} check {'passed' if passed else 'failed'}")
    return passed, "\n".join(lines) + "\n"


def _add_health(app: FastAPI, name: str, checks: Mapping[str, Check]) -> None:
    async def all_checks(
        exclude: Annotated[list[str], Query(default_factory=list, description="Checks to leave out.")],
        verbose: Annotated[
            str | None, Query(description="A line for each check; the value does not matter.")
        ] = None,
    ) -> Response:
        passed, report = health_report(name, checks, frozenset(exclude))
        if not passed:
            return _plain(report, 500)
        return _plain("ok" if verbose is None else report)

    async def one_check(check: str) -> Response:
        if check not in checks:
            raise HTTPException(404)
        reason = checks[check]()
        return _plain("ok") if reason is None else _plain(f"internal server error: {reason}\n", 500)

    # The names of checks may have slashes, as kube-apiserver's have.
    _add_read(app, f"/{name}", all_checks, f"{name}All", "Whether all checks pass", _health_answers())
    _add_read(
        app, f"/{name}/{{check:path}}", one_check, f"{name}One", "Whether one check passes", _health_answers()
    )


def _add_metrics(app: FastAPI, metrics: Callable[[], Awaitable[bytes]]) -> None:
    async def scrape() -> Response:
        return Response(await metrics(), headers=HEADERS, media_type=CONTENT_TYPE_LATEST)

    _add_read(app, "/metrics", scrape, "metrics", METRICS, {200: _text("The metrics")})


def _add_version(app: FastAPI) -> None:
    info = version_info()

    async def version(response: Response) -> VersionInfo:
        response.headers.update(HEADERS)
        return info

    _add_read(app, "/version", version, "getCodeVersion", "The version of the bastion", {}, model=VersionInfo)


def _add_read(
    app: FastAPI,
    path: str,
    endpoint: Callable[..., Awaitable[object]],
    operation: str,
    summary: str,
    answers: dict[int | str, dict[str, Any]],
    *,
    model: type | None = None,
) -> None:
    # Two routes: FastAPI gives one route one operationId, and an operationId may stand in a description only
    # once.
    for method in ("GET", "HEAD"):
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            operation_id=operation if method == "GET" else f"{operation}Head",
            summary=summary,
            responses=answers,
            response_model=model,
            response_class=PlainTextResponse if model is None else app.router.default_response_class,
            tags=["bastion"],
        )


def _health_answers() -> dict[int | str, dict[str, Any]]:
    return {200: _text("All is well"), 500: _text("A check failed; its reason is given")}


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _plain(text: str, code: int = 200) -> Response:
    return PlainTextResponse(text, code, HEADERS)


def _answering(status: StatusError) -> Callable[[Request, Exception], Awaitable[Response]]:
    headers = HEADERS | {"X-Bastion-Error": status.name}

    async def answer(request: Request, _: Exception) -> Response:
        # RFC 9110 section 15.5.6 wants Allow; that kube-apiserver leaves it out is an accident of its router.
        allow = {"Allow": ", ".join(_allowed(request))} if status.code == 405 else {}
        return Response(status.body(), status.code, headers | allow, CONTENT_TYPE.decode())

    return answer


def _allowed(request: Request) -> list[str]:
    routes = (route for route in request.app.routes if isinstance(route, Route))
    return sorted(
        {
            method
            for route in routes
            if route.matches(request.scope)[0] is not Match.NONE
            for method in route.methods or ()
        }
    )
