"""What does a change of one endpoint cost the node proxy, among few Services and among many, and what does a
cluster IP cost a connection?
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from typing import Any

from bench.ground import Ground, Unable, require
from bench.outcome import Outcome, Target
from bench.report import say

PARTS = ("tables", "connections")
FEW, MANY, ENDPOINTS = 10, 5000, 10  # 50 000 endpoints
TARGETS = {
    "change": Target(f"one endpoint's change in force among {MANY} Services", 20, " ms"),
    "flat": Target(f"CPU of a change among {MANY} Services beyond that among {FEW}", 1, " ms"),
    "first": Target(f"CPU of the first sync of {MANY} Services, {MANY * ENDPOINTS} endpoints", 2.5, " s"),
    "connections": Target("connections/s by a cluster IP, of those to the pod", 0.95, "x", at_least=True),
}
LONGEST = 120  # seconds


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable."""
    outcome = Outcome()
    require("unshare", "util-linux")
    asked = {"tables": ("change", "flat", "first"), "connections": ("connections",)}
    if os.geteuid() != 0:
        outcome.skip([TARGETS[name] for part in parts for name in asked[part]], "needs root, for namespaces")
        return outcome
    if "tables" in parts:
        _tables(ground, outcome)
    if "connections" in parts:
        _connections(ground, outcome)
    return outcome


def _tables(ground: Ground, outcome: Outcome) -> None:
    words = ["taskset", "-c", str(ground.proxy_core), sys.executable, "-m", "bench.node_tables"]
    few, many = _in_namespace(*words, str(ENDPOINTS), str(FEW), str(MANY))
    for one in (few, many):
        say(
            f"{one['services']:5} Services: first sync {one['first_cpu_s']:.2f} s CPU,"
            f" a change {one['change_cpu_ms']:.2f} ms CPU and {one['change_ms']:.1f} ms to be in force"
        )
    outcome.figures |= {"few": few, "many": many}
    outcome.judge(TARGETS["change"], many["change_ms"])
    outcome.judge(TARGETS["flat"], many["change_cpu_ms"] - few["change_cpu_ms"])
    outcome.judge(TARGETS["first"], many["first_cpu_s"])


def _connections(ground: Ground, outcome: Outcome) -> None:
    cores = map(str, (ground.load_core, ground.proxy_core))
    words = [sys.executable, "-m", "bench.node_connections", "measure"]
    found = _in_namespace(*words, str(MANY), str(ENDPOINTS), str(ground.seconds / 3), *cores)
    rates = {name: statistics.median(turns) for name, turns in found.items()}
    ratio = statistics.median(
        one / other for one, other in zip(found["cluster_ip"], found["pod"], strict=True)
    )
    say(
        f"{MANY} Services: {rates['cluster_ip']:.0f} connections/s by a cluster IP,"
        f" {rates['pod']:.0f} straight to the pod, {ratio:.2f}x in the median of turns"
    )
    outcome.figures["connections"] = found
    outcome.judge(TARGETS["connections"], ratio)


def _in_namespace(*words: str) -> Any:
    """The JSON that it prints.  Raises Unable."""
    done = subprocess.run(["unshare", "--net", *words], capture_output=True, text=True, timeout=LONGEST)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"{words[-1]} failed"]
        raise Unable(said[-1])
    return json.loads(done.stdout)
