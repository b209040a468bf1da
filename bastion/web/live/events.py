"""`GET /ui/events?for=portal|target|status|ops`: which page listens, and what it is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import Request, Response

from bastion.kube.errors import refused, unreadable
from bastion.kube.errorwords import PAGE_NOT_OFFERED
from bastion.proxy.guard import Guard
from bastion.proxy.streams import Streams
from bastion.web.live.board import Board
from bastion.web.live.feed import Feed, Source
from bastion.web.live.rowsource import RowSource
from bastion.web.openable.listing import Openable
from bastion.web.portal.groups import Filter
from bastion.web.portal.inventory import SERVICES, Inventory
from bastion.web.reader import Reader

EVERY = 5.0  # seconds between two looks at a page that asks what its reader may see

Changes = Callable[[Reader, str], Awaitable[Mapping[str, Any]]]


class Changing:
    """What a page says as a whole, and of that only what is new."""

    def __init__(self, reader: Reader, path: str, changes: Changes, clock: Callable[[], float]) -> None:
        self._reader = reader
        self._path = path
        self._changes = changes
        self._clock = clock
        self._next = 0.0
        self._rows: dict[str, Any] | None = None
        self._stats: dict[str, str] = {}

    async def changes(self) -> Mapping[str, Any]:
        if self._clock() < self._next:
            return {}
        self._next = self._clock() + EVERY
        now = await self._changes(self._reader, self._path)
        rows = {row[0]: row for row in now.get("rows", ())}
        stats: dict[str, str] = dict(now.get("stats", {}))
        found: dict[str, Any] = {}
        before = self._rows
        if before is None:  # the page may have rows that are gone since it was made
            found["all"] = list(rows)
        if new := [row for ref, row in rows.items() if before is None or before.get(ref) != row]:
            found["rows"] = new
        if changed := {name: text for name, text in stats.items() if self._stats.get(name) != text}:
            found["stats"] = changed
        if before is not None and (gone := sorted(before.keys() - rows.keys())):
            found["gone"] = gone
        self._rows, self._stats = rows, stats
        return found


class Events:
    """`pages`: what each page but the portal says.

    `clock` and `recheck` in seconds, `now` since the epoch.
    """

    def __init__(
        self,
        *,
        inventory: Inventory,
        openable: Openable,
        pages: Mapping[str, Changes],
        guard: Guard,
        streams: Streams,
        clock: Callable[[], float],
        now: Callable[[], float],
        recheck: float,
        offered: bool,
    ) -> None:
        """`offered` False: no other page could be kept from reading them."""
        self._inventory = inventory
        self._openable = openable
        self._pages = pages
        self._guard = guard
        self._streams = streams
        self._clock = clock
        self._now = now
        self._recheck = recheck
        self._offered = offered
        self._boards = {kind: Board(inventory, kind, clock) for kind in inventory.kinds}

    async def page(self, request: Request, reader: Reader) -> Response:
        """Raises StatusError."""
        if not self._offered:
            raise refused(PAGE_NOT_OFFERED, "there are no live values while --sandbox-pages=false")
        self._guard.check_place(reader.asker, tunnel=True)
        source = self._source(request, reader)
        return Feed(reader, source, self._guard, self._streams, self._now)

    def _source(self, request: Request, reader: Reader) -> Source:
        query = request.query_params
        page = query.get("for", "")
        if page in self._pages:
            path = query.get("path", "")
            root = request.scope.get("root_path", "")
            return Changing(reader, path.removeprefix(root), self._pages[page], self._clock)
        if page != "portal":
            raise unreadable(f"the parameter for is one of portal, {', '.join(self._pages)}")
        kind = query.get("kind", SERVICES)
        kind = kind if kind in self._boards else SERVICES
        by = "namespace" if query.get("by") == "namespace" else ""
        return RowSource(
            reader,
            Filter(kind=kind, by=by),
            self._boards[kind],
            self._inventory,
            self._openable,
            self._clock,
            recheck=self._recheck,
        )
