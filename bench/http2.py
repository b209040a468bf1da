"""What does a request cost over HTTP/2, beside the same over HTTP/1.1 and beside Envoy's, and what an idle
stream?

Four connections of eight streams, as `h2load` opens them; the HTTP/1.1 beside is wrk's, with as many requests
under way.  All in turn, as in `peers`.
"""

from __future__ import annotations

import re
import socket
import ssl
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from bench import wrk
from bench.fixture import web_services
from bench.ground import Ground, require
from bench.outcome import Outcome, Target
from bench.peers import RunningProxy, start_all
from bench.processes import Program
from bench.proxies import bastion, envoy, nginx
from bench.report import say
from bench.turns import in_turn, medians
from bench.wrk import LoadFailed

PARTS = ("get", "idle")
CONNECTIONS, STREAMS = 4, 8
US, PEER, HTTP1 = "bastion", "envoy", "bastion over HTTP/1.1"
TARGETS = {
    HTTP1: Target("CPU of a small GET over HTTP/2, 4 connections of 8 streams, to HTTP/1.1", 1.3, "x"),
    PEER: Target("CPU of a small GET over HTTP/2, 4 connections of 8 streams, to Envoy's", 1.0, "x"),
    "idle": Target("memory of an idle HTTP/2 stream, of 10 000", 30, " KiB"),
}
IDLE, ON_EACH = 10_000, 100  # streams, and of one connection
WARM_UP = 1  # seconds
MARGIN = 30.0  # seconds that h2load may take longer than it was told to
_DONE = re.compile(r"^requests: (\d+) total.*?(\d+) succeeded, (\d+) failed, (\d+) errored", re.MULTILINE)
# HEADERS of a GET with fields that are not compressed, and SETTINGS without any.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"


@dataclass(frozen=True, slots=True)
class Cost:
    cpu_us: float
    rate: float
    failed: int


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    require("h2load", "nghttp2-client")
    outcome = Outcome()
    services = web_services(ground.network, 1)
    ground.processes.start("backend", nginx.backend(ground, services), ground.load_core)
    commands = {US: bastion.over_manifests, PEER: envoy.over_http2}
    proxies, absent = start_all(ground, services, commands)
    url = {name: running.url(services[0], "/") for name, running in proxies.items()}
    if "get" in parts:
        _get(ground, outcome, proxies, url, absent)
    if "idle" in parts:
        before = proxies[US].program.rss_mib
        held = _open_streams(ground, proxies[US].port, services[0].prefix)
        each = (proxies[US].program.rss_mib - before) * 1024 / IDLE
        say(f"idle      {IDLE} streams, {each:.1f} KiB each")
        outcome.figures["idle"] = {"kib": each}
        outcome.judge(TARGETS["idle"], each)
        for connection in held:
            connection.close()
    return outcome


def _get(
    ground: Ground,
    outcome: Outcome,
    proxies: Mapping[str, RunningProxy],
    url: Mapping[str, str],
    absent: Mapping[str, str],
) -> None:
    def measure(name: str) -> Cost:
        load = _wrk if name == HTTP1 else _h2load
        running = proxies[US if name == HTTP1 else name]
        load(ground, running.program, url[US if name == HTTP1 else name], WARM_UP)
        return load(ground, running.program, url[US if name == HTTP1 else name], ground.seconds)

    names = {name: name for name in (HTTP1, *proxies)}
    row = {name: medians(samples) for name, samples in in_turn(names, measure).items()}
    for name, figures in row.items():
        say(f"get       {name:22} {figures['cpu_us']:7.1f} us  {figures['rate']:8.0f}/s")
        if figures["failed"]:
            outcome.failures.append(f"get: {figures['failed']:.0f} requests failed through {name}")
    outcome.figures["get"] = row
    for other in (HTTP1, PEER):
        measured = row[US]["cpu_us"] / row[other]["cpu_us"] if other in row else None
        outcome.judge(TARGETS[other], measured, absent.get(other, ""))


def _h2load(ground: Ground, program: Program, url: str, seconds: int) -> Cost:
    """Raises LoadFailed."""
    command = ["taskset", "-c", str(ground.load_core), "h2load", "-t1", f"-c{CONNECTIONS}", f"-m{STREAMS}"]
    command += [f"-D{seconds}", "-H", f"authorization: {ground.users[0].authorization}", url]
    before = program.cpu_seconds
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + MARGIN)
    except subprocess.TimeoutExpired as error:
        raise LoadFailed(f"h2load did not end within {seconds + MARGIN:g} s") from error
    cpu = program.cpu_seconds - before
    found = _DONE.search(done.stdout)
    if found is None or found[2] == "0":
        raise LoadFailed(f"h2load has nothing to report: {(done.stderr or done.stdout).strip()[-500:]}")
    _, succeeded, failed, errored = map(int, found.groups())
    return Cost(cpu / succeeded * 1e6, succeeded / seconds, failed + errored)


def _wrk(ground: Ground, program: Program, url: str, seconds: int) -> Cost:
    """Raises LoadFailed."""
    before = program.cpu_seconds
    done = wrk.run(ground, url, CONNECTIONS * STREAMS, seconds, wrk.gets(ground.users[0]))
    return Cost((program.cpu_seconds - before) / done.requests * 1e6, done.rate, done.failed)


# --- streams that are open and say nothing


def _open_streams(ground: Ground, port: int, prefix: str) -> list[ssl.SSLSocket]:
    """Uploads whose first byte never comes, so that their backend is never asked."""
    context = ground.client_tls()
    context.set_alpn_protocols(["h2"])
    held = []
    for number in range(IDLE // ON_EACH):
        user = ground.users[number % len(ground.users)]
        connection = context.wrap_socket(
            socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1"
        )
        held.append(connection)
        heads = b"".join(
            _head(2 * stream + 1, f"{prefix}/post", user.authorization) for stream in range(ON_EACH)
        )
        connection.sendall(_PREFACE + heads)
        while len(connection.recv(65536)) > 9:
            break
    return held


def _head(stream: int, path: str, authorization: str) -> bytes:
    fields = [(":method", "POST"), (":scheme", "https"), (":authority", "bastion"), (":path", path)]
    fields.append(("authorization", authorization))
    block = b"".join(b"\0" + _text(name) + _text(value) for name, value in fields)
    return len(block).to_bytes(3, "big") + b"\1\4" + stream.to_bytes(4, "big") + block


def _text(text: str) -> bytes:
    """RFC 7541, 5.2; none is longer than one length that follows."""
    raw = text.encode()
    return (bytes((len(raw),)) if len(raw) < 127 else bytes((127, len(raw) - 127))) + raw
