"""What does `bastion lb` cost beside HAProxy in mode tcp and nginx's stream?

All stand in front of the same nginx, over plain HTTP, and are loaded in turn; medians count.  A peer that is
missing is skipped, and so are the comparisons with it.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from bench import wrk
from bench.fixture import BACKEND_PORT, Service, User
from bench.ground import Ground, Unable, free_port, require
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import nginx
from bench.report import say

PARTS = ("connections", "throughput", "idle", "workers")
TARGETS = {
    "rate": Target("lb: connections/s, of HAProxy's", 0.25, "x", at_least=True),
    "cpu": Target("lb: CPU of a connection, of HAProxy's", 4, "x"),
    "speed": Target("lb: speed of one connection, of HAProxy's", 0.8, "x", at_least=True),
    "gib": Target("lb: CPU of a GiB, of HAProxy's", 2, "x"),
    "idle": Target("lb: memory of an idle connection", 12, " KiB"),
    "spread": Target("lb: the part of two workers that gets more", 60, " %"),
    "worker": Target("lb: CPU of a connection with two workers, of one's", 1.1, "x"),
}
AT_ONCE = 16
ROUNDS = 3
IDLE = 10_000
CLIENTS = 100
KEPT_FREE = 200  # descriptors for all else, of each program
PATIENCE = 20.0  # seconds for a program to serve
USER = User("bench", "none")
# each request on a connection of its own
SCRIPT = f'wrk.headers["Connection"] = "close"\n{wrk.gets(USER)}'

HAPROXY = """
global
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
frontend all
  bind 127.0.0.1:{port}
  default_backend backend
backend backend
  server one {backend}
