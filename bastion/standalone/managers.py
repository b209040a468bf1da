"""· Who has set which field?  The managedFields of an object, as they are read, kept and written.

Source: apimachinery `util/managedfields`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bastion.kube.status import bad_request
from bastion.standalone.fieldsets import (
    NONE,
    Difference,
    Fields,
    Path,
    fields_of,
    read_fields,
    written_fields,
)
from bastion.standalone.resources import STATUS, Object, Resource
from bastion.standalone.typed import Typed

APPLY, UPDATE = "Apply", "Update"
LONGEST = 128  # characters of a manager's name
# Nobody owns what makes the object itself, and what the server writes.
_NOBODYS = {
    ("f:metadata", f"f:{name}")
    for name in (
        "creationTimestamp",
        "deletionTimestamp",
        "generation",
        "managedFields",
        "name",
        "namespace",
        "resourceVersion",
        "selfLink",
        "uid",
    )
}


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes: its name, how, and the subresource that it writes to."""

    name: str
    operation: str = UPDATE
    subresource: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What one manager has set, and when it last set another field."""

    fields: Fields
    version: str
    time: str


Managers = dict[Manager, Entry]


def manager_name(given: str, user_agent: str) -> str:
    """Of `fieldManager`, or else the program of the User-Agent."""
    return (given or user_agent.partition("/")[0])[:LONGEST]


def managers_of(object: Object) -> Managers:
    """Raises StatusError 400: a client has sent what is none."""
    entries = object["metadata"].get("managedFields") or []
    try:
        return {
            Manager(one.get("manager", ""), one["operation"], one.get("subresource", "")): Entry(
                read_fields(one.get("fieldsV1", {})), one.get("apiVersion", ""), one.get("time", "")
            )
            for one in entries
            if one
        }
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise bad_request(f"metadata.managedFields: cannot be read: {error}") from None


def with_managers(object: Object, managers: Managers) -> Object:
    """Applied ones first, then by time, as kube-apiserver orders them."""
    ordered = sorted(
        (one for one in managers.items() if one[1].fields),
        key=lambda one: (one[0].operation, one[1].time, one[0].name, one[0].subresource),
    )
    metadata = {name: value for name, value in object["metadata"].items() if name != "managedFields"}
    if ordered:
        metadata["managedFields"] = [_written(*one) for one in ordered]
    return {**object, "metadata": metadata}


def _written(manager: Manager, entry: Entry) -> Object:
    written: Object = {
        "manager": manager.name,
        "operation": manager.operation,
        "apiVersion": entry.version,
        "time": entry.time,
        "fieldsType": "FieldsV1",
        "fieldsV1": written_fields(entry.fields),
        "subresource": manager.subresource,
    }
    return {name: value for name, value in written.items() if value}


def owned(object: Any, typed: Typed, resource: Resource, manager: Manager) -> Fields:
    """The fields of what is applied that become its manager's."""
    return frozenset(_counting(fields_of(object, typed), resource, manager))


def _counting(paths: Any, resource: Resource, manager: Manager) -> set[Path]:
    found = {path for path in paths if path[:1] not in (("f:apiVersion",), ("f:kind",), ())}
    found = {path for path in found if path[:2] not in _NOBODYS and path != ("f:metadata",)}
    if manager.subresource == "status":
        return {path for path in found if path[0] == "f:status"}
    return {path for path in found if path[0] != "f:status" or resource.name not in STATUS}


def difference(
    old: Object | None, new: Object, typed: Typed, resource: Resource, manager: Manager
) -> tuple[Fields, Fields]:
    """(what is changed, what is gone)."""
    both = Difference(_compared(old) if old is not None else {}, _compared(new), typed)
    return (
        frozenset(_counting(both.changed, resource, manager)),
        frozenset(_counting(both.removed, resource, manager)),
    )


def _compared(object: Object) -> Object:
    metadata = object.get("metadata") or {}
    return {**object, "metadata": {k: v for k, v in metadata.items() if k != "managedFields"}}


def tracked(
    old: Object | None, new: Object, said: Any, typed: Typed, target: tuple[Resource, Manager], time: str
) -> Object:
    """After a write that is no apply.  `said`: what its client sent as managedFields, None where nothing."""
    resource, manager = target
    managers: Managers = {}
    if said is not None or old is not None:
        managers = managers_of({"metadata": {"managedFields": said}} if said is not None else old or {})
    changed, removed = difference(old, new, typed, resource, manager)
    return with_managers(new, _updated(managers, manager, changed, removed, (resource.api_version, time)))


def _updated(
    managers: Managers,
    manager: Manager,
    changed: Fields,
    removed: Fields,
    stamp: tuple[str, str],
) -> Managers:
    """What is changed is its manager's alone.  `stamp`: the version that was written in, and when."""
    version, time = stamp
    lost = changed | removed
    result = {one: replace(entry, fields=entry.fields - lost) for one, entry in managers.items()}
    before = managers.get(manager, Entry(NONE, version, time)).fields
    fields = (before | changed) - removed
    if fields != before:
        result[manager] = Entry(fields, version, time)
    elif manager in managers:
        result[manager] = managers[manager]
    return result
