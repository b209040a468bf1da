"""How large are the parts of the program?  `python -m tests.sizes` prints the largest of each kind.

What is counted: lines of functions and of files, attributes of a class that is no plain data, positional
arguments of a call, columns of a line.  tests/test_sizes.py holds the limits.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "bastion"
SHOWN = 10  # rows of each kind in the report

# Calls whose arguments are a foreign grammar: as many as the format that stands before them names.
GRAMMARS = {"pack"}
# Classes that only hold values: as many fields as what they describe has.
DATA_DECORATORS = {"dataclass"}
DATA_BASES = {"Struct", "NamedTuple", "TypedDict", "Protocol", "Enum", "StrEnum", "IntEnum", "BaseModel"}

_PRAGMA = re.compile(r"  # (?:type: ignore|noqa|fmt:|pragma:).*")


@dataclass(frozen=True, slots=True, order=True)
class Size:
    amount: int
    where: str  # file:line
    name: str

    def __str__(self) -> str:
        return f"{self.amount:5}  {self.where}  {self.name}"


def files(root: Path = PACKAGE) -> list[Path]:
    return sorted(root.rglob("*.py"))


@cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def _where(file: Path, node: ast.expr | ast.stmt) -> str:
    return f"{file.relative_to(ROOT)}:{node.lineno}"


def functions() -> Iterator[Size]:
    """Lines of each function with its docstring, without its decorators."""
    for file in files():
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield Size(node.end_lineno - node.lineno + 1, _where(file, node), node.name)


def classes() -> Iterator[Size]:
    """Attributes that the methods of a class set on `self`, of classes that are no plain data."""
    for file in files():
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.ClassDef) and not is_data(node):
                yield Size(len(attributes(node)), _where(file, node), node.name)


def is_data(node: ast.ClassDef) -> bool:
    decorators = {_last_name(one) for one in node.decorator_list}
    bases = {_last_name(one) for one in node.bases}
    return bool(decorators & DATA_DECORATORS or bases & DATA_BASES)


def _last_name(node: ast.expr) -> str:
    """`b` of `a.b(…)`."""
    if isinstance(node, ast.Call):
        return _last_name(node.func)
    if isinstance(node, ast.Subscript):
        return _last_name(node.value)
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def attributes(node: ast.ClassDef) -> set[str]:
    return {
        target.attr
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        for target in ast.walk(method)
        if isinstance(target, ast.Attribute)
        and isinstance(target.ctx, ast.Store)
        and isinstance(target.value, ast.Name)
        and target.value.id == "self"
    }


def calls() -> Iterator[Size]:
    """Positional arguments of each call."""
    for file in files():
        for node in ast.walk(_tree(file)):
            if isinstance(node, ast.Call) and _last_name(node.func) not in GRAMMARS:
                yield Size(len(node.args), _where(file, node), _last_name(node.func))


def lines() -> Iterator[Size]:
    """Columns of each line without what it says to a linter, of the tests and measurements as well."""
    for folder in ("bastion", "tests", "bench"):
        for file in files(ROOT / folder):
            for number, line in enumerate(file.read_text().split("\n"), 1):
                yield Size(len(_PRAGMA.sub("", line)), f"{file.relative_to(ROOT)}:{number}", "")


def file_lengths() -> Iterator[Size]:
    for file in files():
        yield Size(file.read_text().count("\n"), file.relative_to(ROOT).as_posix(), "")


KINDS = {
    "lines of a function": functions,
    "attributes of a class that is no plain data": classes,
    "positional arguments of a call": calls,
    "columns of a line": lines,
    "lines of a file": file_lengths,
}


def main() -> None:
    for kind, measured in KINDS.items():
        print(f"\n{kind}")
        for size in sorted(measured(), reverse=True)[:SHOWN]:
            print(size)


if __name__ == "__main__":
    main()
