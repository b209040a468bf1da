"""· Sets of fields: which an object has, in which two differ, and how managedFields write them (FieldsV1).

A path is a tuple of steps: `f:name` to a field, `k:{…}` and `v:…` to an item of a list.  Source:
sigs.k8s.io/structured-merge-diff `fieldpath` and `typed`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

from bastion.standalone.resources import Object
from bastion.standalone.typed import Typed

Path = tuple[str, ...]
Fields = frozenset[Path]
NONE: Fields = frozenset()


def fields_of(value: Any, typed: Typed) -> Fields:
    """What is owned by whom applies this."""
    found: set[Path] = set()
    _walk(value, typed, (), found)
    return frozenset(found)


def _walk(value: Any, typed: Typed, path: Path, found: set[Path]) -> None:
    if isinstance(value, dict) and value and not typed.atomic:
        for name, inner in value.items():
            below = (*path, f"f:{name}")
            _walk(inner, typed.field(name), below, found)
            if path and not typed.declares(name):
                found.add(below)
        return
    elements = typed.elements(value) if isinstance(value, list) else None
    if not elements:  # one value, or none at all
        found.add(path)
        return
    for step, item in elements.items():
        below = (*path, step)
        found.add(below)
        if step.startswith("k:"):
            _walk(item, typed.item, below, found)


class Difference:
    """`changed`: fields that are new or have another value; `removed`: those that are gone."""

    def __init__(self, old: Any, new: Any, typed: Typed) -> None:
        self.changed: set[Path] = set()
        self.removed: set[Path] = set()
        self._compare(old, new, typed, ())

    def _compare(self, old: Any, new: Any, typed: Typed, path: Path) -> None:
        if old == new:
            return
        before, after = _parts(old, typed), _parts(new, typed)
        if before is None or after is None or not (before or after):
            if new is None:
                self.removed |= _all(old, typed, path)
            elif old is None:
                self.changed |= _all(new, typed, path)
            else:
                self.changed.add(path)
            return
        for step in before.keys() | after.keys():
            below = (*path, step)
            of = typed.field(step[2:]) if step.startswith("f:") else typed.item
            if step not in after:
                self.removed |= {below} | _all(before[step], of, below)
            elif step not in before:
                self.changed |= _all(after[step], of, below)
            else:
                self._compare(before[step], after[step], of, below)


def _all(value: Any, typed: Typed, path: Path) -> set[Path]:
    """The fields of a value that is new or gone; of an item, and of an object of any keys, itself too."""
    found: set[Path] = set()
    _walk(value, typed, path, found)
    if path and path[-1][:2] in ("k:", "v:"):
        found.add(path)
    if isinstance(value, dict) and not all(map(typed.declares, value)):
        found.add(path)
    return found


def _parts(value: Any, typed: Typed) -> dict[str, Any] | None:
    """None for what is one value."""
    if isinstance(value, dict) and not typed.atomic:
        return {f"f:{name}": inner for name, inner in value.items()}
    return typed.elements(value) if isinstance(value, list) else None


# --- as they are written


def read_fields(written: Any) -> Fields:
    """Raises ValueError where this is no FieldsV1."""
    found: set[Path] = set()
    _read(written, (), found)
    return frozenset(found)


def _read(written: Any, path: Path, found: set[Path]) -> None:
    if not isinstance(written, dict):
        raise ValueError("fieldsV1 must be objects")
    if path and (not written or "." in written):
        found.add(path)
    for step, below in written.items():
        if step != ".":
            _require_step(step)
            _read(below, (*path, step), found)


def _require_step(step: str) -> None:
    """Raises ValueError."""
    kind, rest = step[:2], step[2:]
    value = orjson.loads(rest) if kind in ("k:", "v:") else {}
    if kind not in ("f:", "k:", "v:") or (kind == "k:" and not isinstance(value, dict)):
        raise ValueError(f"fieldsV1: {step[:64]} is no field")


def written_fields(fields: Fields) -> Object:
    result: Object = {}
    for path in sorted(fields):
        at = result
        for step in path:
            at = at.setdefault(step, {})
        at["."] = {}
    return _without_dots(result)


def _without_dots(tree: Object) -> Object:
    """`.` says that what has others below it is owned itself."""
    below = {step: _without_dots(inner) for step, inner in tree.items() if step != "."}
    return {".": {}, **below} if "." in tree and below else below


def covers(fields: Iterable[Path], path: Path) -> bool:
    """Whether one of the fields is this or below it."""
    return any(one[: len(path)] == path for one in fields)


def shown(path: Path) -> str:
    """`.spec.containers[name="a"].image`"""
    text = ""
    for step in path:
        kind, rest = step[:2], step[2:]
        if kind == "f:":
            text += f".{rest}"
        elif kind == "v:":
            text += f"[={rest}]"
        else:
            keys = orjson.loads(rest)
            text += (
                "[" + ",".join(f"{key}={orjson.dumps(value).decode()}" for key, value in keys.items()) + "]"
            )
    return text
