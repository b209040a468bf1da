"""Answers one write of an object: which one, by whom, and what is sent back."""

from __future__ import annotations

import datetime
from collections import Counter
from dataclasses import replace

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, bad_request, forbidden, method_not_allowed
from bastion.kube.user import User
from bastion.standalone.answers import JSON, body, deleted, json, object_as_stored
from bastion.standalone.asked import chosen, is_dry, is_true
from bastion.standalone.managers import APPLY, UPDATE, Manager, manager_name
from bastion.standalone.objects import read_object
from bastion.standalone.patches import APPLY_PATCH, Patch, read_patch
from bastion.standalone.resources import READ, Object, Resource
from bastion.standalone.scale import scale_of
from bastion.standalone.state import ClusterState
from bastion.standalone.writing import Target, Writing, target_of

READING = ("GET", "HEAD")


class Writes:
    """`calls` counts them, by kind."""

    def __init__(self, state: ClusterState, writing: Writing, calls: Counter[str]) -> None:
        self._state = state
        self._writing = writing
        self._calls = calls

    async def serve(self, request: Request, resource: Resource, asked: Attributes, user: User) -> Response:
        """Raises StatusError."""
        verb, of_one = asked.verb, bool(asked.name)
        if (
            verb in READ
            or of_one is (verb in ("create", "deletecollection"))
            or (asked.subresource and verb == "delete")
            or (resource.namespaced and not asked.namespace)
        ):
            raise method_not_allowed(
                *READING, *(("PUT", "PATCH", "DELETE") if of_one else ("POST", "DELETE"))
            )
        self._calls[f"{verb} {resource.name}"] += 1
        content, kind = await body(request), request.headers.get("content-type", JSON)
        if verb in ("delete", "deletecollection"):
            target = _target(request, resource, asked, user)
            return self._delete(request, target, read_object(content, kind) if content else {})
        sent = read_patch(content, kind) if verb == "patch" else read_object(content, kind)
        if isinstance(sent, Patch) and sent.media_type == APPLY_PATCH:
            return self._apply(request, sent.content, resource, asked, user)
        target = _target(request, resource, asked, user)
        if asked.subresource == "scale":
            written = self._writing.scale(target, sent)
            return json(scale_of(written.content, written.metadata))
        if asked.subresource:
            written = self._writing.status(target, sent)
        elif isinstance(sent, Patch):
            written = self._writing.patch(target, sent)
        elif verb == "update":
            written = self._writing.update(target, sent)
        else:
            written = self._writing.create(target, sent)
        return object_as_stored(written.body, 201 if verb == "create" else 200)

    def _apply(
        self, request: Request, wanted: Object, resource: Resource, asked: Attributes, user: User
    ) -> Response:
        query = request.query_params
        if asked.subresource:
            raise bad_request(f"server-side apply to {asked.subresource} is not known here")
        if not query.get("fieldManager"):
            wrong = "fieldManager: Required value: is required for apply patch"
            raise StatusError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {wrong}')
        target = _target(request, resource, asked, user, APPLY)
        is_new = self._state.store.get(target.key) is None
        if is_new:  # what may only be changed may not be made
            create = msgspec.structs.replace(asked, verb="create")
            allowed, reason = self._state.rbac.authorize(user, create)
            if not allowed:
                raise forbidden(user.name, create, reason)
        written = self._writing.apply(target, wanted, force=is_true(query, "force"))
        return object_as_stored(written.body, 201 if is_new else 200)

    def _delete(self, request: Request, target: Target, options: Object) -> Response:
        if is_dry(options.get("dryRun") or ()):
            target = replace(target, dry=True)
        if not target.name:
            selection = chosen(request.query_params)
            selection.check(target.resource.name)
            self._writing.delete_all(target, selection)
            return json(deleted(target.resource, "", ""))
        entry, is_gone = self._writing.delete(target, options)
        if is_gone:
            return json(deleted(target.resource, target.name, entry.metadata["uid"]))
        return object_as_stored(entry.body)


def _target(
    request: Request, resource: Resource, asked: Attributes, user: User, operation: str = UPDATE
) -> Target:
    query = request.query_params
    name = manager_name(query.get("fieldManager", ""), request.headers.get("user-agent", ""))
    manager = Manager(name, operation, asked.subresource)
    return target_of(asked, resource, user, manager, dry=is_dry(query.getlist("dryRun")))


def now() -> str:
    return datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
