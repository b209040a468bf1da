"""What does an audit log cost a request?  Two bastions in turn, one without it and one that writes it."""

from __future__ import annotations

from dataclasses import dataclass

from bench import wrk
from bench.client import await_answer
from bench.fixture import web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import Program
from bench.proxies import bastion, nginx
from bench.report import say
from bench.turns import in_turn, medians

PARTS = ("get-c32",)
COST = Target("CPU of a small GET that is audited (Metadata, batch), to that of one that is not", 1.08, "x")
TURNS = 5
CONNECTIONS = 32
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


@dataclass(frozen=True, slots=True)
class AuditFigures:
    cpu_us: float
    failed: int


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    service = web_services(ground.network, 1)[0]
    ground.processes.start("backend", nginx.backend(ground, [service]), ground.load_core)
    policy, log = ground.file("policy.yaml", POLICY), ground.directory / "audit.log"
    audited = [f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=batch"]
    ports: dict[str, int] = {}
    programs: dict[str, Program] = {}
    for name, flags in (("without", []), ("with", audited)):
        ports[name] = free_port()
        command = [*bastion.over_manifests(ground, ports[name], [service]), *flags]
        programs[name] = ground.processes.start(f"bastion-{name}", command, ground.proxy_core)
        await_answer(ground, programs[name], ports[name], service, nginx.GREETING.encode())
    script = wrk.gets(ground.users[0])

    def measure(name: str) -> AuditFigures:
        url = f"https://127.0.0.1:{ports[name]}{service.prefix}/"
        wrk.run(ground, url, CONNECTIONS, 1, script)
        before = programs[name].cpu_seconds
        load = wrk.run(ground, url, CONNECTIONS, ground.seconds, script)
        return AuditFigures((programs[name].cpu_seconds - before) / load.requests * 1e6, load.failed)

    samples = in_turn({name: name for name in ports}, measure, TURNS)
    figures = {name: medians(of) for name, of in samples.items()}
    outcome.figures["get-c32"] = figures
    outcome.failures += [
        f"{row['failed']:.0f} requests failed {name} an audit log"
        for name, row in figures.items()
        if row["failed"]
    ]
    say(", ".join(f"{row['cpu_us']:.1f} µs {name} an audit log" for name, row in figures.items()))
    outcome.judge(COST, figures["with"]["cpu_us"] / figures["without"]["cpu_us"])
    return outcome
