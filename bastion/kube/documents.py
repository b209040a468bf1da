"""· The documents of a file.

YAML and JSON as Kubernetes' own tools read them (sigs.k8s.io/yaml, go-yaml of version 2).

That is YAML 1.1 without some of it: a plain `=` and a date are strings, 12:30 is not a number of base 60, `y`
and `off` are booleans, and a key that is a number or a boolean becomes the string that JSON would have.  Of a
repeated name the last one counts; `repeated` lists such names for callers that refuse them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Document:
    """`value` is None for an empty document; `repeated` has the path of each repeated name:
    `spec.ports[0].name`.
    """

    value: Any
    repeated: tuple[str, ...] = ()


def documents(text: str, *, as_json: bool = False) -> Iterator[Document]:
    """Text that begins with `{` is JSON, also several objects in a row, whatever the file is called.

    Raises ValueError with a message of one line at the first document that cannot be read, after those
    before it.
    """
    for piece, line in _pieces(text):
        try:
            yield from _json(piece) if as_json else _json_or_yaml(piece)
        except yaml.MarkedYAMLError as error:
            place = f"line {line + error.problem_mark.line}: " if error.problem_mark else ""
            raise ValueError(f"{place}{error.problem}") from error
        except yaml.YAMLError as error:
            raise ValueError(" ".join(str(error).split())) from error
        except json.JSONDecodeError as error:
            raise ValueError(f"line {line + error.lineno - 1}: {error.msg}") from error
        except RecursionError as error:
            raise ValueError("is nested too deeply") from error


_SEPARATOR = re.compile(r"^---(?=\s|\Z)", re.MULTILINE)
_DIRECTIVES = re.compile(r"\s*(?:[%#].*(?:\n|\Z)\s*)+")


def _pieces(text: str) -> Iterator[tuple[str, int]]:
    """The text from one `---` to the next, and the number of its first line."""
    starts = [match.start() for match in _SEPARATOR.finditer(text)]
    begin = line = 0
    for start, end in pairwise([0, *starts, len(text)]):
        if "%" in text[begin:end] and _DIRECTIVES.fullmatch(text, begin, end):
            continue  # `%YAML 1.1` belongs to what follows the line
        if start < end:
            yield text[begin:end], line + 1
        line += text.count("\n", begin, end)
        begin = end


def _json_or_yaml(piece: str) -> Iterator[Document]:
    if not re.match(r'(?:---\s)?\s*\{\s*["}]', piece):
        yield from _yaml(piece)
        return
    read: list[Document] = []
    try:
        for document in _json(piece):
            read.append(document)
    except json.JSONDecodeError as error:
        try:
            read = list(_yaml(piece))  # a mapping in braces may be YAML
        except yaml.YAMLError:
            yield from read
            raise error from None
    yield from read


# --- JSON


class _Repeated(dict[str, Any]):
    """An object in which `names` are repeated."""

    names: list[str]


def _json(piece: str) -> Iterator[Document]:
    """Raises JSONDecodeError."""
    position, end = _after_blanks(piece, 3 if piece.startswith("---") else 0), len(piece)
    while position < end:
        repeated: list[_Repeated] = []

        def object_of(pairs: list[tuple[str, Any]], repeated: list[_Repeated] = repeated) -> dict[str, Any]:
            made = dict(pairs)
            if len(made) == len(pairs):
                return made
            marked, names = _Repeated(made), [name for name, _ in pairs]
            marked.names = [name for name in made if names.count(name) > 1]
            repeated.append(marked)
            return marked

        decoder = json.JSONDecoder(object_pairs_hook=object_of, parse_int=_integer)
        value, position = decoder.raw_decode(piece, position)
        yield Document(value, tuple(_paths(value, ())) if repeated else ())
        position = _after_blanks(piece, position)


def _after_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _paths(value: Any, path: Path) -> Iterator[str]:
    if isinstance(value, _Repeated):
        for name in value.names:
            yield _written((path, name))
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _paths(inner, (path, step))


# --- YAML

_TAG = "tag:yaml.org,2002:"
_STRING, _MERGE = f"{_TAG}str", f"{_TAG}merge"
_BOOLEANS = {
    word: word in ("y", "yes", "true", "on") for word in ("y", "yes", "true", "on", "n", "no", "false", "off")
}
_PLAIN = (  # plain scalars, and the characters that they begin with
    (
        "bool",
        "|".join(form for word in _BOOLEANS for form in {word, word.capitalize(), word.upper()}),
        "yYnNtTfFoO",
    ),
    (
        "int",
        r"[-+]?(?:0[bB]_*[01][01_]*|0[xX]_*[0-9a-fA-F][0-9a-fA-F_]*|0[oO]?_*[0-7][0-7_]*|[1-9][0-9_]*|0)",
        "-+0123456789",
    ),
    (
        "float",
        r"[-+]?(?:\.[0-9_]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        "-+.0123456789",
    ),
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("merge", "<<", "<"),
)


class _Loader(yaml.CSafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 where PyYAML looks

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merges at the place of `<<`, so that it wins over names before it, as in go-yaml; in YAML it never
        does.
        """
        pairs = []
        for key, value in node.value:
            if key.tag != _MERGE:
                pairs.append((key, value))
                continue
            for one in reversed(value.value) if isinstance(value, yaml.SequenceNode) else (value,):
                if not isinstance(one, yaml.MappingNode):
                    raise yaml.constructor.ConstructorError(
                        None, None, "only a mapping can be merged", one.start_mark
                    )
                self.flatten_mapping(one)
                pairs += one.value
        node.value = pairs


