"""· How are the rows of the portal filtered, grouped and counted?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bastion.web.figures import count
from bastion.web.health import DOWN, TROUBLE, UNPROBED, UP, WORDS
from bastion.web.portal.rows import Row

MOST_OPEN = 150  # rows; with more the groups come folded
PUBLIC = "public"
_WORST = ("down", "deg", "main", "up", "none")


class Filter(msgspec.Struct, frozen=True):
    """What the address says: `show` is all or trouble; `group` is the one whose rows are wanted.

    `by` is empty (as owners say), namespace, or public.
    """

    words: str = ""
    kind: str = "services"
    show: str = "all"
    by: str = ""
    group: str = ""

    def fits(self, row: Row) -> bool:
        if self.show == "trouble" and row.state not in TROUBLE:
            return False
        if self.group and group_of(row, self) != self.group:
            return False
        words = self.words.lower().split()
        found = row.find if words else ""
        return all(word in found for word in words)


class Group(msgspec.Struct, frozen=True):
    """`rows` None: they are not shown until asked for."""

    name: str
    rows: tuple[Row, ...] | None
    said: str
    state: str

    @property
    def word(self) -> str:
        return WORDS[self.state]


def group_of(row: Row, by: Filter) -> str:
    subject = row.subject
    if by.by == PUBLIC:  # a namespace is not for everybody
        return subject.card.group or "Services"
    return (subject.namespace or "Nodes") if by.by == "namespace" else subject.group


def grouped(rows: Iterable[Row], by: Filter, *, most: int = MOST_OPEN) -> list[Group]:
    """Groups by name, rows by order and title: people know places, so trouble is counted and not moved."""
    found: dict[str, list[Row]] = {}
    total = 0
    for row in rows:
        found.setdefault(group_of(row, by), []).append(row)
        total += 1
    folded = total > most and len(found) > 1
    return [
        Group(
            name,
            None if folded and name != by.group else tuple(sorted(found[name], key=_place)),
            said([row.state for row in found[name]]),
            worst(found[name]),
        )
        for name in sorted(found, key=str.casefold)
    ]


def _place(row: Row) -> tuple[float, str, str]:
    return (row.subject.card.order, row.title.casefold(), row.ref)


def worst(rows: Sequence[Row]) -> str:
    states = {row.state for row in rows}
    return next((state for state in _WORST if state in states), UNPROBED)


def said(states: Sequence[str]) -> str:
    """`4 of 5 up`, `2 up, 1 not probed`, `12 not probed, 1 down`."""
    unprobed, up, down = (states.count(state) for state in (UNPROBED, UP, DOWN))
    known = len(states) - unprobed
    if not known:
        return f"{unprobed} not probed"
    if not unprobed:
        return f"{up} of {known} up"
    if not up:
        return f"{unprobed} not probed" + (f", {down} down" if down else f", {known} in trouble")
    return (f"{up} up" if up == known else f"{up} of {known} up") + f", {unprobed} not probed"


def lede(states: Mapping[str, str], kind: str) -> str:
    """`states` by the rows' refs, `namespace/kind/name`."""
    namespaces = len({ref.partition("/")[0] for ref in states})
    trouble = sum(state in TROUBLE for state in states.values())
    where = f", in {count(namespaces, 'namespace')}" if kind != "nodes" else ""
    need = f"{count(trouble, 'needs', 'need').capitalize()} a look." if trouble else "None needs a look."
    return f"{len(states)} {kind if len(states) != 1 else kind[:-1]}{where}. {need}"


def told(groups: Mapping[str, str], states: Mapping[str, str], kind: str) -> dict[str, str]:
    """What a page says of its rows as a whole; `groups` and `states` by their refs."""
    found: dict[str, list[str]] = {}
    for ref, state in states.items():
        found.setdefault(groups[ref], []).append(state)
    trouble = sum(state in TROUBLE for state in states.values())
    of_groups = {f"group:{name}": said(there) for name, there in found.items()}
    return {"lede": lede(states, kind), "trouble": str(trouble), **of_groups}
