"""The pages for people who are signed in, and the same as JSON: where each is reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.kube.status import StatusError
from bastion.web.health import SPANS
from bastion.web.live.events import Events
from bastion.web.ops.page import Operations
from bastion.web.portal.documents import CatalogList
from bastion.web.portal.page import Portal
from bastion.web.reader import Reader, Readers
from bastion.web.refusals import Refusals
from bastion.web.status.page import Status, StatusDocument
from bastion.web.target.page import TargetPage

Page = Callable[[Request, Reader], Awaitable[Response]]
PublicPage = Callable[[Request, Reader | None], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """`readers` say who reads, `refusals` what is said where a page cannot be shown."""

    readers: Readers
    refusals: Refusals
    portal: Portal
    target: TargetPage
    status: Status
    operations: Operations
    events: Events
    public_status: bool

    async def show(self, route: Route, request: Request) -> Response:
        try:
            if route.public is not None:
                return await route.public(self)(request, await self._anybody(request))
            assert route.page is not None
            return await route.page(self)(request, await self.readers.of(request))
        except StatusError as error:
            return self.refusals.answer(request, error, route.away(self) if route.away is not None else None)

    async def _anybody(self, request: Request) -> Reader | None:
        """None for a reader who is not known, where that is allowed.  Raises StatusError."""
        try:
            return await self.readers.of(request)
        except StatusError as error:
            if error.code == 401 and self.public_status:
                return None
            raise


@dataclass(frozen=True, slots=True)
class Document:
    """JSON, in OpenAPI."""

    operation: str
    summary: str
    model: type
    parameters: tuple[dict[str, Any], ...] = ()


def _parameter(name: str, description: str, **schema: Any) -> dict[str, Any]:
    return {
        "name": name,
        "in": "query",
        "description": description,
        "schema": {"type": "string", **schema},
    }


CATALOG = Document(
    "listCatalog",
    "What the caller may open: services, pods or nodes, with the state of each",
    CatalogList,
    (
        _parameter("q", "All of these words are in the title, name, namespace, ports or state."),
        _parameter("kind", "What is listed.", enum=["services", "pods", "nodes"], default="services"),
        _parameter("show", "Only what is degraded or down.", enum=["all", "trouble"], default="all"),
        _parameter("group", "Of this group only."),
        _parameter("by", "Groups are namespaces, whatever their owners say.", enum=["namespace"]),
        _parameter("limit", "At most so many.", type="integer", minimum=0),
    ),
)


STATUS = Document(
    "readStatus",
    "How everything is that the caller may open; with --public-status without credentials what is public",
    StatusDocument,
    (_parameter("span", "Of which the uptime is.", enum=[*SPANS], default="90d"),),
)


@dataclass(frozen=True, slots=True)
class Route:
    """Of `page` and `public` one: the second is also for readers who are not known, where that is on.  `away`
    is shown where the API server does not answer.
    """

    path: str
    page: Callable[[Site], Page] | None = None
    method: str = "GET"
    document: Document | None = None
    public: Callable[[Site], PublicPage] | None = None
    away: Callable[[Site], Callable[[Request], Response]] | None = None


ROUTES = (
    Route("/", lambda site: site.portal.page, away=lambda site: site.portal.away),
    Route("/ui/catalog", lambda site: site.portal.catalog, document=CATALOG),
    Route("/ui/events", lambda site: site.events.page),
    Route("/ui/namespaces/{namespace}/{resource}/{name}", lambda site: site.target.page),
    Route("/ui/nodes/{name}", lambda site: site.target.page),
    Route("/ui/ops", lambda site: site.operations.page),
    Route("/status", public=lambda site: site.status.page),
    Route("/status.json", public=lambda site: site.status.document, document=STATUS),
    Route("/status.rss", public=lambda site: site.status.feed),
    Route("/ui/streams/{id}/close", lambda site: site.target.close, "POST"),
)


def add_site(app: FastAPI, site: Site | None) -> None:
    """Without a site there are no such pages; the description has the documents all the same."""
    for route in ROUTES:
        for method in (route.method, "HEAD") if route.method == "GET" else (route.method,):
            _add(app, site, route, method)


def _add(app: FastAPI, site: Site | None, route: Route, method: str) -> None:
    async def endpoint(request: Request) -> Response:
        if site is None:
            raise HTTPException(404)
        return await site.show(route, request)

    document = route.document if method == "GET" else None
    app.add_api_route(
        route.path,
        endpoint,
        methods=[method],
        operation_id=document.operation if document is not None else None,
        summary=document.summary if document is not None else None,
        include_in_schema=document is not None,
        response_model=document.model if document is not None else None,
        openapi_extra={"parameters": list(document.parameters)} if document is not None else None,
        tags=["portal"],
    )
