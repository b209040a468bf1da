"""· Server-side apply: what does an object become by what somebody wants of it, and whose are its fields?

Fields that another manager has set to another value are a conflict, which can be forced; fields that the same
manager applied before and no longer wants go, where nobody else has set them.
Source: sigs.k8s.io/structured-merge-diff `merge/update.go`.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import orjson

from bastion.kube.status import StatusError, bad_request, quoted
from bastion.standalone.fieldsets import NONE, Fields, Path, covers, shown
from bastion.standalone.managers import (
    UPDATE,
    Entry,
    Manager,
    Managers,
    difference,
    managers_of,
    owned,
    with_managers,
)
from bastion.standalone.objects import encode_strings, without_nulls
from bastion.standalone.resources import Object, Resource
from bastion.standalone.typed import Typed

KUBECTL, LAST_APPLIED = "kubectl", "kubectl.kubernetes.io/last-applied-configuration"


def wanted_of(resource: Resource, namespace: str, name: str, sent: Object) -> Object:
    """What is applied, without what says nothing.  Raises StatusError 400."""
    try:
        orjson.dumps(sent)  # YAML knows more than JSON
        wanted: Object = without_nulls(sent)
    except (TypeError, RecursionError) as error:
        raise bad_request(f"the body cannot be written as JSON: {error}") from None
    metadata = wanted.get("metadata")
    if not isinstance(metadata, dict):
        raise bad_request("metadata: must be an object")
    if metadata.get("managedFields"):
        raise bad_request("metadata.managedFields must be nil")
    if metadata.get("name", name) != name:
        raise bad_request("the name of the object is not the one in the URL")
    wanted["metadata"] = {**metadata, "name": name} | ({"namespace": namespace} if namespace else {})
    strings = wanted.get("stringData")
    if resource.kind == "Secret" and isinstance(strings, dict):
        if not all(isinstance(one, str) for one in strings.values()):
            raise bad_request("stringData: must have strings alone")
        encode_strings(wanted)
    return wanted


def applied(
    live: Object, wanted: Object, typed: Typed, target: tuple[Resource, Manager], time: str, *, force: bool
) -> Object:
    """The object with its managedFields.  Raises StatusError 409."""
    resource, manager = target
    managers = managers_of(live)
    fields = owned(wanted, typed, resource, manager)
    others = {one: entry for one, entry in managers.items() if one != manager}
    before = managers.get(manager, Entry(NONE, resource.api_version, time))
    merged = _merged(live, wanted, typed)
    gone = before.fields - fields
    kept = fields.union(*(one.fields for one in others.values()))
    for path in sorted(gone, key=len):  # items as a whole before what is in them
        if not _is_key(path) and not covers(kept, path):
            _remove(merged, path, typed, kept)
    changed, removed = difference(live, merged, typed, resource, manager)
    conflicts = {one: entry.fields & changed for one, entry in others.items() if entry.fields & changed}
    if conflicts and manager.name == KUBECTL:
        own = owned(_last_applied(live), typed, resource, manager)
        if not any(paths - own for paths in conflicts.values()):
            force = True
        elif not force:
            conflicts = {one: paths - own for one, paths in conflicts.items() if paths - own}
    if conflicts and not force:
        raise _conflict({one: sorted(paths) for one, paths in conflicts.items()}, managers)
    lost = frozenset[Path]().union(removed, *conflicts.values())
    result = {one: replace(entry, fields=entry.fields - lost) for one, entry in others.items()}
    if manager.name == KUBECTL and _last_applied(live):
        merged["metadata"]["annotations"][LAST_APPLIED] = orjson.dumps(wanted).decode() + "\n"
    when = time if fields != before.fields else before.time
    result[manager] = Entry(fields, resource.api_version, when)
    return with_managers(merged, result)


def _last_applied(live: Object) -> Object:
    """What `kubectl apply` last sent from the client's side, which is its user's to change from here too
    (`util/managedfields/internal/lastappliedmanager.go`); empty where that is not known.
    """
    try:
        found = orjson.loads((live["metadata"].get("annotations") or {}).get(LAST_APPLIED, "{}"))
    except (orjson.JSONDecodeError, AttributeError):
        return {}
    return found if isinstance(found, dict) else {}


# --- merging


def _merged(live: Any, wanted: Any, typed: Typed) -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict) and not typed.atomic:
        result = copy.deepcopy(live)
        for name, value in wanted.items():
            result[name] = _merged(live[name], value, typed.field(name)) if name in live else value
        return result
    if isinstance(live, list) and isinstance(wanted, list):
        before, after = typed.elements(live), typed.elements(wanted)
        if before is not None and after is not None:
            return [
                _merged(before[step], after[step], typed.item)
                if step in before and step in after
                else copy.deepcopy(before.get(step, after.get(step)))
                for step in dict.fromkeys((*before, *after))
            ]
    return copy.deepcopy(wanted)


def _is_key(path: Path) -> bool:
    """Of an item, which goes with the item alone."""
    *_, item, name = ("", *path)
    return item.startswith("k:") and name[2:] in orjson.loads(item[2:])


def _remove(object: Object, path: Path, typed: Typed, kept: Fields) -> None:
    """And what held it, where that is empty now, nobody's, and no item of a list."""
    holder: Any = object
    *above, last = path
    ways: list[tuple[Any, str]] = []
    for step in above:
        ways.append((holder, step))
        holder, typed = _at(holder, step, typed)
        if holder is None:
            return
    _drop(holder, last, typed)
    while ways and holder in ({}, []) and tuple(above) not in kept:
        above_it, step = ways.pop()
        above.pop()
        if not step.startswith("f:"):
            return
        above_it.pop(step[2:], None)
        holder = above_it


def _at(holder: Any, step: str, typed: Typed) -> tuple[Any, Typed]:
    if step.startswith("f:"):
        return (holder.get(step[2:]) if isinstance(holder, dict) else None), typed.field(step[2:])
    elements = typed.elements(holder) if isinstance(holder, list) else None
    return (elements or {}).get(step), typed.item


def _drop(holder: Any, step: str, typed: Typed) -> None:
    if step.startswith("f:"):
        if isinstance(holder, dict):
            holder.pop(step[2:], None)
    elif isinstance(holder, list) and step in (elements := typed.elements(holder) or {}):
        holder.remove(elements[step])


# --- conflicts (apimachinery `util/managedfields/internal/conflict.go`)


def _conflict(conflicts: dict[Manager, list[Path]], managers: Managers) -> StatusError:
    called = {one: _called(one, managers[one]) for one in conflicts}
    single = [(one, path) for one, paths in conflicts.items() for path in paths]
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {called[one]}", "field": shown(path)}
        for one, path in single
    ]
    if len(single) == 1:
        text = f"1 conflict: conflict with {called[single[0][0]]}: {shown(single[0][1])}"
    else:
        told = [
            "\n- ".join((f"conflicts with {called[one]}:", *map(shown, paths)))
            for one, paths in conflicts.items()
        ]
        text = f"{len(single)} conflicts: " + "\n".join(told)
    return StatusError(409, "Conflict", f"Apply failed with {text}", {"causes": causes})


def _called(manager: Manager, entry: Entry) -> str:
    called = quoted(manager.name)
    if manager.subresource:
        called += f" with subresource {quoted(manager.subresource)}"
    if manager.operation != UPDATE:
        return called
    return f"{called} using {entry.version}" + (f" at {entry.time}" if entry.time else "")
