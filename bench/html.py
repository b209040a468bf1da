"""What does it cost to rewrite pages, in CPU and in memory, and does what is no page cost what it did?"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from bench import wrk
from bench.client import await_answer
from bench.fixture import web_services
from bench.ground import Ground, free_port
from bench.html_pages import BODIES, BOMBS, PAGES, WORST
from bench.outcome import Outcome, Target
from bench.processes import NotRunning, Program
from bench.proxies import bastion, nginx
from bench.report import say
from bench.turns import in_turn, medians

PARTS = ("pages", "bombs", "others")
CPU = Target("CPU of rewriting a MiB of HTML, the dearest page", 25, " ms")
MEMORY = Target("memory of rewriting an answer, the dearest", 16, " MiB")
OTHERS = Target("CPU of 64 KiB that are no HTML, to that without rewriting", 1.1, "x")

TURNS = 7
CONNECTIONS = 32
LONGEST = 120.0  # seconds for one body
Figures = dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class RewriteFigures:
    cpu_us: float
    failed: int


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    memory: list[float] = []
    if "pages" in parts:
        pages = {name: _rewritten(ground, name) for name in (*PAGES, *WORST)}
        outcome.figures["pages"] = pages
        outcome.judge(CPU, max(pages[name]["cpu_ms_mib"] for name in PAGES))
        memory += _grown(pages)
    if "bombs" in parts:
        bombs = {name: _rewritten(ground, name) for name in BOMBS}
        outcome.figures["bombs"] = bombs
        memory += _grown(bombs)
    if memory:
        outcome.judge(MEMORY, max(memory))
    if "others" in parts:
        _others(ground, outcome)
    return outcome


def _grown(figures: Figures) -> list[float]:
    return [row["grown_mib"] for row in figures.values()]


def _rewritten(ground: Ground, name: str) -> dict[str, float]:
    """What `html_rewriter` says of a body."""
    body = BODIES[name]()
    file = ground.directory / "body"
    file.write_bytes(body.data)
    command = [
        "taskset",
        "-c",
        str(ground.proxy_core),
        sys.executable,
        "-m",
        "bench.html_rewriter",
        str(file),
        body.encoding,
    ]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONGEST, check=True)
        figures: dict[str, float] = json.loads(done.stdout)
    except (subprocess.SubprocessError, ValueError) as error:
        raise NotRunning(f"nothing is told of {name}: {error}") from error
    figures["cpu_ms_mib"] = figures["cpu_s"] * 1000 / max(body.length, 1)
    cost = "  given up    " if figures["aborted"] else f"{figures['cpu_ms_mib']:7.1f} ms/MiB"
    say(f"{name:32}{cost} {figures['grown_mib']:7.1f} MiB")
    return figures


def _others(ground: Ground, outcome: Outcome) -> None:
    """The same answer through a bastion that rewrites pages, and through one that does not."""
    service = web_services(ground.network, 1)[0]
    ground.processes.start("backend", nginx.backend(ground, [service]), ground.load_core)
    ports: dict[str, int] = {}
    programs: dict[str, Program] = {}
    for name, flags in (("with", []), ("without", ["--rewrite-html=false"])):
        ports[name] = free_port()
        command = [*bastion.over_manifests(ground, ports[name], [service]), *flags]
        programs[name] = ground.processes.start(f"bastion-{name}", command, ground.proxy_core)
        await_answer(ground, programs[name], ports[name], service, nginx.GREETING.encode())
    script = wrk.gets(ground.users[0])

    def measure(name: str) -> RewriteFigures:
        url = f"https://127.0.0.1:{ports[name]}{service.prefix}/64k"
        wrk.run(ground, url, CONNECTIONS, 1, script)
        before = programs[name].cpu_seconds
        load = wrk.run(ground, url, CONNECTIONS, ground.seconds, script)
        return RewriteFigures((programs[name].cpu_seconds - before) / load.requests * 1e6, load.failed)

    figures = {
        name: medians(samples)
        for name, samples in in_turn({name: name for name in ports}, measure, TURNS).items()
    }
    outcome.figures["others"] = figures
    outcome.failures += _failures(figures)
    say(
        "64 KiB that are no HTML: "
        + ", ".join(f"{row['cpu_us']:.0f} µs {name} rewriting" for name, row in figures.items())
    )
    outcome.judge(OTHERS, figures["with"]["cpu_us"] / figures["without"]["cpu_us"])


def _failures(figures: Mapping[str, Mapping[str, float]]) -> list[str]:
    return [
        f"others: {row['failed']:.0f} requests failed {name} rewriting"
        for name, row in figures.items()
        if row["failed"]
    ]
