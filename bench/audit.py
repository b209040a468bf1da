"""What does an audit log cost a request?  Two bastions, one without it and one that writes it.

They are loaded in turn; five runs give five ratios, and the one in the middle counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from bench import wrk
from bench.client import await_answer
from bench.fixture import web_services
from bench.ground import Ground, free_port
from bench.outcome import Outcome, Target
from bench.processes import Program
from bench.proxies import bastion, nginx
from bench.report import say

PARTS = ("get-c32",)
COST = Target("CPU of a small GET that is audited (Metadata, batch), to that of one that is not", 1.08, "x")
RUNS = 5
CONNECTIONS = 32
POLICY = """\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
"""


WITHOUT, WITH = "without", "with"
ORDER = (WITHOUT, WITH, WITH, WITHOUT)  # a machine that becomes faster or slower does so for both


@dataclass(frozen=True, slots=True)
class Slice:
    cpu_seconds: float
    requests: int
    failed: int


def cost(slices: Sequence[Slice]) -> float:
    """Microseconds of CPU for a request."""
    return sum(one.cpu_seconds for one in slices) / sum(one.requests for one in slices) * 1e6


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable, NotRunning, LoadFailed."""
    outcome = Outcome()
    service = web_services(ground.network, 1)[0]
    ground.processes.start("backend", nginx.backend(ground, [service]), ground.load_core)
    policy, log = ground.file("policy.yaml", POLICY), ground.directory / "audit.log"
    audited = [f"--audit-policy-file={policy}", f"--audit-log-path={log}", "--audit-log-mode=batch"]
    ports: dict[str, int] = {}
    programs: dict[str, Program] = {}
    for name, flags in ((WITHOUT, []), (WITH, audited)):
        ports[name] = free_port()
        command = [*bastion.over_manifests(ground, ports[name], [service]), *flags]
        programs[name] = ground.processes.start(f"bastion-{name}", command, ground.proxy_core)
        await_answer(ground, programs[name], ports[name], service, nginx.GREETING.encode())
    script = wrk.gets(ground.users[0])

    def measure(name: str) -> Slice:
        url = f"https://127.0.0.1:{ports[name]}{service.prefix}/"
        before = programs[name].cpu_seconds
        load = wrk.run(ground, url, CONNECTIONS, ground.seconds, script)
        return Slice(programs[name].cpu_seconds - before, load.requests, load.failed)

    for name in ports:
        measure(name)  # until all is remembered
    rounds = [[(name, measure(name)) for name in ORDER] for _ in range(RUNS)]
    costs = {name: [cost([one for of, one in turn if of == name]) for turn in rounds] for name in ports}
    ratios = [with_it / without for without, with_it in zip(costs[WITHOUT], costs[WITH], strict=True)]
    outcome.figures["get-c32"] = {"cpu_us": costs, "ratios": ratios}
    for name in ports:
        if failed := sum(one.failed for turn in rounds for of, one in turn if of == name):
            outcome.failures.append(f"{failed} requests failed {name} an audit log")
    say(
        *(f"{name} an audit log: {', '.join(f'{one:.1f}' for one in of)} µs" for name, of in costs.items()),
        f"one to the other: {', '.join(f'{one:.3f}' for one in ratios)}",
    )
    outcome.judge(COST, statistics.median(ratios))
    return outcome
