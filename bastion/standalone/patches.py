"""· What does an object become by a patch?  JSON Patch (RFC 6902), merge patch (RFC 7386), strategic merge.

Strategic merge is Kubernetes' own: lists whose items have a name are merged item by item, and `$patch`,
`$retainKeys`, `$setElementOrder/…` and `$deleteFromPrimitiveList/…` say what to do otherwise.
Source: apimachinery `util/strategicpatch`; the keys are the `patchMergeKey` of `k8s.io/api`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bastion.kube.documents import documents
from bastion.kube.status import StatusError, bad_request
from bastion.standalone.objects import media_type, merged, read_json
from bastion.standalone.resources import Object

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"  # server-side apply: what is wanted, in YAML or JSON
PATCHES = (APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH)

MERGE_KEYS = {
    "conditions": "type",
    "containers": "name",
    "env": "name",
    "ephemeralContainers": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "initContainers": "name",
    "ownerReferences": "uid",
    "podIPs": "ip",
    "resourceClaims": "name",
    "secrets": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
MERGE_KEYS_OF_KIND = {
    ("Deployment", "ports"): "containerPort",
    ("Node", "addresses"): "type",
    ("Pod", "ports"): "containerPort",
    ("Service", "ports"): "port",
}
SETS = {"finalizers"}  # lists of words that are united
ORDER, DELETE_FROM = "$setElementOrder/", "$deleteFromPrimitiveList/"


@dataclass(frozen=True, slots=True)
class Patch:
    media_type: str
    content: Any


def read_patch(body: bytes, content_type: str) -> Patch:
    """Raises StatusError 400, 415."""
    kind = media_type(content_type)
    if kind not in PATCHES:
        message = f"{kind} is not a patch that is taken here: {', '.join(PATCHES)}"
        raise StatusError(415, "UnsupportedMediaType", message)
    content = _read_yaml(body) if kind == APPLY_PATCH else read_json(body)
    if kind != JSON_PATCH and not isinstance(content, dict):
        raise bad_request("the patch must be an object")
    return Patch(kind, content)


def _read_yaml(body: bytes) -> Any:
    try:
        found = [one.value for one in documents(body.decode())]
    except ValueError as error:  # of UTF-8 too
        raise bad_request(f"the body is not YAML: {error}") from error
    return found[0] if len(found) == 1 else None


def patched(object: Object, patch: Patch) -> Object:
    """Raises StatusError 400, 422."""
    if patch.media_type == STRATEGIC_PATCH:
        return strategic(object["kind"], object, patch.content)
    result: Any = (
        json_patched(object, patch.content)
        if patch.media_type == JSON_PATCH
        else merged(object, patch.content)
    )
    if not isinstance(result, dict):
        raise bad_request("the patch leaves no object")
    return result


# --- strategic merge


def strategic(kind: str, live: Object, patch: Object) -> Object:
    if patch.get("$patch") == "replace":
        return dict(_without_directives(patch))
    kept = patch.get("$retainKeys")
    result = {name: value for name, value in live.items() if kept is None or name in kept}
    for name, value in patch.items():
        if name.startswith(DELETE_FROM):
            field = name.removeprefix(DELETE_FROM)
            result[field] = [item for item in result.get(field) or [] if item not in value]
        elif name.startswith("$"):
            continue
        elif value is None or (isinstance(value, dict) and value.get("$patch") == "delete"):
            result.pop(name, None)
        elif isinstance(value, dict):
            there = result.get(name)
            result[name] = strategic(kind, there if isinstance(there, dict) else {}, value)
        elif isinstance(value, list):
            result[name] = _list(kind, name, result.get(name) or [], value)
        else:
            result[name] = value
    for name, order in patch.items():
        if name.startswith(ORDER) and (field := name.removeprefix(ORDER)) in result:
            result[field] = _ordered(result[field], order, merge_key(kind, field))
    return result


def merge_key(kind: str, field: str) -> str:
    """Of the items of a list; empty where the list is replaced whole."""
    return MERGE_KEYS_OF_KIND.get((kind, field)) or MERGE_KEYS.get(field, "")


def _list(kind: str, name: str, live: list[Any], patch: list[Any]) -> list[Any]:
    if name in SETS:
        return list(dict.fromkeys([*live, *patch]))
    key = merge_key(kind, name)
    if not key:
        return patch
    if any(isinstance(item, dict) and item.get("$patch") == "replace" for item in patch):
        return [item for item in patch if "$patch" not in item]
    result = list(live)
    for item in patch:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"the patch of {name} has an item without its merge key {key}")
        where = next((i for i, one in enumerate(result) if one.get(key) == item[key]), None)
        if item.get("$patch") == "delete":
            result = [one for one in result if one.get(key) != item[key]]
        elif where is None:
            result.append(_without_directives(item))
        else:
            result[where] = strategic(kind, result[where], item)
    return result


def _ordered(items: list[Any], order: list[Any], key: str) -> list[Any]:
    """Items that the order does not name stay behind those that it does."""
    wanted = [one.get(key) if isinstance(one, dict) else one for one in order]

    def place(item: Any) -> int:
        name = item.get(key) if isinstance(item, dict) else item
        return wanted.index(name) if name in wanted else len(wanted)

    return sorted(items, key=place)


def _without_directives(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: _without_directives(inner)
            for name, inner in value.items()
            if not name.startswith("$") and inner is not None
        }
    return [_without_directives(inner) for inner in value] if isinstance(value, list) else value


# --- JSON Patch


def json_patched(object: Object, operations: Any) -> Any:
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise bad_request("a JSON patch must be a list of operations")
    whole: Any = {"": copy.deepcopy(object)}
    for number, one in enumerate(operations):
        try:
            _OPERATIONS[one["op"]](whole, one)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = f"operation {number} ({one.get('op')} {one.get('path')}) cannot be done: {error}"
            raise StatusError(422, "Invalid", message) from None
    return whole.get("")


def _place(whole: Any, pointer: str) -> tuple[Any, str]:
    """What holds the value, and the value's name in it (RFC 6901)."""
    if pointer and not pointer.startswith("/"):
        raise ValueError("a path begins with /")
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")]
    for name in parents:
        whole = whole[_index(whole, name)]
    return whole, last


