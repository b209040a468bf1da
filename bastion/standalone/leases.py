"""Leases: the one kind of object that is written here, so that several bastions can agree who does something.

They are in memory, beside the manifests; a write names the version that it is based on (as kube-apiserver's
optimistic concurrency has it).
"""

from __future__ import annotations

from typing import Any

from bastion.kube.status import StatusError, bad_request, quoted
from bastion.standalone.resources import COORDINATION, Object, api_version

MOST = 1000
LARGEST_NAME = 253
KIND, RESOURCE = "Lease", "leases"


class Leases:
    """`revision` is where counting starts."""

    def __init__(self, revision: int) -> None:
        self._revision = revision
        self._objects: dict[tuple[str, str], Object] = {}

    def get(self, namespace: str, name: str) -> Object:
        """Raises StatusError 404."""
        found = self._objects.get((namespace, name))
        if found is None:
            details = {"name": name, "group": COORDINATION, "kind": RESOURCE}
            raise StatusError(404, "NotFound", f"{RESOURCE}.{COORDINATION} {quoted(name)} not found", details)
        return found

    def create(self, namespace: str, given: Any) -> Object:
        """Raises StatusError."""
        name = _checked(given, namespace)
        if (namespace, name) in self._objects:
            message = f"{RESOURCE}.{COORDINATION} {quoted(name)} already exists"
            raise StatusError(409, "AlreadyExists", message)
        if len(self._objects) >= MOST:
            raise bad_request(f"more than {MOST} leases")
        return self._keep(namespace, name, given)

    def update(self, namespace: str, name: str, given: Any) -> Object:
        """Raises StatusError."""
        if _checked(given, namespace) != name:
            raise bad_request("the name of the object is not the one in the URL")
        there = self.get(namespace, name)
        version = given["metadata"].get("resourceVersion")
        if version and version != there["metadata"]["resourceVersion"]:
            message = (
                f"Operation cannot be fulfilled on {RESOURCE}.{COORDINATION} {quoted(name)}: the object has"
                " been modified; please apply your changes to the latest version and try again"
            )
            raise StatusError(409, "Conflict", message)
        return self._keep(namespace, name, given)

    def _keep(self, namespace: str, name: str, given: Any) -> Object:
        self._revision += 1
        metadata = {**given["metadata"], "namespace": namespace, "resourceVersion": str(self._revision)}
        kept = {
            "apiVersion": api_version(COORDINATION),
            "kind": KIND,
            "metadata": metadata,
            "spec": given.get("spec") or {},
        }
        self._objects[(namespace, name)] = kept
        return kept


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