"""
# where distributions put it; with nginx itself where neither is there
MODULES = (
    "/usr/lib/nginx/modules/ngx_stream_module.so",
    "/usr/lib64/nginx/modules/ngx_stream_module.so",
)
NGINX = """
{load}
worker_processes 1; daemon off; pid {directory}/stream.pid; error_log stderr error;
events {{ worker_connections 65536; }}
stream {{ server {{ listen 127.0.0.1:{port}; proxy_pass {backend}; }} }}
"""


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    address = f"{ground.network}.10"
    command = nginx.backend(ground, (Service("one", (address,)),))
    ground.processes.start("backend", command, ground.load_core)
    backend = f"{address}:{BACKEND_PORT}"
    programs = dict(_programs(ground, backend))
    if "connections" in parts:
        _connections(ground, outcome, programs)
    if "throughput" in parts:
        _throughput(ground, outcome, programs)
    if "idle" in parts:
        _idle(outcome, *programs["bastion"])
    if "workers" in parts:
        _workers(ground, outcome, backend, programs["bastion"])
    return outcome


def _programs(ground: Ground, backend: str) -> Iterator[tuple[str, tuple[Program, int]]]:
    """By name the program and its port."""
    yield "bastion", _started(ground, "bastion", lambda port: _bastion(port, backend))
    for name, command in (("haproxy", _haproxy), ("nginx", _stream)):
        try:
            yield name, _started(ground, name, lambda port, command=command: command(ground, port, backend))
        except (Unable, NotRunning) as error:
            say(f"{name}: {str(error).splitlines()[-1]}")


def _bastion(port: int, backend: str, *more: str) -> list[str]:
    words = ["--listen", f"127.0.0.1:{port}", "--backend", backend, "--access-log=false", *more]
    return [sys.executable, "-m", "bastion", "lb", *words]


def _haproxy(ground: Ground, port: int, backend: str) -> list[str]:
    require("haproxy", "haproxy")
    file = ground.file("haproxy-tcp.cfg", HAPROXY.format(port=port, backend=backend))
    return ["haproxy", "-db", "-f", str(file)]


def _stream(ground: Ground, port: int, backend: str) -> list[str]:
    require("nginx", "nginx")
    load = next((f"load_module {path};" for path in MODULES if Path(path).exists()), "")
    text = NGINX.format(directory=ground.directory, port=port, backend=backend, load=load)
    return ["nginx", "-e", "stderr", "-p", str(ground.directory), "-c", str(ground.file("stream.conf", text))]


def _started(ground: Ground, name: str, command: object) -> tuple[Program, int]:
    """Raises Unable, NotRunning."""
    port = free_port()
    program = ground.processes.start(name, command(port), ground.proxy_core)  # type: ignore[operator]
    ends = time.monotonic() + PATIENCE
    while True:
        program.require()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as sock:
            sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
            if sock.recv(100):
                return program, port
        if time.monotonic() > ends:
            raise NotRunning(f"{name} does not serve")
        time.sleep(0.05)


# --- connections


def _loaded(ground: Ground, program: Program, port: int, at_once: int = AT_ONCE) -> tuple[float, float]:
    """(connections a second, CPU seconds of one)."""
    before = program.cpu_seconds
    load = wrk.run(ground, f"http://127.0.0.1:{port}/", at_once, ground.seconds, SCRIPT)
    return load.rate, (program.cpu_seconds - before) / load.requests


def _connections(ground: Ground, outcome: Outcome, programs: dict[str, tuple[Program, int]]) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, (program, port) in programs.items():
            found[name].append(_loaded(ground, program, port))
    rates = {name: statistics.median(rate for rate, _ in some) for name, some in found.items()}
    cpu = {name: statistics.median(cost for _, cost in some) for name, some in found.items()}
    for name in programs:
        say(f"{name}: {rates[name]:.0f} connections/s, {cpu[name] * 1e6:.0f} us of CPU each")
    outcome.figures["connections"] = {"rates": rates, "cpu_s": cpu}
    if "haproxy" not in programs:
        return outcome.skip([TARGETS["rate"], TARGETS["cpu"]], "there is no HAProxy")
    outcome.judge(TARGETS["rate"], rates["bastion"] / rates["haproxy"])
    outcome.judge(TARGETS["cpu"], cpu["bastion"] / cpu["haproxy"])
    return None


# --- one connection


def _throughput(ground: Ground, outcome: Outcome, programs: dict[str, tuple[Program, int]]) -> None:
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in programs}
    for _ in range(ROUNDS):
        for name, (program, port) in programs.items():
            before, began = program.cpu_seconds, time.monotonic()
            command = ["curl", "-s", "-o", "/dev/null", f"http://127.0.0.1:{port}/1g"]
            subprocess.run(["taskset", "-c", str(ground.load_core), *command], check=True)
            found[name].append((1 / (time.monotonic() - began), program.cpu_seconds - before))
    speed = {name: statistics.median(one for one, _ in some) for name, some in found.items()}
    cpu = {name: statistics.median(one for _, one in some) for name, some in found.items()}
    for name in programs:
        say(f"{name}: {speed[name]:.2f} GiB/s on one connection, {cpu[name] * 1000:.0f} ms of CPU a GiB")
    outcome.figures["throughput"] = {"gib_per_s": speed, "cpu_s": cpu}
    if "haproxy" not in programs:
        return outcome.skip([TARGETS["speed"], TARGETS["gib"]], "there is no HAProxy")
    outcome.judge(TARGETS["speed"], speed["bastion"] / speed["haproxy"])
    outcome.judge(TARGETS["gib"], cpu["bastion"] / cpu["haproxy"])
    return None


# --- idle connections


def _idle(outcome: Outcome, program: Program, port: int) -> None:
    """As many as descriptors allow: the load balancer needs two for each."""
    count = min(IDLE, (resource.getrlimit(resource.RLIMIT_NOFILE)[0] - KEPT_FREE) // 2)
    before = program.rss_mib
    held: list[socket.socket] = []
    try:
        for number in range(count):
            # of many clients: one alone does not get the last places
            source = (f"127.0.1.{number % CLIENTS + 1}", 0)
            held.append(socket.create_connection(("127.0.0.1", port), PATIENCE, source))
        time.sleep(1.0)
        each = (program.rss_mib - before) * 1024 / count
    finally:
        for sock in held:
            sock.close()
    say(f"bastion: {each:.1f} KiB for each of {count} idle connections")
    outcome.figures["idle"] = {"connections": count, "kib": each}
    outcome.judge(TARGETS["idle"], each)


# --- two workers


def _workers(ground: Ground, outcome: Outcome, backend: str, one: tuple[Program, int]) -> None:
    two = _started(ground, "workers", lambda port: _bastion(port, backend, "--workers", "2"))
    alone: list[float] = []
    together: list[float] = []
    parts: list[float] = []
    for _ in range(ROUNDS):
        alone.append(_loaded(ground, *one)[1])
        before = _by_process(two[0].process.pid)
        together.append(_loaded(ground, *two, 2 * AT_ONCE)[1])  # as many for each
        used = sorted(
            seconds - before.get(pid, 0.0) for pid, seconds in _by_process(two[0].process.pid).items()
        )
        parts.append(100 * used[-1] / sum(used[-2:]))
    ratio = statistics.median(together) / statistics.median(alone)
    say(f"two workers: {ratio:.2f}x the CPU of a connection, the busier has {statistics.median(parts):.0f} %")
    outcome.figures["workers"] = {"cpu": ratio, "busier": statistics.median(parts)}
    outcome.judge(TARGETS["spread"], statistics.median(parts))
    outcome.judge(TARGETS["worker"], ratio)


def _by_process(parent: int) -> dict[int, float]:
    """CPU seconds of each child: the supervisor's own is not of interest."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for pid in _children(parent):
        fields = _stat(pid)
        found[pid] = (int(fields[11]) + int(fields[12])) / ticks
    return found


def _children(parent: int) -> list[int]:
    return [
        int(entry)
        for entry in os.listdir("/proc")
        if entry.isdigit() and (fields := _stat(int(entry))) and int(fields[1]) == parent
    ]


def _stat(pid: int) -> list[str]:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()
    except OSError:
        return []
