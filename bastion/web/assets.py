"""The style sheet, the script and the icon of the pages, under names that change with their content."""

from __future__ import annotations

import gzip
import hashlib
from importlib.resources import files

import msgspec
from fastapi import FastAPI, HTTPException, Request, Response

STATIC = files("bastion.web") / "static"
TYPES = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
# On every host and with pass-through, too: nothing of an API server or an application is there.
FOLDER = "/.bastion/ui/assets/"
IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}


class Asset(msgspec.Struct, frozen=True):
    """`path` names its content, so that a browser never asks again."""

    path: str
    media_type: str
    body: bytes
    compressed: bytes


def _asset(name: str) -> Asset:
    body = (STATIC / name).read_bytes()
    stem, _, kind = name.rpartition(".")
    path = f"{FOLDER}{stem}.{hashlib.sha256(body).hexdigest()[:12]}.{kind}"
    return Asset(path, TYPES[kind], body, gzip.compress(body, 9, mtime=0))


STYLE, SCRIPT, ICON = (_asset(name) for name in ("style.css", "bastion.js", "icon.svg"))
ROBOTS = "User-agent: *\nDisallow: /\n"


def add_assets(app: FastAPI) -> None:
    """They need no credentials: a page that refuses has them, too."""
    by_name = {one.path.removeprefix(FOLDER): one for one in (STYLE, SCRIPT, ICON)}

    async def asset(name: str, request: Request) -> Response:
        found = by_name.get(name)
        if found is None:
            raise HTTPException(404)
        return _sent(found, request, IMMUTABLE)

    async def favicon(request: Request) -> Response:
        return _sent(ICON, request, {"Cache-Control": "public, max-age=86400", "Vary": "Accept-Encoding"})

    async def robots() -> Response:
        return Response(ROBOTS, media_type="text/plain", headers={"Cache-Control": "public, max-age=86400"})

    for path, endpoint in (
        ("/ui/assets/{name}", asset),
        ("/favicon.ico", favicon),
        ("/robots.txt", robots),
    ):
        app.add_api_route(
            path, endpoint, methods=["GET", "HEAD"], include_in_schema=False, response_model=None
        )


def _sent(asset: Asset, request: Request, headers: dict[str, str]) -> Response:
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers = headers | {"Content-Encoding": "gzip"}
        return Response(asset.compressed, media_type=asset.media_type, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
