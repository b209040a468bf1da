"""· Which group of a service's paths does a request's path belong to?  `metrics=/metrics; admin=/admin/*`.

Who may only have a group is never given a path that its backend might read as one of another: such a spelling
is unclear, and a path that differs from another group's in case or in a slash at the end belongs to no group.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from bastion.kube.annotation import Value
from bastion.kube.attributes import Attributes
from bastion.kube.values import quoted

MOST_GROUPS = 16  # each may be one more question to the API server
_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
# RFC 3986, 3.3, without percent-encoding, parameters and empty segments; no segment ends in a dot, as dot
# segments do, and as Windows leaves it out.
_CLEAR = re.compile(rb"(?=/)(?:/[A-Za-z0-9._~!$&'()*+,=:@-]*[A-Za-z0-9_~!$&'()*+,=:@-])*/?")
_ALL_BELOW = b"/*"

Paths = dict[bytes, str]  # path -> its group


@dataclass(frozen=True, slots=True)
class _Table:
    """`exact` are paths alone, `below` those with all below them, without a slash at the end; `deepest` is
    the most segments of one of these."""

    exact: Paths = field(default_factory=dict)
    below: Paths = field(default_factory=dict)
    deepest: int = 1

    def group(self, path: bytes) -> str:
        """By the longest match; empty for none."""
        found = self.exact.get(path)
        if found is not None:
            return found
        segments = path.split(b"/", self.deepest)[: self.deepest]
        for count in range(len(segments), 0, -1):
            found = self.below.get(b"/".join(segments[:count]))
            if found is not None:
                return found
        return ""


@dataclass(frozen=True, slots=True)
class PathGroups:
    """`folded` has the same paths, as a backend reads them that takes no notice of case and a last slash."""

    names: tuple[str, ...]
    written: _Table
    folded: _Table

    def group(self, path: bytes) -> str:
        """Empty where only the right to every path is enough."""
        found = self.written.group(path)
        return found if found and self.folded.group(_fold(path)) == found else ""

    def entrance(self, name: str) -> str:
        """A path of the group, to begin at."""
        alone = next((path for path, group in self.written.exact.items() if group == name), None)
        below = next((path + b"/" for path, group in self.written.below.items() if group == name), b"/")
        return (below if alone is None else alone).decode()


def path_of(rest: bytes) -> bytes:
    """As the backend is sent it: `rest` is what follows `…/proxy`."""
    path = rest.partition(b"?")[0]
    return path if path[:1] == b"/" else b"/" + path


def is_clear(path: bytes) -> bool:
    """Whether all backends read it alike."""
    return _CLEAR.fullmatch(path) is not None


def grouped(attributes: Attributes, group: str) -> Attributes:
    """The question for a group alone."""
    return structs.replace(attributes, subresource=f"{attributes.subresource}-{group}")


# --- the annotation's value


def parse_path_groups(text: str) -> PathGroups:
    """Raises ValueError."""
    names: dict[str, None] = {}
    exact: Paths = {}
    below: Paths = {}
    for name, path in _pairs(text):
        names[name] = None
        if path.endswith(_ALL_BELOW):
            below[path.removesuffix(_ALL_BELOW)] = _one_group(below, path.removesuffix(_ALL_BELOW), name)
        else:
            exact[path] = _one_group(exact, path, name)
    if len(names) > MOST_GROUPS:
        raise ValueError(f"there are more than {MOST_GROUPS} groups")
    deepest = max((path.count(b"/") + 1 for path in below), default=1)
    folded = _Table(_folded(exact), _folded(below), deepest)
    return PathGroups(tuple(names), _Table(exact, below, deepest), folded)


def _pairs(text: str) -> Iterator[tuple[str, bytes]]:
    """Each group with each of its paths."""
    rules = [rule.strip() for rule in text.split(";")]
    if not any(rules):
        raise ValueError("it has no group")
    for rule in filter(None, rules):
        name, equals, paths = (part.strip() for part in rule.partition("="))
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"{quoted(rule[:64])} is not of the form group=/path,/path/*")
        for path in (one.strip() for one in paths.split(",")):
            yield name, _path(path)


def _path(text: str) -> bytes:
    path = text.encode("utf-8", "surrogateescape")
    plain = path.removesuffix(_ALL_BELOW)
    clear = is_clear(plain) and not plain.endswith(b"/") if plain != path else is_clear(path)
    if (not clear and path != _ALL_BELOW) or not path or b"*" in plain:
        raise ValueError(f"{quoted(text[:64])} is not a path such as /x, or /x/* for /x and all below")
    return path


def _one_group(known: Mapping[bytes, str], path: bytes, name: str) -> str:
    if known.get(path, name) != name:
        raise ValueError(f"the path {quoted(path.decode()[:64])} is in two groups")
    return name


def _folded(paths: Paths) -> Paths:
    found: Paths = {}
    for path, name in paths.items():
        if found.setdefault(_fold(path), name) != name:
            raise ValueError(
                f"the path {quoted(path.decode()[:64])} differs from one of another group only in case or in"
                " a slash at the end, which many backends take no notice of"
            )
    return found


def _fold(path: bytes) -> bytes:
    return path.lower().removesuffix(b"/")


PATH_GROUPS = Value("`group=/path,/path/*; …`", parse_path_groups)
