"""The page of one target, and closing its streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import Request, Response

from bastion.kube.annotations import mistakes
from bastion.kube.attributes import Attributes
from bastion.kube.errors import ROUTE_NOT_FOUND, error_of, refused
from bastion.kube.errorwords import NOT_A_PROXY_PATH, PAGE_NOT_OFFERED
from bastion.kube.pathgroups import grouped
from bastion.kube.target import parse_target
from bastion.web.addresses import named
from bastion.web.commands import Command, commands, target_of, tunnel
from bastion.web.figures import percent, size, span
from bastion.web.health import TROUBLE
from bastion.web.live.board import values_of
from bastion.web.permitted import Permitted
from bastion.web.portal.inventory import NODES, PODS, SERVICES
from bastion.web.portal.page import Framing
from bastion.web.reader import Reader
from bastion.web.rendering import page
from bastion.web.rules import role
from bastion.web.streamlist import StreamList
from bastion.web.target.endpoints import sentence
from bastion.web.target.view import SPANS, View, Views
from bastion.web.visit import see_other

CHANGING = (("create", "POST"), ("update", "PUT"), ("patch", "PATCH"), ("delete", "DELETE"))
_TLS = {
    "verified": "its certificate is verified",
    "unverified": "unverified: no authority for its certificate is known",
}
_KINDS = {SERVICES: "Service", PODS: "Pod", NODES: "Node"}


class TargetPage:
    """`closing`: streams may be closed here; `tunnels`: this bastion offers them."""

    def __init__(
        self,
        views: Views,
        permitted: Permitted,
        streams: StreamList,
        frame: Framing,
        root: str,
        *,
        closing: bool,
        tunnels: bool,
    ) -> None:
        self._views = views
        self._permitted = permitted
        self._streams = streams
        self._frame = frame
        self._root = root
        self._closing = closing
        self._tunnels = tunnels

    async def page(self, request: Request, reader: Reader) -> Response:
        """Raises StatusError."""
        resource, namespace, name = _named(request)
        window = request.query_params.get("span", "24h")
        window = window if window in SPANS else "24h"
        view = await self._views.of(reader, resource, namespace, name, window)
        row, now = view.row, self._views.now()
        bold, more = sentence(row, view.endpoints, now)
        return page(
            request,
            "target.html",
            title=row.title,
            here="portal",
            live="target",
            root=self._root,
            frame=await self._frame(reader),
            row=row,
            view=view,
            kind=_KINDS[resource],
            bold=bold,
            more=more,
            trouble=row.state in TROUBLE,
            span=window,
            spans=SPANS,
            closing=self._closing,
            commands=await self._commands(reader, view),
            about=self._about(view),
            **await self._rights(reader, view),
            mistakes=await self._mistakes(reader, view),
        )

    async def changes(self, reader: Reader, path: str) -> Mapping[str, Any]:
        """What its events say now.  Raises StatusError."""
        found = named(path)
        if found is None:
            raise error_of(NOT_A_PROXY_PATH, ROUTE_NOT_FOUND, details={})
        view = await self._views.of(reader, *found)
        stats = {one.key: one.value for one in view.stats}
        stats |= {f"fly:{name}": str(count) for name, count in view.in_flight.items()}
        for stream in view.streams:
            stats[f"stream:{stream.id}"] = _moved(stream.received, stream.sent)
        rows = [values_of(view.row)]
        rows += [(f"ep:{one.name}", one.state, one.word, one.latency, 0, 0, "") for one in view.endpoints]
        rows += [(f"stream:{one.id}", "up", "", "", 0, 0, "") for one in view.streams]
        return {"rows": rows, "stats": stats}

    async def close(self, request: Request, reader: Reader) -> Response:
        """Raises StatusError."""
        if not self._closing:
            raise refused(PAGE_NOT_OFFERED, "streams are not closed here while --sandbox-pages=false")
        closed = await self._streams.close(reader, request.path_params["id"])
        attributes = closed.admitted.info.attributes
        name = parse_target(attributes.resource, attributes.namespace, attributes.name).name
        where = f"namespaces/{attributes.namespace}/" if attributes.namespace else ""
        back = request.query_params.get("back", "")
        page_of_it = f"{self._root}/ui/{where}{attributes.resource}/{name}"
        return see_other(f"{self._root}/ui/ops" if back == "ops" else page_of_it)

    async def _commands(self, reader: Reader, view: View) -> list[Command]:
        """What its reader may do: without a port of theirs nothing, and a tunnel where there are tunnels."""
        row, subject = view.row, view.subject
        if not row.path:
            return []
        id = target_of(subject.resource, subject.namespace, row.id) + row.opened.rest
        found = commands(reader.origin, row.path, id)
        if self._tunnels and subject.resource != NODES:
            for _, number in subject.ports:
                asked = Attributes(
                    "create",
                    "",
                    "v1",
                    subject.namespace,
                    subject.resource,
                    "proxy",
                    name=f"{subject.name}:{number}",
                )
                if await self._permitted.may(reader, asked):
                    name = target_of(subject.resource, subject.namespace, subject.name)
                    return [*found, tunnel(reader.origin, name, number)]
        return found

    async def _rights(self, reader: Reader, view: View) -> dict[str, Any]:
        """Why the reader may, in the cluster's words, and what else."""
        subject = view.subject
        id = view.row.id or next((id for id in subject.ids if view.rights.may(subject.namespace, id)), "")
        group = view.row.opened.group

        def asked(verb: str) -> Attributes:
            whole = Attributes(verb, "", "v1", subject.namespace, subject.resource, "proxy", name=id)
            return grouped(whole, group) if group else whole

        decision = await self._permitted.decided(reader, asked("get"))
        verbs = [(verb, await self._permitted.may(reader, asked(verb))) for verb, _ in CHANGING]
        missing = tuple(verb for verb, allowed in verbs if not allowed)
        return {
            "reason": decision.reason,
            "group": group,
            "allowed_verbs": [verb for verb, allowed in verbs if allowed],
            "missing_verbs": missing,
            "missing_rule": role(reader.user, subject.namespace, subject.resource, missing, id, group)
            if missing
            else "",
        }

    async def _mistakes(self, reader: Reader, view: View) -> list[str]:
        """In its annotations, for who may mend them."""
        subject = view.subject
        if subject.resource == NODES:
            return []
        of = self._views.annotations(subject)
        found = [f"{one.key}: {one.why}" for one in mistakes(_KINDS[subject.resource], of)]
        if not found:
            return []
        update = Attributes("update", "", "v1", subject.namespace, subject.resource, name=subject.name)
        return found if await self._permitted.may(reader, update) else []

    def _about(self, view: View) -> list[tuple[str, str]]:
        card, found = view.subject.card, []
        if card.owner:
            found.append(("Owner", card.owner))
        ports = ", ".join(f"{name or 'unnamed'} {number}" for name, number in view.subject.ports)
        found.append(("Ports", ports or "none"))
        if view.row.tls:
            found.append(("TLS", _TLS[view.row.tls]))
        for probe in view.probes:
            every = f" each {span(probe['interval'])}" if probe["interval"] else ""
            found.append(("Probe", f"{probe['module']} of {probe['target']}{every}"))
            found.append(("Uptime, 30 d", percent(probe["uptime"]["30d"])))
        if not view.probes:
            found.append(("Probe", "none is set up"))
        return found


def _named(request: Request) -> tuple[str, str, str]:
    found = request.path_params
    if found.get("resource", NODES) not in _KINDS:
        raise error_of(NOT_A_PROXY_PATH, ROUTE_NOT_FOUND, details={})
    return found.get("resource", NODES), found.get("namespace", ""), found["name"]


def _moved(received: int, sent: int) -> str:
    return f"{size(received)} / {size(sent)}"
