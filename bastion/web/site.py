"""The pages for people who are signed in, and the same as JSON: where each is reached."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request, Response

from bastion.kube.status import StatusError
from bastion.web.portal.documents import CatalogList
from bastion.web.portal.page import Portal
from bastion.web.reader import Reader, Readers
from bastion.web.refusals import Refusals

Page = Callable[[Request, Reader], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Site:
    """`readers` say who reads, `refusals` what is said where a page cannot be shown."""

    readers: Readers
    refusals: Refusals
    portal: Portal

    async def show(self, page: Page, request: Request) -> Response:
        try:
            return await page(request, await self.readers.of(request))
        except StatusError as error:
            return self.refusals.answer(request, error)


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


def add_site(app: FastAPI, site: Site | None) -> None:
    """Without a site there are no such pages; the description has the documents all the same."""
    _add(app, site, "/", lambda: site.portal.page if site is not None else _nothing)
    _add(app, site, "/ui/catalog", lambda: site.portal.catalog if site is not None else _nothing, CATALOG)


async def _nothing(request: Request, reader: Reader) -> Response:
    raise HTTPException(404)


def _add(
    app: FastAPI, site: Site | None, path: str, page: Callable[[], Page], document: Document | None = None
) -> None:
    async def endpoint(request: Request) -> Response:
        if site is None:
            raise HTTPException(404)
        return await site.show(page(), request)

    for method in ("GET", "HEAD"):
        described = document is not None and method == "GET"
        app.add_api_route(
            path,
            endpoint,
            methods=[method],
            operation_id=document.operation if document is not None and described else None,
            summary=document.summary if document is not None else None,
            include_in_schema=described,
            response_model=document.model if document is not None and described else None,
            openapi_extra={"parameters": list(document.parameters)} if document is not None else None,
            tags=["portal"],
        )
