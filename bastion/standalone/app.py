"""Serves one request to the API (ASGI): authenticates, authorizes, and answers it by the other modules."""

from __future__ import annotations

import datetime
import logging
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import api_call
from bastion.kube.status import (
    CONTENT_TYPE,
    StatusError,
    bad_request,
    forbidden,
    internal_error,
    method_not_allowed,
    no_such_route,
    quoted,
    unauthorized,
)
from bastion.kube.user import User
from bastion.standalone.asked import chosen, list_options, watch_options
from bastion.standalone.discovery import version
from bastion.standalone.leases import conflict
from bastion.standalone.lists import list_body
from bastion.standalone.objects import merged, read_object
from bastion.standalone.resources import BY_NAME, CREATE, READ, STATUS, WRITE, Object, Resource
from bastion.standalone.reviews import access_status, own_status, read_review, token_of, token_status
from bastion.standalone.state import ClusterState
from bastion.standalone.store import StoredObject
from bastion.standalone.watches import Watches

JSON = CONTENT_TYPE.decode()
LARGEST_BODY = 1 << 20  # bytes
READING = ("GET", "HEAD")
_METHODS = {CREATE: ("POST",), WRITE: ("GET", "POST", "PUT")}
HEALTH = ("/healthz", "/livez", "/readyz")

log = logging.getLogger("bastion.standalone")


class StandaloneApi:
    """`calls` counts the requests answered, by kind: `list pods`, `check pods`, `watch pods`, `get pods`,
    `tokenreviews`, …
    """

    def __init__(
        self, state: ClusterState, watches: Watches, discovery: Mapping[str, Object], calls: Counter[str]
    ) -> None:
        self._state = state
        self._watches = watches
        self._discovery = discovery
        self._calls = calls

    def close(self) -> None:
        """Ends the watches, which would keep their connections open."""
        self._watches.close()
        self._state.leases.watches.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except StatusError as error:
            response = _failure(error)
        except Exception as error:
            log.error("%s %s: %r", request.method, request.url.path, error)
            response = _failure(internal_error())
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path in HEALTH and request.method in READING:
            return PlainTextResponse("ok")
        if path.rstrip("/") == "/version" and request.method in READING:
            return _json(version())
        user = self._authenticate(request)
        asked = api_call(request.method, _target(request)).attributes
        allowed, reason = self._state.rbac.authorize(user, asked)
        if not allowed:
            raise forbidden(user.name, asked, reason)
        if not asked.resource:
            return self._document(request.method, asked.path)
        resource = _resource(asked)
        if asked.subresource:
            return await self._status(request, resource, asked)
        if asked.verb == "patch" and resource.name in STATUS:
            return await self._finalizers(request, resource, asked)
        if asked.verb not in resource.verbs:
            raise method_not_allowed(*_METHODS.get(resource.verbs, READING))
        _require_json_is_accepted(request.headers.get("accept", ""))
        if resource.name == "events":
            return await self._event(request)
        if resource.verbs == CREATE:
            return await self._review(request, resource, user)
        if resource.verbs == WRITE and asked.verb not in READ:
            return await self._lease(request, asked)
        return self._read(request, resource, asked)

    def _authenticate(self, request: Request) -> User:
        """Raises StatusError 401; 400 for an impersonation: ignoring it would act with more rights than was
        meant.
        """
        user = self._state.user(_bearer(request.headers.get("authorization", "")))
        if user is None:
            raise unauthorized()
        if any(name.startswith("impersonate-") for name in request.headers):
            raise bad_request("this API does not impersonate: use a token of the user's own")
        return user

    def _document(self, method: str, path: str) -> Response:
        document = self._discovery.get(path.rstrip("/") or "/")
        if document is None:
            raise no_such_route()
        if method not in READING:
            raise method_not_allowed(*READING)
        return _json(document)

    def _read(self, request: Request, resource: Resource, asked: Attributes) -> Response:
        namespace = asked.namespace if resource.namespaced else ""
        chosen(request.query_params).check(resource.name)
        leases = self._state.leases
        store, watches = (
            (leases.store, leases.watches) if resource.verbs == WRITE else (self._state.store, self._watches)
        )
        if asked.verb == "get":
            entry = store.get((resource.name, namespace, asked.name))
            self._calls[f"get {resource.name}"] += 1
            if entry is None:
                raise _not_found(resource, asked.name)
            return Response(entry.body + b"\n", media_type=JSON)
        if asked.verb == "watch":
            watch = watch_options(request.query_params)
            self._calls[f"watch {resource.name}"] += 1
            return StreamingResponse(watches.lines(resource, namespace, watch), media_type=JSON)
        body = list_body(store, resource, namespace, list_options(request.query_params))
        is_check = "resourceVersionMatch" in request.query_params  # an informer's, after its watch broke
        self._calls[f"{'check' if is_check else 'list'} {resource.name}"] += 1
        return Response(body, media_type=JSON)

    async def _event(self, request: Request) -> Response:
        """Said back as it came: nobody reads events here."""
        event = read_object(await _body(request), request.headers.get("content-type", JSON))
        self._calls["events"] += 1
        return _json(event, 201)

    async def _status(self, request: Request, resource: Resource, asked: Attributes) -> Response:
        """Reads, replaces or merges (RFC 7386) a status; what else an object says is a file's."""
        key = (resource.name, asked.namespace, asked.name)
        entry = self._state.store.get(key)
        if entry is None:
            raise _not_found(resource, asked.name)
        if asked.verb in ("update", "patch"):
            sent = read_object(await _body(request), request.headers.get("content-type", JSON))
            _require_version(resource, sent, entry)
            status = sent.get("status") or {}
            if asked.verb == "patch":
                status = merged(entry.content.get("status") or {}, status)
            self._state.write_status(key, status, _now())
            self._watches.notify()
            entry = self._state.store.get(key) or entry
        elif asked.verb != "get":
            raise method_not_allowed(*READING, "PUT", "PATCH")
        return Response(entry.body + b"\n", media_type=JSON)

    async def _finalizers(self, request: Request, resource: Resource, asked: Attributes) -> Response:
        """Of a merge patch (RFC 7386) that much is taken; what else an object says is a file's."""
        key = (resource.name, asked.namespace, asked.name)
        entry = self._state.store.get(key)
        if entry is None:
            raise _not_found(resource, asked.name)
        sent = read_object(await _body(request), request.headers.get("content-type", JSON))
        _require_version(resource, sent, entry)
        metadata = sent.get("metadata") or {}
        if "finalizers" in metadata:
            self._state.write_finalizers(key, list(metadata["finalizers"] or []), _now())
            self._watches.notify()
            entry = self._state.store.get(key) or entry
        return Response(entry.body + b"\n", media_type=JSON)

    async def _lease(self, request: Request, asked: Attributes) -> Response:
        leases = self._state.leases
        self._calls[f"{asked.verb} leases"] += 1
        try:
            given = orjson.loads(await _body(request))
        except orjson.JSONDecodeError as error:
            raise bad_request(f"the body is no JSON: {error}") from error
        if asked.verb == "create":
            return _json(leases.create(asked.namespace, given, _now()), 201)
        return _json(leases.update(asked.namespace, asked.name, given, _now()))

    async def _review(self, request: Request, resource: Resource, user: User) -> Response:
        review = read_review(await _body(request), request.headers.get("content-type", JSON), resource)
        if resource.name == "selfsubjectreviews":
            status = own_status(user)
        elif resource.name == "tokenreviews":
            status = token_status(self._state.user(token_of(review)))
        else:
            status = access_status(
                review, self._state.rbac, user if resource.name.startswith("self") else None
            )
        self._calls[resource.name] += 1
        head = {
            "kind": resource.kind,
            "apiVersion": resource.api_version,
            "metadata": review.get("metadata") or {},
        }
        return _json({**head, "spec": review.get("spec") or {}, "status": status}, 201)