def _integer(text: str) -> int | float:
    digits = text.replace("_", "").lower().lstrip("+-")
    octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
    number = int(digits, 8 if octal else 0) * (-1 if text.startswith("-") else 1)
    return number if -(1 << 63) <= number < 1 << 64 else float(number)


def _float(text: str) -> int | float:
    """1e3 is written as 1000 in JSON, and read from there as an integer."""
    number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
    return int(number) if abs(number) < 1 << 53 and number.is_integer() else number


def _of_unknown_tag(loader: _Loader, node: yaml.Node) -> Any:
    """go-yaml ignores unknown tags."""
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else node.value


for _kind, _pattern, _first in _PLAIN:
    _Loader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_first))
_Loader.add_constructor(f"{_TAG}bool", lambda loader, node: _BOOLEANS[node.value.lower()])
_Loader.add_constructor(f"{_TAG}int", lambda loader, node: _integer(node.value))
_Loader.add_constructor(f"{_TAG}float", lambda loader, node: _float(node.value))
_Loader.add_constructor(f"{_TAG}timestamp", lambda loader, node: node.value)
_Loader.add_constructor(None, _of_unknown_tag)


MOST_LEVELS = 500  # of nesting: libyaml has no limit, but the stack has
_BRACKETS = re.compile(r"[]\[{}]")
_INDENTED = re.compile(rf"^[ ?:-]{{{MOST_LEVELS},}}", re.MULTILINE)


def _refuse_too_deep(piece: str) -> None:
    """Raises RecursionError.

    Events are counted only where the text may be nested so deeply: counting costs half of reading.
    """
    levels = accumulate(1 if bracket in "[{" else -1 for bracket in _BRACKETS.findall(piece))
    if max(levels, default=0) < MOST_LEVELS and not _INDENTED.search(piece):
        return
    depth = 0
    for event in yaml.parse(piece, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MOST_LEVELS:
            raise RecursionError


def _yaml(piece: str) -> Iterator[Document]:
    _refuse_too_deep(piece)
    loader = _Loader(piece)
    try:
        while loader.check_node():
            node = loader.get_node()
            assert node is not None  # as check_node said
            repeated: list[str] = []
            _settle_keys(loader, node, (), set(), repeated)
            yield Document(loader.construct_document(node), tuple(repeated))
    except (ValueError, OverflowError, KeyError, AttributeError) as error:
        # `!!int x`: a value that does not fit its tag
        raise yaml.YAMLError("a value does not fit its tag") from error
    finally:
        loader.dispose()


Path = tuple[Any, ...]  # (the outer path, a name or an index), or empty


def _settle_keys(loader: _Loader, node: yaml.Node, path: Path, seen: set[int], repeated: list[str]) -> None:
    """Makes keys strings, and notes repeated ones."""
    if id(node) in seen or isinstance(node, yaml.ScalarNode):
        return
    seen.add(id(node))  # an alias is the same node: once is enough, and a cycle ends
    names: set[int | str] = set()
    for index, item in enumerate(node.value):
        step: int | str = index
        inner = item
        if isinstance(node, yaml.MappingNode):
            step, inner = _settle_key(loader, item[0]), item[1]
            if step in names:
                repeated.append(_written((path, step)))
            names.add(step)
        _settle_keys(loader, inner, (path, step), seen, repeated)


def _settle_key(loader: _Loader, key: yaml.Node) -> str:
    if key.tag in (_STRING, _MERGE):
        return str(key.value)
    value = loader.construct_object(key, deep=True)
    del loader.constructed_objects[key]
    if not isinstance(value, bool | int | float | str):
        raise yaml.constructor.ConstructorError(
            None, None, "a key must be a string, a number or a boolean", key.start_mark
        )
    key.tag, key.value = _STRING, str(value).lower() if isinstance(value, bool) else str(value)
    return str(key.value)


class _Dumper(yaml.SafeDumper):
    """Quotes strings that PyYAML would leave plain but kubectl would not read as strings."""


for _kind, _pattern, _first in _PLAIN:
    _Dumper.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"(?:{_pattern})\Z"), list(_first))


def yaml_of(value: Any) -> str:
    """A document that kubectl reads as the same value."""
    return yaml.dump(value, Dumper=_Dumper, sort_keys=False)


def _written(path: Path) -> str:
    steps: list[str] = []
    while path:
        path, step = path
        steps.append(f"[{step}]" if isinstance(step, int) else f".{step}")
    return "".join(reversed(steps)).removeprefix(".")
