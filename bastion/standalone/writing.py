"""Writes of objects: create, update, patch, delete, as kube-apiserver's generic registry has them.

What is written is in memory, over what the manifests say, until the program ends or the files say something
new of the same object.  No controller and no kubelet acts on it; only what the manifests have derived from
them (EndpointSlices, aggregated roles) follows.
"""

from __future__ import annotations

import secrets
import string
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import orjson

from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError, bad_request, quoted
from bastion.kube.user import User
from bastion.standalone import escalation
from bastion.standalone.answers import already_exists, conflict, not_found
from bastion.standalone.applying import applied, wanted_of
from bastion.standalone.definitions import typed
from bastion.standalone.managers import APPLY, Manager, managers_of, tracked, with_managers
from bastion.standalone.manifests import checked
from bastion.standalone.patches import Patch, patched
from bastion.standalone.resources import STATUS, Key, Object, Resource
from bastion.standalone.scale import scale_of, scaled
from bastion.standalone.schema import InvalidValue
from bastion.standalone.selectors import Selectors
from bastion.standalone.state import ClusterState
from bastion.standalone.store import StoredObject

STANDING = {"default", "kube-system", "kube-public", "kube-node-lease"}  # namespaces of every cluster
SERVERS_OWN = ("resourceVersion", "uid", "creationTimestamp", "generation", "deletionTimestamp")
LONGEST_GENERATED = 58  # characters of generateName that are kept, before five that are drawn
FIRST_STATUS: dict[str, Object] = {"Pod": {"phase": "Pending"}, "Namespace": {"phase": "Active"}}
_LETTERS = string.ascii_lowercase + string.digits


@dataclass(frozen=True, slots=True)
class Target:
    """What a write is to, and by whom.  `dry`: it is checked and answered, and nothing changes."""

    resource: Resource
    namespace: str
    name: str
    user: User
    manager: Manager
    dry: bool = False

    @property
    def key(self) -> Key:
        return self.resource.name, self.namespace, self.name