def _bearer(authorization: str) -> str:
    """The token, empty where there is none (apiserver `authentication/request/bearertoken`)."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.partition(" ")[0] if scheme.lower() == "bearer" else ""


def _target(request: Request) -> bytes:
    scope = request.scope
    return bytes(scope["raw_path"]) + b"?" + bytes(scope["query_string"])


def _resource(asked: Attributes) -> Resource:
    resource = BY_NAME.get((asked.group, asked.resource)) if asked.version == "v1" else None
    if resource is None or (asked.subresource and not _has_status(resource, asked)):
        raise no_such_route()
    below_a_namespace = asked.namespace and resource.name != "namespaces"
    if (below_a_namespace and not resource.namespaced) or (asked.name and resource.verbs == CREATE):
        raise no_such_route()
    return resource


def _has_status(resource: Resource, asked: Attributes) -> bool:
    return asked.subresource == "status" and resource.name in STATUS


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _require_json_is_accepted(accept: str) -> None:
    kinds = [kind.partition(";")[0].strip() for kind in accept.split(",") if kind.strip()]
    if kinds and not {JSON, "application/*", "*/*"} & set(kinds):
        message = f"only the following media types are accepted: {JSON}, {JSON};stream=watch"
        raise StatusError(406, "NotAcceptable", message)


async def _body(request: Request) -> bytes:
    """Raises StatusError 413."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            message = f"Request entity too large: limit is {LARGEST_BODY}"
            raise StatusError(413, "RequestEntityTooLarge", message, close=True)
    return bytes(body)


def _not_found(resource: Resource, name: str) -> StatusError:
    details = {"name": name, "group": resource.group, "kind": resource.name}
    message = f"{resource.qualified} {quoted(name)} not found"
    return StatusError(404, "NotFound", message, {key: value for key, value in details.items() if value})


def _require_version(resource: Resource, sent: Mapping[str, Any], entry: StoredObject) -> None:
    """Of the object that the write is based on, where it says so.  Raises StatusError 409."""
    version = (sent.get("metadata") or {}).get("resourceVersion")
    if version and version != entry.metadata["resourceVersion"]:
        raise conflict(resource.qualified, entry.metadata["name"])


def _json(value: Object, code: int = 200) -> Response:
    return Response(orjson.dumps(value) + b"\n", code, media_type=JSON)


def _failure(error: StatusError) -> Response:
    response = Response(error.body(), error.code, media_type=JSON)
    for name, value in error.headers:
        response.headers[name.decode()] = value.decode()
    if error.close:
        response.headers["connection"] = "close"
    return response
