"""Operations: one page for who is on call, of this replica.  For who may `get` the path /ui/ops."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from fastapi import Request, Response

from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden, refused
from bastion.kube.errorwords import PAGE_NOT_OFFERED
from bastion.observe.recent import Recent, Summary
from bastion.settings.shown import Setting
from bastion.web import figures
from bastion.web.addresses import page_path
from bastion.web.permitted import Permitted
from bastion.web.portal.page import Framing
from bastion.web.reader import Reader
from bastion.web.rendering import page
from bastion.web.streamlist import StreamList
from bastion.web.target.view import Stat, stats_of

OPERATE = Attributes("get", version="", path="/ui/ops")
CONFIGURE = Attributes("get", version="", path="/ui/ops/config")
MOST_TARGETS, MOST_USERS, MOST_STREAMS = 10, 10, 100


class Check(msgspec.Struct, frozen=True):
    """One thing that this replica stands on."""

    name: str
    text: str
    state: str
    word: str


class Limit(msgspec.Struct, frozen=True):
    """`most` 0: there is no limit."""

    name: str
    used: int
    most: int
    note: str = ""

    @property
    def percent(self) -> int:
        return min(100, 100 * self.used // self.most) if self.most else 0


class Facts(msgspec.Struct, frozen=True):
    """What this replica tells of itself, each asked when a page is made."""

    replica: str
    since: float  # seconds since the epoch
    checks: Callable[[], Sequence[Check]]
    limits: Callable[[], Sequence[Limit]]
    numbers: Callable[[], Sequence[Stat]]
    versions: Callable[[], Sequence[tuple[str, str]]]
    settings: tuple[Setting, ...]
    streams: Callable[[], int]
    in_flight: Callable[[], int]


class Busy(msgspec.Struct, frozen=True):
    """A target, and its last minutes."""

    name: str
    page: str
    ref: str
    summary: Summary
    in_flight: int

    @property
    def errors(self) -> str:
        return f"{figures.number(100 * self.summary.errors)} %"

    @property
    def p99(self) -> str:
        return figures.milliseconds(self.summary.p99) if self.summary.p99 is not None else "–"

    @property
    def state(self) -> str:
        """Where there are errors worth a look."""
        return "down" if self.summary.errors > 0.05 else "deg" if self.summary.errors > 0.01 else ""


class Operations:
    """`offered` False: a page of an application could read it, and press its buttons."""

    def __init__(
        self,
        *,
        facts: Facts,
        recent: Recent,
        streams: StreamList,
        permitted: Permitted,
        frame: Framing,
        root: str,
        offered: bool,
    ) -> None:
        self._facts = facts
        self._recent = recent
        self._streams = streams
        self._permitted = permitted
        self._frame = frame
        self._root = root
        self._offered = offered

    async def page(self, request: Request, reader: Reader) -> Response:
        """Raises StatusError 403."""
        await self._check(reader)
        everything = request.query_params.get("show") == "all"
        configures = await self._permitted.may(reader, CONFIGURE)
        shown = [one for one in self._facts.settings if everything or one.given] if configures else []
        return page(
            request,
            "ops.html",
            title="Operations",
            here="ops",
            live="ops",
            root=self._root,
            frame=await self._frame(reader),
            facts=self._facts,
            stats=self._stats(),
            targets=await self._busiest(reader),
            checks=self._facts.checks(),
            streams=await self._streams.rows(reader, most=MOST_STREAMS),
            total=self._facts.streams(),
            users=await self._users(reader),
            limits=self._facts.limits(),
            configures=configures,
            settings=shown,
            everything=everything,
            versions=self._facts.versions(),
            closing=True,
        )

    async def changes(self, reader: Reader, path: str) -> Mapping[str, Any]:
        """What its events say now.  Raises StatusError."""
        await self._check(reader)
        stats = {one.key: one.value for one in self._stats()}
        for target in await self._busiest(reader):
            stats[f"rps:{target.ref}"] = figures.number(target.summary.rate)
            stats[f"p99:{target.ref}"] = target.p99
            stats[f"fly:{target.ref}"] = figures.number(target.in_flight)
        rows = await self._streams.rows(reader, most=MOST_STREAMS)
        for one in rows:
            stats[f"stream:{one.id}"] = f"{figures.size(one.received)} / {figures.size(one.sent)}"
        return {"rows": [(f"stream:{one.id}", "up", "", "", 0, 0, "") for one in rows], "stats": stats}

    async def _check(self, reader: Reader) -> None:
        if not self._offered:
            raise refused(PAGE_NOT_OFFERED, "there is no operations page while --sandbox-pages=false")
        decision = await self._permitted.decided(reader, OPERATE)
        if not decision.allowed:
            raise forbidden(reader.user.name, OPERATE, decision.reason)

    def _stats(self) -> list[Stat]:
        keys = [key for there in self._recent.targets().values() for key in there]
        all_of = stats_of(self._recent.summary(keys), self._facts.in_flight(), self._facts.streams())
        chosen = {one.key: one for one in all_of}
        found = [chosen[key] for key in ("rps", "err", "p99", "fly", "str")]
        return [*found, *self._facts.numbers()]

    async def _users(self, reader: Reader) -> list[tuple[str, int, int]]:
        """Others only for who may see the streams of all; everybody sees themselves."""
        others = await self._permitted.may_with_streams(reader, "list", "")
        return [one for one in self._recent.users() if others or one[0] == reader.user.name][:MOST_USERS]

    async def _busiest(self, reader: Reader) -> list[Busy]:
        """Of those that the reader may know by name."""
        found, targets = [], self._recent.targets()
        may = {kind: await self._permitted.names(reader, kind) for kind in {kind for kind, _, _ in targets}}
        for (resource, namespace, name), keys in targets.items():
            if not may[resource](namespace, name):
                continue
            flying = sum(self._streams.in_flight(resource, namespace, name).values())
            found.append(
                Busy(
                    f"{namespace}/{name}" if namespace else name,
                    page_path(resource, namespace, name),
                    f"{namespace}/{resource}/{name}",
                    self._recent.summary(keys),
                    flying,
                )
            )
        return sorted(found, key=lambda one: (-one.summary.rate, one.name))[:MOST_TARGETS]
