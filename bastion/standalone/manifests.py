"""What do the manifests on disk say?  Files in, checked objects out; all of them or none.

Kinds that are not served are left out and listed.  The store adds what an object lacks (uid, revision).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from bastion.kube.documents import Document, documents
from bastion.runtime.errors import StartError
from bastion.standalone.objects import encode_strings, without_nulls
from bastion.standalone.resources import BY_KIND, Key, Object, Resource, api_version
from bastion.standalone.schema import Check, InvalidValue
from bastion.standalone.shapes import shape

SUFFIXES = (".yaml", ".yml", ".json")
DEFAULT_NAMESPACE = "default"
SERVERS_OWN = ("resourceVersion", "managedFields", "selfLink")
SHAPES: dict[str, Check] = {r.kind: shape(r) for r in BY_KIND.values()}


class ManifestError(StartError):
    """`pods.yaml: document 3: spec.containers[0].ports[0].containerPort: must be …`"""


@dataclass(frozen=True, slots=True)
class Manifests:
    """`skipped`: (file, kind) of the objects that this API does not serve."""

    objects: dict[Key, Object] = field(default_factory=dict)
    skipped: frozenset[tuple[str, str]] = frozenset()


def load(paths: Sequence[Path]) -> Manifests:
    """Every object in these files and folders.  Raises ManifestError at the first mistake."""
    objects: dict[Key, Object] = {}
    places: dict[Key, str] = {}
    skipped: set[tuple[str, str]] = set()
    for file in manifest_files(paths):
        for place, document in _documents(file):
            try:
                for path, raw in _items(document.value, ""):
                    resource = _resource(raw, path)
                    if resource is None:
                        skipped.add((str(file), raw["kind"]))
                        continue
                    _refuse_repeated_names(document, path)
                    key, object = checked(resource, raw, path)
                    if key in objects:
                        raise InvalidValue(
                            f"{_called(key)} is already in {places[key]}", _at(path, "metadata.name")
                        )
                    objects[key], places[key] = object, place
            except InvalidValue as error:
                raise ManifestError(f"{place}: {error}") from None
    return Manifests(objects, frozenset(skipped))


def _at(path: str, field: str) -> str:
    return f"{path}.{field}" if path else field


def _called(key: Key) -> str:
    resource, namespace, name = key
    return f"{resource} {namespace}/{name}" if namespace else f"{resource} {name}"


# --- files


def manifest_files(paths: Sequence[Path]) -> list[Path]:
    """Files as given and those in folders, in order of name, none twice.

    Raises ManifestError where there is nothing.

    Names that begin with a dot are skipped: editors' temporary files, and the inner folders of a mounted
    ConfigMap.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in _inside(path) if path.is_dir() else (path,):
            if not file.exists():
                raise ManifestError(f"{file}: no such file or folder")
            found.setdefault(os.path.realpath(file), file)
    return list(found.values())


def _inside(folder: Path) -> list[Path]:
    found = []
    for root, folders, names in os.walk(folder, onerror=_unreadable):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(root, name) for name in names if name.endswith(SUFFIXES) and not name.startswith(".")]
    return sorted(found)


def _unreadable(error: OSError) -> None:
    raise ManifestError(f"{error.filename}: {error.strerror}") from error


def _documents(file: Path) -> Iterator[tuple[str, Document]]:
    """(`pods.yaml: document 3`, what it says), without empty documents."""
    number = 0
    try:
        for number, document in enumerate(documents(_text(file), as_json=file.suffix == ".json"), 1):
            if document.value is not None:
                yield f"{file}: document {number}", document
    except ValueError as error:
        raise ManifestError(f"{file}: document {number + 1}: {error}") from error


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ManifestError(f"{file}: is not UTF-8") from error


# --- objects


def _items(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The objects of a document, each with the path that leads to it: one, or those of a List or of a PodList
    and its kin.
    """
    typed = _kind_of_items(value)
    if typed is None:
        yield path, value
        return
    items = value.get("items") or []
    if not isinstance(items, list):
        raise InvalidValue("must be a list", _at(path, "items"))
    for index, item in enumerate(items):
        # An API server writes a list's kind once; its items have none.
        whole = {**typed, **item} if isinstance(item, dict) else item
        yield from _items(whole, _at(path, f"items[{index}]"))


def _kind_of_items(value: Any) -> Object | None:
    """Apiversion and kind of a list's items: empty where each says its own, None where this is no list that
    is served.
    """
    if (
        not isinstance(value, dict)
        or not isinstance(kind := value.get("kind"), str)
        or not kind.endswith("List")
    ):
        return None
    if kind == "List":
        return {}
    typed = {"apiVersion": value.get("apiVersion"), "kind": kind.removesuffix("List")}
    group = str(typed["apiVersion"]).rpartition("/")[0]
    return typed if (group, typed["kind"]) in BY_KIND else None


def _resource(raw: Any, path: str) -> Resource | None:
    """None for a kind that is not served.  Raises InvalidValue."""
    if not isinstance(raw, dict):
        raise InvalidValue("must be an object with apiVersion, kind and metadata", path)
    for name in ("apiVersion", "kind"):
        if not isinstance(raw.get(name), str) or not raw[name]:
            raise InvalidValue("must be a string" if raw.get(name) else "must be set", _at(path, name))
    group, _, version = raw["apiVersion"].rpartition("/")
    resource = BY_KIND.get((group, raw["kind"]))
    if resource is not None and version != "v1":
        raise InvalidValue(f"must be {api_version(group)} for a {resource.kind}", _at(path, "apiVersion"))
    return resource


def _refuse_repeated_names(document: Document, path: str) -> None:
    """Only in objects that are served: it is not known which of the two was meant."""
    for repeated in document.repeated:
        if repeated.startswith((_at(path, ""), f"{path}[") if path else ""):
            raise InvalidValue("is there twice", repeated)


def checked(resource: Resource, raw: Object, path: str) -> tuple[Key, Object]:
    """The object as it is kept.  Raises InvalidValue."""
    try:
        SHAPES[resource.kind](raw)
        object = without_nulls(raw)
        _refuse_what_is_no_json(object)
    except InvalidValue as error:
        raise (error.within(path) if path else error) from None
    except RecursionError:
        raise InvalidValue("is nested too deeply", path) from None
    metadata = object["metadata"]
    for name in SERVERS_OWN:
        metadata.pop(name, None)
    if resource.namespaced:
        metadata["namespace"] = metadata.get("namespace") or DEFAULT_NAMESPACE
    else:
        metadata.pop("namespace", None)
    if resource.kind == "Secret":
        object.setdefault("type", "Opaque")
        encode_strings(object)
    return (resource.name, metadata.get("namespace", ""), metadata["name"]), object


def _refuse_what_is_no_json(object: Object) -> None:
    try:
        orjson.dumps(object)
    except TypeError as error:  # an integer past 64 bits, !!binary, half a surrogate pair
        raise InvalidValue(f"cannot be written as JSON: {error}") from None