class Writing:
    """`now` gives the time (RFC 3339); `changed` is called after a change."""

    def __init__(self, state: ClusterState, now: Callable[[], str], changed: Callable[[], None]) -> None:
        self._state = state
        self._now = now
        self._changed = changed

    def create(self, target: Target, sent: Object) -> StoredObject:
        """Raises StatusError, as all of these."""
        resource, namespace = target.resource, target.namespace
        sent = _named(sent)
        key, object = _checked(resource, namespace, sent)
        if self._state.store.get(key) is not None:
            raise already_exists(resource, key[2])
        if resource.namespaced and namespace not in STANDING:
            self._there(("namespaces", "", namespace), "namespaces")
        self._check_rights(target.user, key, object)
        if resource.kind in FIRST_STATUS:
            object.setdefault("status", FIRST_STATUS[resource.kind])
        said = sent["metadata"].get("managedFields") if target.manager.operation == APPLY else None
        return self._keep(target, key, self._tracked(target, None, object, said))

    def apply(self, target: Target, wanted: Object, *, force: bool) -> StoredObject:
        """Server-side apply; creates what is not there."""
        there = self._state.store.get(target.key)
        wanted = wanted_of(target.resource, target.namespace, target.name, wanted)
        live = there.content if there is not None else {"metadata": {"name": target.name}}
        if there is not None:
            _require_version(target.resource, wanted, there)
        object = applied(
            live,
            wanted,
            typed(target.resource),
            (target.resource, target.manager),
            self._now(),
            force=force,
        )
        if there is None:
            return self.create(target, object)
        return self._replace(target, there, object)

    def update(self, target: Target, sent: Object) -> StoredObject:
        there = self._there(target.key, target.resource.qualified)
        return self._replace(target, there, sent)

    def patch(self, target: Target, patch: Patch) -> StoredObject:
        there = self._there(target.key, target.resource.qualified)
        return self._replace(target, there, patched(orjson.loads(there.body), patch))

    def status(self, target: Target, sent: Object | Patch) -> StoredObject:
        """Replaces or patches the status; the rest stays."""
        there = self._there(target.key, target.resource.qualified)
        if isinstance(sent, Patch):
            sent = patched(orjson.loads(there.body), sent)
        _require_version(target.resource, sent, there)
        status = sent.get("status") or {}
        if target.resource.name == "services" and not target.dry:
            self._state.write_status(target.key, status, self._now())
            self._changed()
            return self._state.store.get(target.key) or there
        _, object = _checked(target.resource, target.namespace, {**there.content, "status": status})
        object = _with_system_fields(object, there)
        said = (sent.get("metadata") or {}).get("managedFields")
        return self._keep(target, target.key, self._tracked(target, there.content, object, said))

    def scale(self, target: Target, sent: Object | Patch) -> StoredObject:
        """Writes the number of replicas; the rest stays."""
        there = self._there(target.key, target.resource.qualified)
        scale = scale_of(there.content, there.metadata)
        wanted = patched(scale, sent) if isinstance(sent, Patch) else sent
        _require_version(target.resource, wanted, there)
        object = scaled(there.content, wanted)
        return self._keep(target, target.key, self._tracked(target, there.content, object, None))

    def delete(self, target: Target, options: Object) -> tuple[StoredObject, bool]:
        """The object, and whether it is gone: finalizers keep it."""
        there = self._there(target.key, target.resource.qualified)
        wanted = options.get("preconditions") or {}
        for name in ("uid", "resourceVersion"):
            if wanted.get(name) and wanted[name] != there.metadata[name]:
                raise conflict(target.resource.qualified, target.name)
        if there.metadata.get("finalizers"):
            metadata = {**there.content["metadata"]}
            metadata.setdefault("deletionTimestamp", self._now())
            return self._keep(target, target.key, {**there.content, "metadata": metadata}), False
        if not target.dry:
            self._remove(target.key)
        return there, True

    def delete_all(self, target: Target, selection: Selectors) -> None:
        """All of a namespace (of all where it is empty) that are chosen."""
        for place, entry in list(self._state.store.now.tables.get(target.resource.name, {}).items()):
            if target.namespace in ("", place[0]) and selection.chooses(entry.metadata, entry.content):
                self.delete(replace(target, namespace=place[0], name=place[1]), {})

    # --- steps

    def _there(self, key: Key, qualified: str) -> StoredObject:
        entry = self._state.store.get(key)
        if entry is None:
            raise not_found(qualified, key[2])
        return entry

    def _replace(self, target: Target, there: StoredObject, sent: Object) -> StoredObject:
        _require_version(target.resource, sent, there)
        key, object = _checked(target.resource, target.namespace, sent)
        if key != target.key:
            raise bad_request("the name of the object is not the one in the URL")
        uid = (sent.get("metadata") or {}).get("uid")
        if uid and uid != there.metadata["uid"]:
            raise conflict(target.resource.qualified, target.name)
        object = _with_system_fields(object, there)
        if target.resource.name in STATUS:
            object.pop("status", None)
            if "status" in there.content:
                object["status"] = there.content["status"]
        if there.content.get("immutable") and _data(object) != _data(there.content):
            raise _invalid(target.resource, target.name, "data: field is immutable when `immutable` is set")
        self._check_rights(target.user, key, object)
        if there.metadata.get("deletionTimestamp") and not object["metadata"].get("finalizers"):
            if not target.dry:
                self._remove(key)
            return there
        said = sent["metadata"].get("managedFields")
        return self._keep(target, key, self._tracked(target, there.content, object, said))

    def _tracked(self, target: Target, old: Object | None, object: Object, said: Any) -> Object:
        """With its managedFields; an apply has said which these are."""
        if target.manager.operation == APPLY:
            return with_managers(object, managers_of({"metadata": {"managedFields": said}}))
        how = (target.resource, target.manager)
        return tracked(old, object, said, typed(target.resource), how, self._now())

    def _check_rights(self, user: User, key: Key, object: Object) -> None:
        role = None
        if key[0].endswith("rolebindings"):
            kind, name = object["roleRef"]["kind"], object["roleRef"]["name"]
            entry = self._state.store.get((escalation.ROLES[kind], key[1] if kind == "Role" else "", name))
            role = entry.content if entry is not None else None
        escalation.check(self._state.rbac, user, key, object, role)

    def _keep(self, target: Target, key: Key, object: Object) -> StoredObject:
        if target.dry:
            return self._state.store.preview(key, object, self._now())
        self._write({key: object})
        return self._state.store.get(key) or self._state.store.preview(key, object, self._now())

    def _remove(self, key: Key) -> None:
        """With a namespace goes all that is in it; one that was only mentioned stays when all of it goes."""
        changes: dict[Key, Object | None] = {key: None}
        tables = self._state.store.now.tables
        if key[0] == "namespaces":
            changes |= {
                (name, *place): None for name in tables for place in tables[name] if place[0] == key[2]
            }
        elif key[1] and (namespace := self._state.store.get(("namespaces", "", key[1]))) is not None:
            changes["namespaces", "", key[1]] = namespace.content
        self._write(changes)

    def _write(self, changes: dict[Key, Object | None]) -> None:
        self._state.write(changes, self._now())
        self._changed()


