"""The status page, its feed and its JSON: for who is signed in, and where that is on for everybody."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from html import escape
from typing import Any

import msgspec
import orjson
from fastapi import Request, Response

from bastion.web import figures
from bastion.web.frame import Frame
from bastion.web.health import SPANS, WORDS, History, Probes
from bastion.web.openable.listing import PATIENCE, Openable
from bastion.web.openable.plan import Rights
from bastion.web.portal.groups import PUBLIC, Filter, Group, grouped
from bastion.web.portal.inventory import SERVICES, Inventory
from bastion.web.portal.page import Framing
from bastion.web.portal.rows import Row
from bastion.web.reader import Reader
from bastion.web.rendering import page
from bastion.web.status.incidents import Incident, announced, incidents_of, latest, verdict

MOST = 500  # services on one page
MOST_OPEN = 40  # of a page whose groups are all open
BADGES = 3
_GENERAL = {
    "down": "It is not reachable.",
    "deg": "It is reachable, and not at full strength.",
    "main": "It is being worked on.",
}
_OVER = "It was not reachable, or not at full strength."


@dataclass(frozen=True, slots=True)
class StatusItem:
    """`uptime` is a share, absent where nothing was probed; `ref` is empty on the public page."""

    title: str
    state: str
    uptime: float | None
    ref: str = ""


@dataclass(frozen=True, slots=True)
class StatusGroup:
    name: str
    items: list[StatusItem]


@dataclass(frozen=True, slots=True)
class StatusDocument:
    """`at` in seconds since the epoch, `span` the time of which the uptime is."""

    at: float
    span: str
    state: str
    title: str
    groups: list[StatusGroup]


class Component(msgspec.Struct, frozen=True):
    row: Row
    bars: str
    uptime: str
    label: str
    share: float | None


class Known(msgspec.Struct, frozen=True):
    """What one reader may see; `public`: nobody is signed in."""

    rows: list[Row]
    histories: dict[str, History]
    public: bool

    def groups(self) -> list[Group]:
        return grouped(self.rows, Filter(by=PUBLIC if self.public else ""), most=len(self.rows) + 1)


class Status:
    """`now` is seconds since the epoch."""

    def __init__(
        self,
        *,
        inventory: Inventory,
        openable: Openable,
        probes: Probes,
        frame: Framing,
        root: str,
        now: Callable[[], float],
    ) -> None:
        self._inventory = inventory
        self._openable = openable
        self._probes = probes
        self._frame = frame
        self._root = root
        self._now = now

    async def page(self, request: Request, reader: Reader | None) -> Response:
        """Raises StatusError."""
        span = _span(request)
        known = await self._known(reader, span)
        now = self._now()
        groups = known.groups()
        shown = [(group, [self._component(row, known, span) for row in group.rows or ()]) for group in groups]
        frame = await self._frame(reader) if reader is not None else self._public(request)
        return page(
            request,
            "status.html",
            title="Status",
            here="status",
            live="status" if reader is not None else "",
            root=self._root,
            frame=frame,
            public=known.public,
            verdict=verdict(known.rows, now, broken=self._probes.broken),
            groups=shown,
            folded=len(known.rows) > MOST_OPEN,
            incidents=[self._told(one, public=known.public) for one in self._incidents(known)],
            span=span,
            spans=SPANS,
            step=SPANS[span][1],
            first=_day(now, SPANS[span][0] * SPANS[span][1]),
            badges=[] if known.public else [row for row in known.rows if row.probed is not None][:BADGES],
        )

    async def document(self, request: Request, reader: Reader | None) -> Response:
        """Raises StatusError."""
        span = _span(request)
        known = await self._known(reader, span)
        state, title, _ = verdict(known.rows, self._now(), broken=self._probes.broken)
        groups = [
            StatusGroup(group.name, [self._item(row, known) for row in group.rows or ()])
            for group in known.groups()
        ]
        found = StatusDocument(self._now(), span, WORDS[state].lower(), title, groups)
        return Response(
            orjson.dumps(found), media_type="application/json", headers={"Cache-Control": "no-store"}
        )

    async def feed(self, request: Request, reader: Reader | None) -> Response:
        """One item for each start and each end.  Raises StatusError."""
        known = await self._known(reader, "90d")
        items = []
        for one in (self._told(one, public=known.public) for one in self._incidents(known)):
            items.append((one.begin, f"{one.title}: {WORDS[one.state].lower()}", one.text, one.ref))
            if one.end is not None:
                items.append((one.end, f"{one.title}: over", "", one.ref))
        text = "".join(_item(*item) for item in sorted(items, reverse=True))
        body = (
            '<?xml version="1.0" encoding="utf-8"?>\n<rss version="2.0"><channel><title>Status</title>'
            f"<link>{escape(self._root)}/status</link><description>Starts and ends</description>\n{text}"
            "</channel></rss>\n"
        )
        return Response(
            body, media_type="application/rss+xml; charset=utf-8", headers={"Cache-Control": "no-store"}
        )

    async def changes(self, reader: Reader, path: str) -> dict[str, Any]:
        """What its events say now.  Raises StatusError."""
        known = await self._known(reader, "90d")
        state, title, more = verdict(known.rows, self._now(), broken=self._probes.broken)
        rows = [("verdict", state, title, "", 0, 0, "")]
        rows += [(row.ref, row.state, row.word, "", 0, 0, "") for row in known.rows]
        return {"rows": rows, "stats": {"verdict": more}}

    async def _known(self, reader: Reader | None, span: str) -> Known:
        """Raises StatusError."""
        if reader is not None:
            listed = await self._inventory.listed(reader, SERVICES, self._openable, PATIENCE)
            rows = list(listed.rows)
        else:
            await self._probes.look()
            everyone = Rights()
            rows = [
                self._inventory.row(subject, everyone)
                for subject in self._inventory.subjects(SERVICES)
                if subject.card.status == "public" and subject.card.title
            ]
        rows = rows[:MOST]
        refs = [(row.kind, row.subject.namespace, row.subject.name) for row in rows]
        found = await self._probes.histories(refs, span)
        histories = {row.ref: found[ref] for row, ref in zip(rows, refs, strict=True) if ref in found}
        return Known(rows, histories, reader is None)

    def _incidents(self, known: Known) -> list[Incident]:
        now = self._now()
        return latest(
            one
            for row in known.rows
            for one in (
                *incidents_of(row, known.histories.get(row.ref, History()), now),
                *announced(row, now),
            )
        )

    def _told(self, incident: Incident, *, public: bool) -> Incident:
        """To the public no reason and no name is told."""
        if not public:
            return incident
        text = _OVER if incident.end is not None else _GENERAL.get(incident.state, "")
        return msgspec.structs.replace(incident, ref="", text=text)

    def _component(self, row: Row, known: Known, span: str) -> Component:
        history = known.histories.get(row.ref, History())
        count, _ = SPANS[span]
        bars = history.bars or "n" * count
        bad = sum(letter in "gd" for letter in bars)
        label = f"{span[:-1]} {span[-1]}: {'no trouble' if not bad else f'trouble in {bad} of {count} parts'}"
        return Component(row, bars, figures.percent(history.uptime), label, history.uptime)

    def _item(self, row: Row, known: Known) -> StatusItem:
        history = known.histories.get(row.ref, History())
        return StatusItem(row.title, row.word.lower(), history.uptime, "" if known.public else row.ref)

    def _public(self, request: Request) -> Frame:
        return Frame(now=self._now(), place=request.headers.get("host", ""))


def _span(request: Request) -> str:
    span = request.query_params.get("span", "90d")
    return span if span in SPANS else "90d"


def _day(now: float, ago: float) -> str:
    return (datetime.fromtimestamp(now, UTC) - timedelta(seconds=ago)).strftime("%-d %b")


def _item(at: float, title: str, text: str, ref: str) -> str:
    mark = escape(f"{ref or title} {at:.0f}")
    return (
        f'<item><title>{escape(title)}</title><guid isPermaLink="false">{mark}</guid>'
        f"<pubDate>{formatdate(at, usegmt=True)}</pubDate><description>{escape(text)}</description></item>\n"
    )
