"""A collector of spans: what a program sent by OTLP over HTTP."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Sink:
    """`spans` are those that were sent, by name the last; `service` their name."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.service = ""

    def take(self, body: bytes) -> None:
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in of.resource.attributes}
            self.service = names["service.name"]
            self.spans |= {span.name: span for scope in of.scope_spans for span in scope.spans}

    def children(self, parent: str) -> dict[str, Any]:
        above = self.spans[parent].span_id
        return {name: span for name, span in self.spans.items() if span.parent_span_id == above}


@contextmanager
def collector() -> Iterator[tuple[str, Sink]]:
    """(its URL, what it got)"""
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            sink.take(body)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/traces", sink
    finally:
        server.shutdown()
        server.server_close()