def target_of(asked: Attributes, resource: Resource, user: User, manager: Manager, *, dry: bool) -> Target:
    namespace = asked.namespace if resource.namespaced else ""
    return Target(resource, namespace, asked.name, user, manager, dry)


def _named(sent: Object) -> Object:
    """With a name drawn where only its beginning is given."""
    metadata = sent.get("metadata")
    if not isinstance(metadata, dict) or metadata.get("name") or not metadata.get("generateName"):
        return sent
    drawn = "".join(secrets.choice(_LETTERS) for _ in range(5))
    return {
        **sent,
        "metadata": {**metadata, "name": f"{metadata['generateName']!s:.{LONGEST_GENERATED}}{drawn}"},
    }


def _checked(resource: Resource, namespace: str, sent: Object) -> tuple[Key, Object]:
    for name, wanted in (("apiVersion", resource.api_version), ("kind", resource.kind)):
        if sent.get(name, wanted) != wanted:
            raise bad_request(f"{name}: must be {wanted}")
    metadata = sent.get("metadata")
    if not isinstance(metadata, dict):
        raise bad_request("metadata: must be an object")
    if resource.namespaced and metadata.get("namespace", namespace) != namespace:
        raise bad_request(
            "the namespace of the provided object does not match the namespace sent on the request"
        )
    own = {name: value for name, value in metadata.items() if name not in SERVERS_OWN}
    whole = {"apiVersion": resource.api_version, "kind": resource.kind, **sent}
    try:
        return checked(resource, {**whole, "metadata": {**own, "namespace": namespace}}, "")
    except InvalidValue as error:
        raise _invalid(resource, str(metadata.get("name") or ""), str(error)) from None


def _with_system_fields(object: Object, there: StoredObject) -> Object:
    """A client can set none of these; the files can."""
    given = there.content["metadata"]
    kept = {name: given[name] for name in SERVERS_OWN if name in given}
    return {**object, "metadata": {**object["metadata"], **kept}}


def _require_version(resource: Resource, sent: Object, there: StoredObject) -> None:
    """Of the object that the write is based on, where it says so."""
    metadata = sent.get("metadata")
    version = metadata.get("resourceVersion") if isinstance(metadata, dict) else None
    if version and version != there.metadata["resourceVersion"]:
        raise conflict(resource.qualified, there.metadata["name"])


def _data(object: Object) -> list[Any]:
    return [object.get(name) or {} for name in ("data", "binaryData")]


def _invalid(resource: Resource, name: str, wrong: str) -> StatusError:
    kind = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    field, _, message = wrong.partition(": ")
    causes = [{"reason": "FieldValueInvalid", "message": message, "field": field}]  # which kubectl prints
    details = {"name": name, "group": resource.group, "kind": resource.kind, "causes": causes}
    return StatusError(422, "Invalid", f"{kind} {quoted(name)} is invalid: {wrong}", details)
