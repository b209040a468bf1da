"""What Kubernetes' own OpenAPI says of the kinds that are served: fields, texts, how lists are merged.

The data are of Kubernetes 1.36 (Apache-2.0; `tools/definitions.py`), and read when they are needed first.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib import resources
from typing import Any

import orjson

from bastion.standalone.resources import Object, Resource
from bastion.standalone.typed import PREFIX, Typed

DATA = "definitions.json.gz"


@cache
def definitions() -> dict[str, Object]:
    """Name (`io.k8s.api.core.v1.Pod`) -> schema, as in the documents of OpenAPI v3."""
    data = resources.files(__package__).joinpath(DATA).read_bytes()
    found: dict[str, Object] = orjson.loads(gzip.decompress(data))
    return found


@cache
def _names() -> dict[tuple[str, str], str]:
    """(group, kind) -> name."""
    return {
        (one["group"], one["kind"]): name
        for name, schema in definitions().items()
        for one in schema.get("x-kubernetes-group-version-kind", ())
        if one["version"] == "v1"
    }


def typed(resource: Resource) -> Typed:
    """How its objects are merged.  Of a kind that is none of Kubernetes' own nothing is known."""
    name = _names().get((resource.group, resource.kind))
    return Typed(definitions()[name] if name is not None else {}, lambda other: definitions()[other])


def within(group: str, kinds: list[str]) -> dict[str, Object]:
    """These kinds' schemas, by name, and all that they refer to."""
    found: dict[str, Object] = {}
    todo = [name for kind in kinds if (name := _names().get((group, kind))) is not None]
    while todo:
        name = todo.pop()
        if name not in found:
            found[name] = definitions()[name]
            todo += _references(found[name])
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, list):
        return [name for inner in value for name in _references(inner)]
    if not isinstance(value, dict):
        return []
    reference = value.get("$ref")
    own = [reference.removeprefix(PREFIX)] if isinstance(reference, str) else []
    return own + [name for inner in value.values() for name in _references(inner)]