def _index(holder: Any, name: str) -> Any:
    if isinstance(holder, dict):
        return name
    if not isinstance(holder, list) or not (name.isascii() and name.isdecimal()):
        raise ValueError(f"there is no {name}")
    return int(name)


def _value(whole: Any, pointer: str) -> Any:
    holder, name = _place(whole, pointer)
    return holder[_index(holder, name)]


def _put(whole: Any, pointer: str, value: Any) -> None:
    holder, name = _place(whole, pointer)
    if isinstance(holder, list):
        where = len(holder) if name == "-" else _index(holder, name)
        if where > len(holder):
            raise IndexError(f"there is no {name}")
        holder.insert(where, value)
    else:
        holder[_index(holder, name)] = value


def _taken(whole: Any, pointer: str) -> Any:
    holder, name = _place(whole, pointer)
    return holder.pop(_index(holder, name))


def _replace(whole: Any, one: Object) -> None:
    holder, name = _place(whole, one["path"])
    where = _index(holder, name)
    holder[where]  # must be there
    holder[where] = one["value"]


def _test(whole: Any, one: Object) -> None:
    if _value(whole, one["path"]) != one["value"]:
        raise ValueError("the value is another")


_OPERATIONS: dict[str, Callable[[Any, Object], object]] = {
    "add": lambda whole, one: _put(whole, one["path"], one["value"]),
    "remove": lambda whole, one: _taken(whole, one["path"]),
    "replace": _replace,
    "move": lambda whole, one: _put(whole, one["path"], _taken(whole, one["from"])),
    "copy": lambda whole, one: _put(whole, one["path"], copy.deepcopy(_value(whole, one["from"]))),
    "test": _test,
}
