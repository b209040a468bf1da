"""· Which names are near to one that is not there?"""

from __future__ import annotations

from itertools import islice

from bastion.discovery.catalog import Catalog

MOST_LOOKED_AT = 20_000  # objects of all namespaces
FARTHEST = 2  # edits


def near_names(catalog: Catalog, resource: str, namespace: str, name: str) -> list[tuple[int, str]]:
    """With their distances, the nearest first."""
    if resource == "nodes":
        names = list(islice(catalog.nodes, MOST_LOOKED_AT))
    else:
        known = catalog.pods if resource == "pods" else catalog.services
        names = [there for where, there in islice(known, MOST_LOOKED_AT) if where == namespace]
    # Of three pieces of the name two edits leave at least one as it is: most names are sorted out by that.
    third = max(1, len(name) // (FARTHEST + 1))
    pieces = (name[:third], name[third:-third], name[-third:]) if len(name) > FARTHEST else ("",)
    alike = (
        other
        for other in names
        if abs(len(other) - len(name)) <= FARTHEST and any(piece in other for piece in pieces)
    )
    found = ((distance(name, other), other) for other in alike)
    return sorted(pair for pair in found if 0 < pair[0] <= FARTHEST)


def distance(one: str, other: str) -> int:
    """Edits between them: a letter more, less or another one, or two that changed places."""
    before: list[int] = []
    last = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        row = [i]
        for j, b in enumerate(other, 1):
            cost = min(last[j] + 1, row[j - 1] + 1, last[j - 1] + (a != b))
            if i > 1 and j > 1 and a == other[j - 2] and one[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            row.append(cost)
        before, last = last, row
    return last[-1]
