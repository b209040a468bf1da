"""The pages about scheduled probes: each lists what its reader may open, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from bastion.http.fields import values
from bastion.kube.errors import error_of, unreadable
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.status import StatusError
from bastion.message.person import is_person, prefers_html
from bastion.probe.answers import Page
from bastion.probe.badges import badge_json, badge_svg
from bastion.probe.history import UNKNOWN, WINDOWS
from bastion.probe.markup import changes_rss, status_table
from bastion.probe.modulefile import DECLARED
from bastion.probe.modulesource import ModuleSource
from bastion.probe.parameters import parameters, text_of
from bastion.probe.reports import Report
from bastion.probe.service import Asked, Doors, Subject
from bastion.probe.wanted import Wanted
from bastion.proxy.identified import Asker

JSON = "application/json"
Reports = Callable[[str, str], Awaitable[Report]]  # of a target by a module, both empty for all


class Visible:
    """What readers may see: what they may open; without credentials, where that is on, what is public."""

    def __init__(
        self,
        doors: Doors,
        modules: ModuleSource,
        wanted: Callable[[], Iterable[Wanted]],
        *,
        public: bool,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`ready`: whether all objects are known, so that nothing is missing."""
        self._doors = doors
        self._modules = modules
        self._wanted = wanted
        self._public = public
        self._ready = ready

    async def of(self, asked: Asked) -> list[Wanted]:
        """Raises StatusError 401, 503."""
        if not self._ready():  # an empty list would have Prometheus forget its targets
            raise error_of(API_SERVER_AWAY, "the cluster's objects are still being read", retry_after=1)
        everything = self._wanted()
        asker = await self._asker(asked)
        if asker is None:
            return [one for one in everything if one.public]
        return [one for one in everything if await self._doors.may(asker, self._subject(one))]

    async def one(self, asked: Asked, found: Any) -> Subject:
        """The target and module that the query names.  Raises StatusError."""
        try:
            return (await self._doors.subject(asked, found))[0]
        except StatusError as error:
            if error.code not in (401, 403) or not self._public:
                raise
            subject = self._doors.named(found)
            if not any(
                one.public and one.target == subject.target and one.module == subject.name
                for one in self._wanted()
            ):
                raise
            return subject

    async def _asker(self, asked: Asked) -> Asker | None:
        """None for a reader without credentials who may see what is public."""
        try:
            return await self._doors.asker(asked)
        except StatusError as error:
            if error.code == 401 and self._public:
                return None
            raise

    def _subject(self, wanted: Wanted) -> Subject:
        module = None if wanted.module == DECLARED else self._modules.get(wanted.module)
        return Subject(wanted.target, wanted.module, module)


class Pages:
    """`reports` gives what is known by now, of this process or of the one that probes."""

    def __init__(self, visible: Visible, reports: Reports) -> None:
        self._visible = visible
        self._reports = reports

    async def targets(self, asked: Asked) -> Page:
        """Prometheus' http_sd: targets by id, to be relabelled onto `__param_target`."""
        groups = [
            {
                "targets": [one.target.text],
                "labels": {
                    "__param_module": one.module,
                    "__meta_bastion_namespace": one.namespace,
                    "__meta_bastion_kind": one.kind,
                    "__meta_bastion_name": one.name,
                },
            }
            for one in await self._visible.of(asked)
        ]
        return _json(groups)

    async def status(self, asked: Asked) -> Page:
        """For programs: JSON, or a table for who prefers HTML; a person has the status page."""
        fields = asked.exchange.all_fields()
        if is_person(asked.exchange.method, fields):
            return Page("text/plain; charset=utf-8", b"", 303, location="../status")
        there = await self._visible.of(asked)
        report = await self._reports("", "")
        rows = [_row(one, report) for one in there]
        if prefers_html(values(fields, b"accept")):
            return Page("text/html; charset=utf-8", status_table(report.prober, rows).encode())
        return _json({"prober": report.prober, "targets": rows})

    async def history(self, asked: Asked) -> Page:
        found = parameters(asked.query, ("target", "module"))
        subject = await self._visible.one(asked, found)
        report = await self._reports(subject.target.text, subject.name)
        known = report.of(subject.target.text, subject.name)
        return _json(
            {
                "target": subject.target.text,
                "module": subject.name,
                "prober": report.prober,
                **(known or {"state": UNKNOWN, "endpoints": []}),
            }
        )

    async def badge(self, asked: Asked) -> Page:
        label, message, colour = await self._badge(asked)
        return Page("image/svg+xml", badge_svg(label, message, colour).encode())

    async def shield(self, asked: Asked) -> Page:
        return _json(badge_json(*await self._badge(asked)))

    async def changes(self, asked: Asked) -> Page:
        there = await self._visible.of(asked)
        report = await self._reports("", "")
        found = [
            (at, state, one)
            for one in there
            for at, state in (report.of(one.target.text, one.module) or {}).get("changes", ())
        ]
        return Page(
            "application/rss+xml; charset=utf-8",
            changes_rss(sorted(found, key=lambda c: -c[0])[:100]).encode(),
        )

    async def _of(self, subject: Subject) -> dict[str, Any] | None:
        target, module = subject.target.text, subject.name
        return (await self._reports(target, module)).of(target, module)

    async def _badge(self, asked: Asked) -> tuple[str, str, str]:
        """Label, message and colour."""
        found = parameters(asked.query, ("target", "module", "window"))
        window = text_of(found, "window")
        if window and window not in WINDOWS:
            raise unreadable(f"the parameter window is one of {', '.join(WINDOWS)}")
        subject = await self._visible.one(asked, found)
        known = (await self._of(subject)) or {}
        if not window:
            state = known.get("state", UNKNOWN)
            return "health", state, _COLOURS.get(state, "lightgrey")
        share = known.get("uptime", {}).get(window)
        if share is None:
            return f"uptime {window}", UNKNOWN, "lightgrey"
        colour = (
            "brightgreen"
            if share >= 0.999
            else "green"
            if share >= 0.99
            else "yellow"
            if share >= 0.9
            else "red"
        )
        return f"uptime {window}", f"{share * 100:.2f}%", colour


_COLOURS = {"up": "brightgreen", "degraded": "yellow", "down": "red"}


def _row(wanted: Wanted, report: Report) -> dict[str, Any]:
    known = report.of(wanted.target.text, wanted.module) or {"state": UNKNOWN, "endpoints": []}
    endpoints = [
        {name: one[name] for name in ("endpoint", "pod", "state", "since", "last", "duration", "reason")}
        for one in known["endpoints"]
    ]
    return {
        "target": wanted.target.text,
        "module": wanted.module,
        "kind": wanted.kind,
        "namespace": wanted.namespace,
        "name": wanted.name,
        **{name: known[name] for name in ("state", "since", "last", "uptime", "flapping") if name in known},
        "endpoints": endpoints,
    }


def _json(document: Any) -> Page:
    return Page(JSON, json.dumps(document, separators=(",", ":")).encode() + b"\n")
