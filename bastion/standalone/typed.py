"""· How is a value of this schema owned and merged: field by field, item by item, or as a whole?

Source: sigs.k8s.io/structured-merge-diff `schema`, and the x-kubernetes-… extensions of OpenAPI.  What has no
schema is merged as its shape says: objects by field, lists as a whole.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson

from bastion.standalone.resources import Object

PREFIX = "#/components/schemas/"
# The server fills these in before it looks at the keys of an item (`zz_generated.defaults.go`).
DEFAULTS = {"protocol": "TCP"}

Schemas = Callable[[str], Object]  # the schema of a name


class Typed:
    """One schema, and those that it refers to."""

    __slots__ = ("_of", "_schema")

    def __init__(self, schema: Object, of: Schemas) -> None:
        self._of = of
        self._schema = schema
        while isinstance(reference := self._schema.get("$ref"), str):
            self._schema = {**of(reference.removeprefix(PREFIX)), **_without_reference(self._schema)}

    @property
    def atomic(self) -> bool:
        return self._schema.get("x-kubernetes-map-type") == "atomic"

    def declares(self, name: str) -> bool:
        """Whether this is one of the fields, and not one of any number of keys."""
        return name in self._schema.get("properties", ())

    def field(self, name: str) -> Typed:
        """Of an object."""
        own = self._schema.get("properties", {}).get(name)
        others = self._schema.get("additionalProperties")
        return Typed(own or (others if isinstance(others, dict) else {}), self._of)

    @property
    def item(self) -> Typed:
        """Of a list."""
        return Typed(self._schema.get("items", {}), self._of)

    def elements(self, values: list[Any]) -> dict[str, Any] | None:
        """The items of a list by the names that they have in a set of fields; None where the list is one
        value.
        """
        kind = self._schema.get("x-kubernetes-list-type")
        if kind == "set":
            names = ["v:" + orjson.dumps(value).decode() for value in values]
        elif kind == "map":
            keys = self._schema.get("x-kubernetes-list-map-keys", ())
            names = [_key(value, keys) for value in values]
        else:
            return None
        found = dict(zip(names, values, strict=True))
        return None if "" in found or len(found) < len(values) else found


def _key(item: Any, keys: list[str]) -> str:
    """Empty where the item has none."""
    if not isinstance(item, dict):
        return ""
    found = {key: item.get(key, DEFAULTS.get(key)) for key in keys}
    if not found or all(value is None for value in found.values()):
        return ""
    named = {key: value for key, value in found.items() if value is not None}
    return "k:" + orjson.dumps(named, option=orjson.OPT_SORT_KEYS).decode()


def _without_reference(schema: Object) -> Object:
    return {name: value for name, value in schema.items() if name != "$ref"}
