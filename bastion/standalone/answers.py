"""How the embedded API answers: bodies of requests in, responses and the usual failures out."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from bastion.kube.status import CONTENT_TYPE, StatusError, quoted
from bastion.standalone.resources import Object, Resource

JSON = CONTENT_TYPE.decode()
LARGEST_BODY = 1 << 20  # bytes


async def body(request: Request) -> bytes:
    """Raises StatusError 413."""
    taken = bytearray()
    async for chunk in request.stream():
        taken += chunk
        if len(taken) > LARGEST_BODY:
            message = f"Request entity too large: limit is {LARGEST_BODY}"
            raise StatusError(413, "RequestEntityTooLarge", message, close=True)
    return bytes(taken)


def require_json_is_accepted(accept: str) -> None:
    """Raises StatusError 406."""
    kinds = [kind.partition(";")[0].strip() for kind in accept.split(",") if kind.strip()]
    if kinds and not {JSON, "application/*", "*/*"} & set(kinds):
        message = f"only the following media types are accepted: {JSON}, {JSON};stream=watch"
        raise StatusError(406, "NotAcceptable", message)


def json(value: Object, code: int = 200) -> Response:
    return Response(orjson.dumps(value) + b"\n", code, media_type=JSON)


def object_as_stored(stored: bytes, code: int = 200) -> Response:
    return Response(stored + b"\n", code, media_type=JSON)


def deleted(resource: Resource, name: str, uid: str) -> Object:
    details = {"name": name, "group": resource.group, "kind": resource.name, "uid": uid}
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {key: value for key, value in details.items() if value},
    }


def failure(error: StatusError) -> Response:
    response = Response(error.body(), error.code, media_type=JSON)
    for name, value in error.headers:
        response.headers[name.decode()] = value.decode()
    if error.close:
        response.headers["connection"] = "close"
    return response


def not_found(qualified: str, name: str) -> StatusError:
    """`qualified`: `pods`, `leases.coordination.k8s.io`."""
    plural, _, group = qualified.partition(".")
    details = {"name": name, "group": group, "kind": plural}
    message = f"{qualified} {quoted(name)} not found"
    return StatusError(404, "NotFound", message, {key: value for key, value in details.items() if value})


def already_exists(resource: Resource, name: str) -> StatusError:
    details = {"name": name, "group": resource.group, "kind": resource.name}
    return StatusError(409, "AlreadyExists", f"{resource.qualified} {quoted(name)} already exists", details)


def conflict(qualified: str, name: str) -> StatusError:
    return StatusError(
        409,
        "Conflict",
        f"Operation cannot be fulfilled on {qualified} {quoted(name)}: the object has been modified; please"
        " apply your changes to the latest version and try again",
    )
