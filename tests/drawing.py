"""What does the program look like?  `python -m tests.drawing` prints its rooms and what each imports.

The bands are those that tests/test_layers.py holds; the arrows are read from the code.
"""

from __future__ import annotations

from collections import Counter
from textwrap import fill

from tests.test_layers import FILES, ROWS, file_of, imports, room

MOST_ROOMS = 25  # l4/, an entrance of its own, came last
WIDTH = 100  # columns
OUTSIDE = {"__init__", "__main__"}  # no rooms: the version, and what starts the command line


def arrows() -> dict[str, Counter[str]]:
    """room -> each room below that it imports, and how many of its files do."""
    found: dict[str, Counter[str]] = {room(path): Counter() for path in FILES}
    for path in FILES:
        here = room(path)
        found[here].update({room(there) for name in imports(path) if (there := file_of(name))} - {here})
    return {here: there for here, there in found.items() if here not in OUTSIDE}


def bands() -> list[list[str]]:
    """The rooms of each row that has any, from top to bottom."""
    return [row for row in (sorted(set(row) - OUTSIDE) for row in ROWS) if row]


def circle(edges: dict[str, Counter[str]]) -> list[str]:
    """Rooms that import each other in turn; empty where imports lead one way."""
    done: set[str] = set()

    def walk(here: str, way: tuple[str, ...]) -> list[str]:
        if here in way:
            return [*way[way.index(here) :], here]
        if here not in done:
            for there in edges.get(here, ()):
                if found := walk(there, (*way, here)):
                    return found
            done.add(here)
        return []

    return next((found for here in edges if (found := walk(here, ()))), [])


def drawing() -> str:
    edges, files = arrows(), Counter(room(path) for path in FILES)
    parts = []
    for row in bands():
        parts.append("═" * WIDTH)
        parts.append("     ".join(f"{name}/ ({files[name]})" for name in row).center(WIDTH).rstrip())
        for name in row:
            below = " ".join(there for other in bands() for there in other if there in edges[name])
            first = f"    {name:<11}─▶ "
            lines = fill(below or "(nothing of ours)", WIDTH - len(first)).split("\n")
            parts.append(first + f"\n{' ' * len(first)}".join(lines))
    return "\n".join([*parts, "═" * WIDTH])


if __name__ == "__main__":
    print(drawing())
