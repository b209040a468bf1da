"""Does the program stay readable?  The limits, and what is still above them."""

from __future__ import annotations

import ast

import pytest

from tests import sizes

# What is agreed: nothing new goes above it.
LIMITS = {
    "lines of a function": 60,
    "attributes of a class that is no plain data": 15,
    "positional arguments of a call": 6,
    "columns of a line": 110,
    "lines of a file": 300,
}
# What is above a limit, each with its reason; the number is what it may have.
ABOVE: dict[tuple[str, str], tuple[int, str]] = {}


@pytest.mark.parametrize("kind", LIMITS)
def test_what_is_above_a_limit_is_listed_with_its_reason(kind: str) -> None:
    above = [size for size in sizes.KINDS[kind]() if size.amount > _most(kind, size)]
    assert above == [], "\n".join(map(str, sorted(above, reverse=True)))


def test_what_is_above_a_limit_no_longer_is_not_listed() -> None:
    above = {
        (kind, _name(size))
        for kind, limit in LIMITS.items()
        for size in sizes.KINDS[kind]()
        if size.amount > limit
    }
    assert ABOVE.keys() - above == set()


def _most(kind: str, size: sizes.Size) -> int:
    most, _ = ABOVE.get((kind, _name(size)), (LIMITS[kind], ""))
    return most


def _name(size: sizes.Size) -> str:
    """Of a file its path."""
    return size.name or size.where


def test_what_is_counted() -> None:
    """Of a class without data in it: attributes set anywhere on self, once each."""
    source = "class A:\n def f(self):\n  self.a, self.b = 1, 2\n def g(self):\n  self.a = 3\n"
    node = ast.parse(source).body[0]
    assert isinstance(node, ast.ClassDef)
    assert sizes.attributes(node) == {"a", "b"}
    assert not sizes.is_data(node)
    data = ast.parse("@dataclasses.dataclass(frozen=True)\nclass B: ...").body[0]
    assert isinstance(data, ast.ClassDef)
    assert sizes.is_data(data)
