"""Leases, by which several programs agree who does something.

They are in memory, beside the manifests and with revisions of their own: they change every second, and
lists of the others that are read page by page would expire.  A write names the version that it is based on
(as kube-apiserver's optimistic concurrency has it).
"""

from __future__ import annotations

from typing import Any

import orjson

from bastion.kube.status import StatusError, bad_request, quoted
from bastion.standalone.answers import conflict, not_found
from bastion.standalone.resources import COORDINATION, Key, Object, api_version
from bastion.standalone.store import Store
from bastion.standalone.watches import BOOKMARK_INTERVAL, Watches

MOST = 1000
LARGEST_NAME = 253
KIND, RESOURCE = "Lease", "leases"


class Leases:
    """`revision` is where counting starts."""

    def __init__(self, revision: int, bookmark_interval: float = BOOKMARK_INTERVAL) -> None:
        self.store = Store(revision)
        self.store.replace({}, "")  # what comes now are events
        self.watches = Watches(self.store, bookmark_interval)
        self._objects: dict[Key, Object] = {}

    def get(self, namespace: str, name: str) -> Object:
        """Raises StatusError 404."""
        found = self.store.get((RESOURCE, namespace, name))
        if found is None:
            raise not_found(f"{RESOURCE}.{COORDINATION}", name)
        return orjson.loads(found.body)  # type: ignore[no-any-return]

    def create(self, namespace: str, given: Any, time: str = "") -> Object:
        """Raises StatusError."""
        name = _checked(given, namespace)
        if (RESOURCE, namespace, name) in self._objects:
            message = f"{RESOURCE}.{COORDINATION} {quoted(name)} already exists"
            raise StatusError(409, "AlreadyExists", message)
        if len(self._objects) >= MOST:
            raise bad_request(f"more than {MOST} leases")
        return self._keep(namespace, name, given, time)

    def update(self, namespace: str, name: str, given: Any, time: str = "") -> Object:
        """Raises StatusError."""
        if _checked(given, namespace) != name:
            raise bad_request("the name of the object is not the one in the URL")
        there = self.get(namespace, name)
        version = given["metadata"].get("resourceVersion")
        if version and version != there["metadata"]["resourceVersion"]:
            raise conflict(f"{RESOURCE}.{COORDINATION}", name)
        return self._keep(namespace, name, given, time)

    def _keep(self, namespace: str, name: str, given: Any, time: str = "") -> Object:
        """`time` (RFC 3339) is the creation time of a new one."""
        metadata = {key: value for key, value in given["metadata"].items() if key != "resourceVersion"}
        self._objects[RESOURCE, namespace, name] = {
            "apiVersion": api_version(COORDINATION),
            "kind": KIND,
            "metadata": {**metadata, "namespace": namespace},
            "spec": given.get("spec") or {},
        }
        self.store.replace(self._objects, time)
        self.watches.notify()
        return self.get(namespace, name)


def _checked(given: Any, namespace: str) -> str:
    """The name.  Raises StatusError 400."""
    metadata = given.get("metadata") if isinstance(given, dict) else None
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not 0 < len(name) <= LARGEST_NAME:
        raise bad_request("metadata.name: is required")
    assert isinstance(metadata, dict)
    if given.get("kind", KIND) != KIND or metadata.get("namespace", namespace) != namespace:
        raise bad_request("not a Lease of this namespace")
    if not isinstance(given.get("spec") or {}, dict):
        raise bad_request("spec: is not an object")
    return name
