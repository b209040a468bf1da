"""What does tracing cost a request?  Bastions in turn: without the extra `otel`, with it and off, and on."""

from __future__ import annotations

import os
from dataclasses import dataclass

from bench import wrk
from bench.client import await_answer
from bench.fixture import BACKEND_PORT, web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.proxies import bastion, nginx
from bench.report import say
from bench.turns import in_turn, medians

PARTS = ("get-c32",)
COST = Target(
    "CPU of a small GET with tracing off, to that of a bastion without the extra, the least of each",
    1.02,
    "x",
)
TURNS = 7
CONNECTIONS = 32
WITHOUT = "without the extra"
OFF, FORGETFUL = "off", "off, and nothing remembered"


@dataclass(frozen=True, slots=True)
class TracingFigures:
    cpu_us: float
    failed: int


def ways(collector: str) -> dict[str, list[str]]:
    """Flags by name.  Where tracing is on nothing is remembered, so that is measured by itself, too."""
    on = [f"--tracing-endpoint={collector}", "--tracing-sampling-ratio"]
    return {
        WITHOUT: [],
        OFF: [],
        FORGETFUL: ["--remember-requests=false"],
        "on, nothing sampled": [*on, "0"],
        "on, a hundredth sampled": [*on, "0.01"],
        "on, everything sampled": [*on, "1"],
    }


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    service = web_services(ground.network, 1)[0]
    ground.processes.start("backend", nginx.backend(ground, [service]), ground.load_core)
    # it answers whatever it is sent, and so is the collector, too
    flags = ways(f"http://{service.addresses[0]}:{BACKEND_PORT}/v1/traces")
    absent = _absent(ground)
    script = wrk.gets(ground.users[0])

    def measure(name: str) -> TracingFigures:
        """Of a process of its own: one may have its memory where it is slower than another's."""
        port = free_port()
        command = [*bastion.over_manifests(ground, port, [service]), *flags[name]]
        if name == WITHOUT:
            command = ["env", f"PYTHONPATH={absent}", *command]
        program = ground.processes.start("bastion", command, ground.proxy_core)
        await_answer(ground, program, port, service, nginx.GREETING.encode())
        url = f"https://127.0.0.1:{port}{service.prefix}/"
        wrk.run(ground, url, CONNECTIONS, ground.seconds, script)
        before = program.cpu_seconds
        load = wrk.run(ground, url, CONNECTIONS, ground.seconds, script)
        spent = program.cpu_seconds - before
        ground.processes.stop(program)
        return TracingFigures(spent / load.requests * 1e6, load.failed)

    samples = in_turn({name: name for name in flags}, measure, TURNS)
    figures = {name: medians(of) for name, of in samples.items()}
    outcome.figures["get-c32"] = figures
    outcome.failures += [
        f"{row['failed']:.0f} requests failed: {name}" for name, row in figures.items() if row["failed"]
    ]
    say(*(f"{row['cpu_us']:7.1f} µs  {name}" for name, row in figures.items()))
    off, without = (min(one.cpu_us for one in samples[name]) for name in (OFF, WITHOUT))
    outcome.judge(COST, off / without)
    return outcome


def _absent(ground: Ground) -> str:
    """A folder for Python's path in which the extra's packages are none; its API comes with FastAPI."""
    folder = ground.directory / "absent"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import sys\nfor name in ('sdk', 'exporter'):\n    sys.modules[f'opentelemetry.{name}'] = None\n"
    )
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))
