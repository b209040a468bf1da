"""Which documents does a file hold?  YAML and JSON as Kubernetes reads them: strict about keys, a date is a string."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import yaml

from bastion.standalone.schema import Invalid


def documents(text: str, *, as_json: bool) -> Iterator[Any]:
    """What each document says, None for an empty one.

    Raises ValueError with a message of one line at the first document that cannot be read; those before it were given out.
    """
    try:
        yield from _json(text) if as_json else _yaml(text)
    except Invalid as error:
        raise ValueError(str(error)) from None
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ValueError(f"{line}{error.problem}") from error
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from error
    except json.JSONDecodeError as error:
        raise ValueError(f"line {error.lineno}: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("is nested too deeply") from error


def _json(text: str) -> Iterator[Any]:
    if text.strip():
        yield json.loads(text, object_pairs_hook=_object_of)


def _object_of(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        raise Invalid("is there twice", next(name for name in names if names.count(name) > 1))
    return made


class _Loader(yaml.CSafeLoader):
    """A date stays a string, and 12:30 is no number of base 60."""


_TAG = "tag:yaml.org,2002:"
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[1-9][0-9_]*|0)$")
_Loader.yaml_implicit_resolvers = {
    first: [(tag, _INTEGER if tag == f"{_TAG}int" else pattern) for tag, pattern in resolvers if tag != f"{_TAG}timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _yaml(text: str) -> Iterator[Any]:
    loader = _Loader(text)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # check_node has said so
            _check_keys(node, set())
            yield loader.construct_document(node)
    finally:
        loader.dispose()


def _check_keys(node: yaml.Node, seen: set[int]) -> None:
    """Keys are strings, and no mapping has one twice (PyYAML would let the last one win)."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))  # an alias is the same node: once is enough, and a cycle ends
    keys: set[str] = set()
    for index, item in enumerate(node.value):
        step, inner = f"[{index}]", item
        if isinstance(node, yaml.MappingNode):
            step, inner = _key(item[0], keys), item[1]
        try:
            _check_keys(inner, seen)
        except Invalid as error:
            raise error.within(step) from None


def _key(node: yaml.Node, keys: set[str]) -> str:
    if not isinstance(node, yaml.ScalarNode) or node.tag not in (f"{_TAG}str", f"{_TAG}merge"):
        raise Invalid("must be a string: put this key in quotes", str(node.value) if isinstance(node, yaml.ScalarNode) else "")
    if node.value in keys:
        raise Invalid("is there twice", node.value)
    keys.add(node.value)
    return str(node.value)
