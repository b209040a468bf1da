"""Serves one request to the API (ASGI): authenticates, authorizes, and answers it by the other modules."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import api_call
from bastion.kube.status import (
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
from bastion.standalone.answers import (
    JSON,
    body,
    failure,
    json,
    not_found,
    object_as_stored,
    require_json_is_accepted,
)
from bastion.standalone.asked import Query, chosen, list_options, watch_options
from bastion.standalone.discovery import version
from bastion.standalone.lists import list_body
from bastion.standalone.objects import read_json, read_object
from bastion.standalone.openapi import whole
from bastion.standalone.resources import (
    BY_NAME,
    CREATE,
    NEED_A_KUBELET,
    NOT_KEPT,
    OBJECT,
    READ,
    SCALED,
    STATUS,
    WRITE,
    Object,
    Resource,
)
from bastion.standalone.reviews import (
    access_status,
    own_status,
    read_review,
    rules_status,
    token_of,
    token_status,
)
from bastion.standalone.scale import scale_of
from bastion.standalone.state import ClusterState
from bastion.standalone.watches import Watches
from bastion.standalone.writes import READING, Writes, now
from bastion.standalone.writing import Writing

_METHODS = {CREATE: ("POST",), NOT_KEPT: ("GET", "POST"), WRITE: ("GET", "POST", "PUT")}
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
        self._writes = Writes(state, Writing(state, now, watches.notify), calls)

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
            response = failure(error)
        except Exception as error:
            log.error("%s %s: %r", request.method, request.url.path, error)
            response = failure(internal_error())
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = request.scope["path"]
        if path in HEALTH and request.method in READING:
            return PlainTextResponse("ok")
        if path.rstrip("/") == "/version" and request.method in READING:
            return json(version())
        user = self._authenticate(request)
        asked = api_call(request.method, _target(request)).attributes
        allowed, reason = self._state.rbac.authorize(user, asked)
        if not allowed:
            raise forbidden(user.name, asked, reason)
        if not asked.resource:
            return self._document(request.method, asked.path)
        resource = _resource(asked)
        if asked.subresource in NEED_A_KUBELET:
            raise self._no_kubelet(resource, asked)
        if asked.verb not in resource.verbs:
            raise method_not_allowed(*_METHODS.get(resource.verbs, READING))
        require_json_is_accepted(request.headers.get("accept", ""))
        if resource.name == "events" and asked.verb == "create":
            return await self._event(request)
        if resource.verbs == CREATE:
            return await self._review(request, resource, user)
        if resource.verbs == WRITE and asked.verb not in READ:
            return await self._lease(request, asked)
        if resource.verbs == OBJECT and (
            asked.verb not in READ or (asked.subresource and asked.verb != "get")
        ):
            return await self._writes.serve(request, resource, asked, user)
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
        return json(whole(path, document))

    def _read(self, request: Request, resource: Resource, asked: Attributes) -> Response:
        namespace = asked.namespace if resource.namespaced else ""
        query: Query = request.query_params
        if resource.name == "events":  # there are none, whichever fields are asked for
            query = {name: value for name, value in query.items() if name != "fieldSelector"}
        chosen(query).check(resource.name)
        leases = self._state.leases
        store, watches = (
            (leases.store, leases.watches) if resource.verbs == WRITE else (self._state.store, self._watches)
        )
        if asked.verb == "get":
            entry = store.get((resource.name, namespace, asked.name))
            self._calls[f"get {resource.name}"] += 1
            if entry is None:
                raise not_found(resource.qualified, asked.name)
            if asked.subresource == "scale":
                return json(scale_of(entry.content, entry.metadata))
            return object_as_stored(entry.body)
        if asked.verb == "watch":
            watch = watch_options(query)
            self._calls[f"watch {resource.name}"] += 1
            return StreamingResponse(watches.lines(resource, namespace, watch), media_type=JSON)
        found = list_body(store, resource, namespace, list_options(query))
        is_check = "resourceVersionMatch" in query  # an informer's, after its watch broke
        self._calls[f"{'check' if is_check else 'list'} {resource.name}"] += 1
        return Response(found, media_type=JSON)

    async def _event(self, request: Request) -> Response:
        """Said back as it came: nobody reads events here."""
        event = read_object(await body(request), request.headers.get("content-type", JSON))
        self._calls["events"] += 1
        return json(event, 201)

    def _no_kubelet(self, resource: Resource, asked: Attributes) -> StatusError:
        if self._state.store.get((resource.name, asked.namespace, asked.name)) is None:
            return not_found(resource.qualified, asked.name)
        return bad_request(
            f"pod {quoted(asked.name)} runs nowhere: bastion standalone has no kubelet, so that there is no"
            f" {asked.subresource}"
        )

    async def _lease(self, request: Request, asked: Attributes) -> Response:
        leases = self._state.leases
        self._calls[f"{asked.verb} leases"] += 1
        given = read_json(await body(request))
        if asked.verb == "create":
            return json(leases.create(asked.namespace, given, now()), 201)
        return json(leases.update(asked.namespace, asked.name, given, now()))

    async def _review(self, request: Request, resource: Resource, user: User) -> Response:
        review = read_review(await body(request), request.headers.get("content-type", JSON), resource)
        if resource.name == "selfsubjectreviews":
            status = own_status(user)
        elif resource.name == "selfsubjectrulesreviews":
            status = rules_status(review, self._state.rbac, user)
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
        return json({**head, "spec": review.get("spec") or {}, "status": status}, 201)


def _bearer(authorization: str) -> str:
    """The token, empty where there is none (apiserver `authentication/request/bearertoken`)."""
    scheme, _, rest = authorization.strip().partition(" ")
    return rest.partition(" ")[0] if scheme.lower() == "bearer" else ""


def _target(request: Request) -> bytes:
    scope = request.scope
    return bytes(scope["raw_path"]) + b"?" + bytes(scope["query_string"])


def _resource(asked: Attributes) -> Resource:
    resource = BY_NAME.get((asked.group, asked.resource)) if asked.version == "v1" else None
    if resource is None or (asked.subresource and not _has_subresource(resource, asked)):
        raise no_such_route()
    below_a_namespace = asked.namespace and resource.name != "namespaces"
    if (below_a_namespace and not resource.namespaced) or (asked.name and resource.verbs == CREATE):
        raise no_such_route()
    return resource


def _has_subresource(resource: Resource, asked: Attributes) -> bool:
    if asked.subresource in NEED_A_KUBELET:
        return resource.name == "pods" and bool(asked.name)
    return resource.name in {"status": STATUS, "scale": SCALED}.get(asked.subresource, ())
