"""Sends spans by OTLP over HTTP: one for each exchange, and one for each of its stages.

Loaded where tracing is on, and nowhere else: it brings the OpenTelemetry SDK.
"""

from __future__ import annotations

import secrets

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, TraceFlags, TraceState
from opentelemetry.trace.status import Status, StatusCode

from bastion import __version__
from bastion.http.ownpaths import PREFIX
from bastion.kube.requestinfo import VERBS
from bastion.message.tracecontext import Trace
from bastion.observe.record import Record

UPSTREAM = "upstream"  # the stage whose span the backend continues
TIMEOUT = 5.0  # seconds of one export
METHODS = frozenset((*VERBS, "CONNECT"))
OWN = frozenset((b"", b"login", b"logout", b"probe", b"status", b"status.json", b"status.rss", b"ui", b"why"))
_NANO = 1_000_000_000


class Spans:
    """A sink of the observer.  The exporter has a thread and a bounded queue of its own."""

    def __init__(self, endpoint: str, service: str) -> None:
        self._processor = BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint, timeout=TIMEOUT))
        self._resource = Resource.create({SERVICE_NAME: service, SERVICE_VERSION: __version__})
        self._scope = InstrumentationScope("bastion", __version__)

    def observe(self, record: Record) -> None:
        trace = record.trace
        if trace is None or not trace.sampled:
            return
        own = _context(trace, trace.span)
        for name, began, ended in trace.stages:
            number = trace.upstream if name == UPSTREAM else int.from_bytes(secrets.token_bytes(8)) or 1
            kind = SpanKind.CLIENT if name == UPSTREAM else SpanKind.INTERNAL
            at: dict[str, str | int] = (
                {"network.peer.address": record.endpoint} if name == UPSTREAM and record.endpoint else {}
            )
            times = (_at(record, trace, began), _at(record, trace, ended))
            self._emit(name, _context(trace, number), own, kind, at, times)
        parent = _context(trace, trace.parent, remote=True) if trace.parent else None
        times = (trace.began, trace.began + int(record.seconds * _NANO))
        name = f"{_method(record)} {_route(record)}"
        self._emit(name, own, parent, SpanKind.SERVER, _attributes(record), times, failed=record.code >= 500)

    def lasts(self, record: Record) -> None:
        """Its span is sent at its end."""

    def close(self) -> None:
        """Sends what is left.  Blocks for at most the time of an export."""
        self._processor.shutdown()  # type: ignore[no-untyped-call]

    def _emit(
        self,
        name: str,
        context: SpanContext,
        parent: SpanContext | None,
        kind: SpanKind,
        attributes: dict[str, str | int],
        times: tuple[int, int],
        *,
        failed: bool = False,
    ) -> None:
        span = ReadableSpan(
            name=name,
            context=context,
            parent=parent,
            resource=self._resource,
            attributes=attributes,
            kind=kind,
            start_time=times[0],
            end_time=times[1],
            status=Status(StatusCode.ERROR if failed else StatusCode.UNSET),
            instrumentation_scope=self._scope,
        )
        self._processor.on_end(span)


def _context(trace: Trace, span: int, *, remote: bool = False) -> SpanContext:
    state = TraceState.from_header([trace.state.decode()])
    return SpanContext(trace.trace, span, remote, TraceFlags(TraceFlags.SAMPLED), state)


def _at(record: Record, trace: Trace, moment: float) -> int:
    return trace.began + int((moment - record.started) * _NANO)


def _method(record: Record) -> str:
    """OpenTelemetry's word for those that it does not know."""
    return record.method if record.method in METHODS else "HTTP"


def _route(record: Record) -> str:
    """Few values: names and paths are attributes.  Of a resource with its subresource, or of an own page."""
    if record.info is None:
        first = record.path.removeprefix(PREFIX).split(b"/", 2)[1:2]
        return f"/{first[0].decode()}" if first and first[0] in OWN else "other"
    asked = record.info.attributes
    if not asked.resource:
        return "nonresource"
    return f"{asked.resource}/{asked.subresource}" if asked.subresource else asked.resource


def _attributes(record: Record) -> dict[str, str | int]:
    """OpenTelemetry's names for HTTP; no query, and nothing of a credential."""
    found: dict[str, str | int] = {
        "http.request.method": record.method if record.method in METHODS else "_OTHER",
        "url.path": record.path.decode("utf-8", "replace"),
        "client.address": record.client,
        "bastion.audit_id": record.audit_id,
    }
    if record.code:
        found["http.response.status_code"] = record.code
    if record.acting_as is not None:
        found["enduser.id"] = record.acting_as.name
    if record.info is not None:
        asked = record.info.attributes
        target = f"{asked.resource}/{asked.name}".rstrip("/") if asked.resource else asked.path
        found |= {"k8s.namespace.name": asked.namespace, "bastion.target": target}
    if record.word is not None:
        found["error.type"] = record.word.name
    return found
