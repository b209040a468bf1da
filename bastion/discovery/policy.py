"""· What do the annotations of a Service or pod say?  Read once, and again when the object changes."""

from __future__ import annotations

from typing import TypeVar

from bastion.discovery.catalog import Catalog, Key
from bastion.kube.annotation import read

T = TypeVar("T")


def policy_of(catalog: Catalog, section: type[T], resource: str, key: Key) -> T:
    """A section of the table of annotations as an object says it; the defaults of one that is not known.

    `resource` is services or pods.
    """
    of_services = resource == "services"
    memo = catalog.memos.services if of_services else catalog.memos.pods
    known = memo.get(*key)
    found: T | None = known.get(section) if known is not None else None
    if found is None:
        object = catalog.services.get(key) if of_services else catalog.pods.get(key)
        found = read(section, object.metadata.annotations if object is not None else None)
        if object is not None:
            memo.of(*key)[section] = found
    return found
