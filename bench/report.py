"""Prints results to standard output."""

from __future__ import annotations

from collections.abc import Sequence


def say(*lines: str) -> None:
    for line in lines:
        print(line, flush=True)


def table(rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(_row(row, widths) for row in rows)


def _row(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
    return "  ".join((f"{row[0]:<{widths[0]}}", *cells)).rstrip()
