"""With which keys does a backend verify X-Bastion-Assertion?  A JSON Web Key Set (RFC 7517)."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import FastAPI, Response

from bastion.http.ownpaths import KEYS, LONG_KEYS

HEADERS = {"Cache-Control": "public, max-age=300"}
KIND = "application/jwk-set+json"
_SUMMARY = "The public keys that verify `X-Bastion-Assertion`"


def no_keys() -> bytes:
    return b'{"keys": []}\n'


def add_keys(app: FastAPI, keys: Callable[[], bytes]) -> None:
    """The first of the paths is an API server's with --pass-through."""

    async def key_set() -> Response:
        return Response(keys(), headers=HEADERS, media_type=KIND)

    schema = {"type": "object", "properties": {"keys": {"type": "array", "items": {"type": "object"}}}}
    answers = {200: {"description": "A JSON Web Key Set", "content": {KIND: {"schema": schema}}}}
    for path, name in ((KEYS, "wellKnownKeys"), (LONG_KEYS, "assertionKeys")):
        for method in ("GET", "HEAD"):
            app.add_api_route(
                path.decode(),
                key_set,
                methods=[method],
                operation_id=name if method == "GET" else f"{name}Head",
                summary=_SUMMARY,
                responses=answers,  # type: ignore[arg-type]
                response_class=Response,
                tags=["bastion"],
            )
