"""Is there one trace across client, bastion and backend, and nothing of it where tracing is off?"""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bastion.http.fields import Field
from bastion.message.tracecontext import Trace, begin
from tests.fakes import run, until
from tests.probe.world import backend, may, pod, response, service, world

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Sink:
    """A collector: `spans` are those that were sent, by name."""

    def __init__(self) -> None:
        self.spans: dict[str, Any] = {}
        self.service = ""

    def take(self, body: bytes) -> None:
        for of in ExportTraceServiceRequest.FromString(body).resource_spans:
            names = {one.key: one.value.string_value for one in of.resource.attributes}
            self.service = names["service.name"]
            self.spans |= {span.name: span for scope in of.scope_spans for span in scope.spans}


@contextmanager
def collector() -> Iterator[tuple[str, Sink]]:
    sink = Sink()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.headers.get("content-encoding") == "gzip":
                import gzip

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


OBJECTS = [pod("web-0", 10), service("web"), *may("alice", ["get"], ["pods/proxy"], "shop")]
PATH = "/api/v1/namespaces/shop/pods/web-0:8080/proxy/x?secret=1"


def asked(tmp_path: Path, *flags: str, code: int = 200, **fields: str) -> dict[str, str]:
    """The fields that the backend saw."""

    async def main() -> dict[str, str]:
        async with (
            world(tmp_path, OBJECTS, "", *flags) as bastion,
            backend(10, says={b"/x": response()}) as there,
        ):
            await until(lambda: bastion.bastion.cluster.catalog.pods)
            assert (await bastion.get(PATH, "alice", "GET", None, **fields)).status == code
            head = there.seen[0].decode() if there.seen else ""
            lines = [line.partition(": ") for line in head.split("\r\n")[1:-2]]
            return {name.lower(): value for name, _, value in lines}

    return run(main())


TRUST = ("--trusted-proxy-cidr", "127.0.0.1/32")


@pytest.mark.parametrize("trusted", [True, False])
def test_one_trace_across_client_bastion_and_backend(tmp_path: Path, trusted: bool) -> None:
    with collector() as (url, sink):
        flags = ("--tracing-endpoint", url, *(TRUST if trusted else ()))
        seen = asked(tmp_path, *flags, traceparent=CLIENT, tracestate="acme=1")
    server = sink.spans["GET pods/proxy"]
    upstream = sink.spans["upstream"]
    _, trace, parent, sampled = seen["traceparent"].split("-")
    assert (trace, parent, sampled) == (upstream.trace_id.hex(), upstream.span_id.hex(), "01")
    assert {span.trace_id.hex() for span in sink.spans.values()} == {trace}
    stages = {"authentication", "authorization", "upstream"}
    assert sink.spans.keys() == {*stages, "GET pods/proxy"} and sink.service == "bastion"
    for name in stages:
        span = sink.spans[name]
        assert span.parent_span_id == server.span_id
        assert server.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano
    if trusted:
        assert f"00-{trace}-{server.parent_span_id.hex()}-01" == CLIENT
        assert (seen["tracestate"], server.trace_state) == ("acme=1", "acme=1")
    else:
        assert trace not in CLIENT and server.parent_span_id == b"" and "tracestate" not in seen
    said = {one.key: one.value.string_value or one.value.int_value for one in server.attributes}
    assert (said["http.response.status_code"], said["enduser.id"]) == (200, "alice")
    assert "secret" not in str(server) + str(upstream)


def test_what_is_not_sampled_is_told_to_the_backend_and_sent_nowhere(tmp_path: Path) -> None:
    with collector() as (url, sink):
        seen = asked(tmp_path, "--tracing-endpoint", url, "--tracing-sampling-ratio", "0", traceparent=CLIENT)
    assert seen["traceparent"].endswith("-00") and CLIENT[3:35] not in seen["traceparent"]
    assert not sink.spans


def test_off_a_clients_context_passes_as_it_came(tmp_path: Path) -> None:
    seen = asked(tmp_path, traceparent=CLIENT, tracestate="acme=1")
    assert (seen["traceparent"], seen["tracestate"]) == (CLIENT, "acme=1")


def test_off_nothing_of_it_is_loaded() -> None:
    program = (
        "import sys, bastion.wiring.bastion;"
        " sys.exit(any(name.startswith('opentelemetry.sdk') for name in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, timeout=60).returncode == 0


def context(*lines: tuple[str, str], trusted: bool = True, ratio: float = 1.0, number: int = 7) -> Trace:
    fields: list[Field] = [(name.encode(), name.encode(), value.encode()) for name, value in lines]
    return begin(fields, trusted=trusted, ratio=ratio, random_bytes=lambda n: bytes([number] * n), began=0)


NEW = int.from_bytes(bytes([7] * 16))


@pytest.mark.parametrize(
    ("said", "counts"),
    [
        (CLIENT, True),
        (CLIENT[:-2] + "00", True),
        ("cc" + CLIENT[2:] + "-what-comes-later", True),
        ("00" + CLIENT[2:] + "-more", False),
        ("ff" + CLIENT[2:], False),
        ("00-" + "0" * 32 + CLIENT[35:], False),
        (CLIENT[:36] + "0" * 16 + "-01", False),
        (CLIENT.upper(), False),
        (CLIENT[:-1], False),
        (" " + CLIENT, False),
        ("", False),
    ],
)
def test_which_contexts_count(said: str, counts: bool) -> None:
    made = context(("traceparent", said), ("tracestate", "a=1"))
    assert (made.trace != NEW) == counts == bool(made.parent) == bool(made.state)
    assert made.sampled == (not counts or not said.endswith("-00"))
    assert context(("traceparent", said), trusted=False).trace == NEW
    assert context(("traceparent", said), ("traceparent", said)).trace == NEW


@pytest.mark.parametrize(
    ("ratio", "number", "sampled"), [(0, 0, False), (0.5, 1, True), (0.5, 200, False), (1, 255, True)]
)
def test_the_part_that_is_sampled(ratio: float, number: int, sampled: bool) -> None:
    assert context(ratio=ratio, number=number).sampled is (sampled and ratio > 0)


def test_a_state_that_is_too_long_is_left_out() -> None:
    assert context(("traceparent", CLIENT), ("tracestate", "a=" + "x" * 511)).state == b""
    assert context(("traceparent", CLIENT), ("tracestate", "a=1"), ("tracestate", "b=2")).state == b"a=1,b=2"
