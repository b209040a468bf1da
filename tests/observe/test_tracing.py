"""Is there one trace across client, bastion and backend, and nothing of it where tracing is off?"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bastion.http.fields import Field
from bastion.message.tracecontext import Trace, begin
from bastion.settings.config import serve_config
from bastion.wiring.bastion import open_bastion
from tests.fakes import run, until
from tests.observe.collector import collector
from tests.probe.world import World, address, backend, may, pod, response, service, world

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


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


CALL = "/api/v1/namespaces/shop/pods"


def passed(tmp_path: Path, *flags: str, **fields: str) -> dict[str, str]:
    """The fields that an API server saw of a call that was passed on."""
    cluster = {"name": "a", "cluster": {"server": f"http://{address(11)}:8080"}}
    context = {"name": "a", "context": {"cluster": "a", "user": "a"}}
    users = [{"name": "a", "user": {"token": "own"}}]
    kubeconfig = {"clusters": [cluster], "contexts": [context], "users": users, "current-context": "a"}
    (tmp_path / "kubeconfig").write_text(json.dumps(kubeconfig))
    given = ["--kubeconfig", str(tmp_path / "kubeconfig"), "--pass-through", *flags]

    async def main() -> dict[str, str]:
        says = {b"/readyz": response(), CALL.encode(): response(b"{}")}
        async with (
            backend(11, says=says) as api,
            open_bastion(serve_config(given), os.open(os.devnull, os.O_WRONLY)) as bastion,
        ):
            async with asyncio.timeout(20):
                while (await World(bastion).get(CALL, "alice", "GET", None, **fields)).status != 200:
                    await asyncio.sleep(0.05)
            (head,) = [one.decode() for one in api.seen if b"Bearer alice" in one]
            lines = [line.partition(": ") for line in head.split("\r\n")[1:-2]]
            return {name.lower(): value for name, _, value in lines}

    return run(main())


@pytest.mark.parametrize("trusted", [True, False])
def test_a_call_that_is_passed_on_is_of_the_same_trace(tmp_path: Path, trusted: bool) -> None:
    with collector() as (url, sink):
        flags = ("--tracing-endpoint", url, *(TRUST if trusted else ()))
        seen = passed(tmp_path, *flags, traceparent=CLIENT, tracestate="acme=1")
    server = sink.spans["GET pods"]
    assert sink.children("GET pods").keys() == {"authentication", "upstream"}
    _, trace, parent, _ = seen["traceparent"].split("-")
    assert (trace, parent) == (server.trace_id.hex(), sink.spans["upstream"].span_id.hex())
    assert (trace in CLIENT) == trusted == ("tracestate" in seen)


def test_off_the_context_of_a_passed_call_passes_as_it_came(tmp_path: Path) -> None:
    seen = passed(tmp_path, traceparent=CLIENT, tracestate="acme=1")
    assert (seen["traceparent"], seen["tracestate"]) == (CLIENT, "acme=1")


def test_pages_of_the_bastions_own_have_spans_and_health_has_none(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, OBJECTS, "", "--tracing-endpoint", url) as bastion:
            for path in ("/login", "/ui/pods/shop/web-0", "/why?target=pods/shop/web-0&verb=get", "/livez"):
                await bastion.get(path, "alice", traceparent=CLIENT)
            await bastion.get("/no/such", "alice", "BREW")

    with collector() as (url, sink):
        run(main())
    assert {name for name, span in sink.spans.items() if not span.parent_span_id} == {
        "GET /login",
        "GET /ui",
        "GET /why",
        "HTTP other",
    }


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
