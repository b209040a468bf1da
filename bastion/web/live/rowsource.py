"""The rows of the portal that one reader may see, as they change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bastion.kube.status import StatusError
from bastion.web.live.board import Board
from bastion.web.openable.listing import PATIENCE, Openable
from bastion.web.portal.groups import Filter, group_of, told
from bastion.web.portal.inventory import Inventory
from bastion.web.reader import Reader

WHOLE = 500  # rows whose values are all told at the beginning; of more only what changes
WAITING = 1.0  # seconds between two looks while namespaces are still being asked about
GRACE = 60.0  # seconds for which rows stay where the API server does not answer


class RowSource:
    """`asked` is what the page shows; `recheck` in seconds: how often is asked what may be seen."""

    def __init__(
        self,
        reader: Reader,
        asked: Filter,
        board: Board,
        inventory: Inventory,
        openable: Openable,
        clock: Callable[[], float],
        *,
        recheck: float,
    ) -> None:
        self._reader = reader
        self._filter = asked
        self._board = board
        self._inventory = inventory
        self._openable = openable
        self._clock = clock
        self._recheck = recheck
        self._groups: dict[str, str] = {}  # by the ref of a row
        self._stats: dict[str, str] = {}
        self._refs: frozenset[str] | None = None
        self._known: frozenset[str] = frozenset()  # that the page may have
        self._next = 0.0
        self._asked = 0.0
        self._version = 0

    async def changes(self) -> Mapping[str, Any]:
        await self._board.look()
        found: dict[str, Any] = {}
        if self._clock() >= self._next:
            found |= await self._rights()
        rows = self._board.changed(self._refs or (), self._version)
        self._version = self._board.version
        if rows or found:
            found |= self._told()
        return found | ({"rows": rows} if rows else {})

    def _told(self) -> dict[str, Any]:
        """Of the rows as a whole, what is new."""
        stats = told(self._groups, self._board.states(self._refs or ()), self._filter.kind)
        new = {name: text for name, text in stats.items() if self._stats.get(name) != text}
        self._stats = stats
        return {"stats": new} if new else {}

    async def _rights(self) -> dict[str, Any]:
        now = self._clock()
        try:
            listed = await self._inventory.listed(self._reader, self._filter.kind, self._openable, PATIENCE)
        except StatusError:
            if self._refs is None or now - self._asked > GRACE:
                raise
            self._next = now + WAITING
            return {}
        before, self._refs = self._refs, frozenset(row.ref for row in listed.rows)
        self._groups = {row.ref: group_of(row, self._filter) for row in listed.rows}
        self._asked = now
        self._next = now + (WAITING if listed.waiting else self._recheck)
        if before is None:
            self._known = self._refs
            self._version = 0 if len(self._refs) <= WHOLE else self._board.version
            return {}
        gone, new = before - self._refs, self._refs - self._known
        waiting = f"{listed.waiting} namespaces still being asked about." if listed.waiting else ""
        found: dict[str, Any] = {"waiting": waiting}
        if gone:
            found["gone"] = sorted(gone)
        if new:
            found["news"] = len(new)
        return found if gone or new else {}
