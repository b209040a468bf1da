"""The portal, as a page and as JSON."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode

import msgspec
import orjson
from fastapi import Request, Response
from msgspec import structs

from bastion.kube.annotations import Card
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.status import StatusError
from bastion.web.commands import commands
from bastion.web.figures import count, number
from bastion.web.frame import LINKS, Frame
from bastion.web.health import TROUBLE
from bastion.web.openable.listing import PATIENCE, Openable
from bastion.web.openable.plan import Rights
from bastion.web.portal.documents import CatalogList, item_of
from bastion.web.portal.groups import MOST_OPEN, Filter, Group, grouped, lede
from bastion.web.portal.inventory import NODES, PODS, SERVICES, Inventory, Listed
from bastion.web.portal.rows import Row, Subject
from bastion.web.reader import Reader
from bastion.web.rendering import page
from bastion.web.rules import role

MOST_ITEMS = 10_000  # of one JSON document
NAMES = {SERVICES: "Services", PODS: "Pods", NODES: "Nodes"}
Framing = Callable[[Reader], Awaitable[Frame]]
# resource -> (whether its list was read, how many objects are known)
Progress = Callable[[], Mapping[str, tuple[bool, int]]]


class Pick(msgspec.Struct, frozen=True):
    """One of the chips beside the filter."""

    key: str
    name: str
    query: str
    count: int | str = ""
    current: bool = False


class ShownGroup(msgspec.Struct, frozen=True):
    name: str
    rows: tuple[Row, ...] | None
    said: str
    state: str
    word: str
    query: str
    fits: bool


class Portal:
    """`frame` makes what stands around a page; `progress` says how far the cluster is read."""

    def __init__(
        self, inventory: Inventory, openable: Openable, frame: Framing, progress: Progress, root: str
    ) -> None:
        self._inventory = inventory
        self._openable = openable
        self._frame = frame
        self._progress = progress
        self._root = root
        self._away_since = 0.0

    async def page(self, request: Request, reader: Reader) -> Response:
        asked = self._filter(request)
        frame = await self._frame(reader)
        if not all(read for read, _ in self._progress().values()):
            return self._syncing(request, frame)
        try:
            listed = await self._inventory.listed(reader, asked.kind, self._openable, PATIENCE)
            if not listed.rows and not listed.waiting and await self._nothing(reader):
                return self._empty(request, frame, reader)
        except StatusError as error:
            if error.code != 503:
                raise
            return self._away(request, frame)
        self._away_since = 0.0
        return self._listed(request, reader, frame, asked, listed)

    async def catalog(self, request: Request, reader: Reader) -> Response:
        """Raises StatusError."""
        if not all(read for read, _ in self._progress().values()):
            raise error_of(API_SERVER_AWAY, "the cluster's objects are still being read", retry_after=1)
        asked = self._filter(request)
        listed = await self._inventory.listed(reader, asked.kind, self._openable, PATIENCE)
        rows = [row for row in listed.rows if asked.fits(row)]
        ordered = [row for group in grouped(rows, asked, most=len(rows)) for row in group.rows or ()]
        most = _number(request.query_params.get("limit", ""), MOST_ITEMS)
        items = [item_of(row, reader.origin, self._root) for row in ordered[:most]]
        found = CatalogList(self._inventory.now(), not listed.waiting, len(rows), items)
        return Response(
            orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    def _filter(self, request: Request) -> Filter:
        query = request.query_params
        kind = query.get("kind", SERVICES)
        return Filter(
            words=query.get("q", "")[:200],
            kind=kind if kind in self._inventory.kinds else SERVICES,
            show="trouble" if query.get("show") == "trouble" else "all",
            by="namespace" if query.get("by") == "namespace" else "",
            group=query.get("group", "")[:100],
        )

    async def _nothing(self, reader: Reader) -> bool:
        """Whether they may open nothing of any kind, which is asked before it is said."""
        for kind in self._inventory.kinds:
            listed = await self._inventory.listed(reader, kind, self._openable, PATIENCE)
            if listed.rows or listed.waiting:
                return False
        return True

    def _listed(
        self, request: Request, reader: Reader, frame: Frame, asked: Filter, listed: Listed
    ) -> Response:
        # of few all are there, so that the script can show what the filter hides
        whole = len(listed.rows) <= MOST_OPEN
        wide = structs.replace(asked, group="")
        rows = [row for row in listed.rows if whole or (asked if asked.words else wide).fits(row)]
        groups = grouped(rows, asked)
        folded = any(group.rows is None for group in groups)
        return page(
            request,
            "portal.html",
            title="Portal",
            here="portal",
            live="portal",
            root=self._root,
            frame=frame,
            said=lede({row.ref: row.state for row in listed.rows}, asked.kind),
            waiting=_waiting(listed),
            by_namespace=asked.by == "namespace",
            as_owners=_query(asked, by=""),
            by_namespace_query=_query(asked, by="namespace"),
            query=asked.words,
            kept=_kept(asked),
            picks=self._picks(asked, listed),
            groups=[_shown(group, asked) for group in groups],
            asked=wide if whole else None,
            folded=folded,
            blank=_BLANK,
            commands=commands(reader.origin),
        )

    def _picks(self, asked: Filter, listed: Listed) -> list[Pick]:
        trouble = sum(row.state in TROUBLE for row in listed.rows)
        plain = asked.show == "all"
        name = "All" if asked.kind == SERVICES else NAMES[asked.kind]
        picks = [
            Pick("all", name, _query(asked, show="all"), len(listed.rows), plain),
            Pick("trouble", "Trouble", _query(asked, show="trouble"), trouble, not plain),
        ]
        others = [kind for kind in self._inventory.kinds if kind != asked.kind]
        return picks + [Pick(kind, NAMES[kind], _query(asked, kind=kind, show="all")) for kind in others]

    # --- three reasons for an empty list are three pages

    def _empty(self, request: Request, frame: Frame, reader: Reader) -> Response:
        yaml = role(reader.user, "NAMESPACE", "services", ("get",))
        return self._blank(request, frame, "nothing", yaml=yaml)

    def _syncing(self, request: Request, frame: Frame) -> Response:
        lists = [
            (
                resource.replace("endpointslices", "endpoint slices").capitalize(),
                f"{number(known)} read" if read else f"under way, {number(known)} so far",
            )
            for resource, (read, known) in self._progress().items()
        ]
        done = sum(read for read, _ in self._progress().values())
        return self._blank(request, frame, "syncing", lists=lists, done=done)

    def away(self, request: Request) -> Response:
        """Where not even who reads it can be found out."""
        frame = Frame(self._inventory.now(), request.headers.get("host", ""), links=LINKS, can_sign_in=False)
        return self._away(request, frame)

    def _away(self, request: Request, frame: Frame) -> Response:
        self._away_since = self._away_since or self._inventory.now()
        return self._blank(request, frame, "away", code=503, since=self._away_since)

    def _blank(self, request: Request, frame: Frame, why: str, code: int = 200, **values: Any) -> Response:
        absent: dict[str, Any] = {"yaml": "", "lists": (), "done": 0, "since": 0.0}
        return page(
            request,
            "portal-empty.html",
            code,
            title="Portal",
            here="portal",
            live="",
            root=self._root,
            frame=frame,
            why=why,
            **(absent | values),
        )


_BLANK = Row(Subject("services", "", "-", Card(), (), ("-",)), "none", Rights(everywhere=True))


def _shown(group: Group, asked: Filter) -> ShownGroup:
    query = _query(asked, group=group.name)
    wide = structs.replace(asked, group="")
    return ShownGroup(
        group.name,
        group.rows,
        group.said,
        group.state,
        word=group.word,
        query=query,
        fits=group.rows is None or any(map(wide.fits, group.rows)),
    )


def _waiting(listed: Listed) -> str:
    if listed.waiting:
        return f"{count(listed.waiting, 'namespace').capitalize()} still being asked about."
    if listed.crowded:
        return (
            f"{count(listed.crowded, 'namespace').capitalize()} too large to ask about each service there:"
            " what you may open in it by name is not listed."
        )
    return ""


def _query(asked: Filter, **changes: str) -> str:
    changed = structs.replace(asked, **changes)
    said = {"q": changed.words, "by": changed.by, "group": changed.group}
    said |= {"kind": changed.kind} if changed.kind != SERVICES else {}
    said |= {"show": changed.show} if changed.show != "all" else {}
    return urlencode({name: value for name, value in said.items() if value})


def _kept(asked: Filter) -> list[tuple[str, str]]:
    """What the form of the filter keeps of the address."""
    kind = asked.kind if asked.kind != SERVICES else ""
    show = asked.show if asked.show != "all" else ""
    return [(name, value) for name, value in (("kind", kind), ("show", show), ("by", asked.by)) if value]


def _number(text: str, most: int) -> int:
    return min(int(text), most) if text.isascii() and text.isdigit() and len(text) < 8 else most
