"""What does a change of one endpoint cost the node proxy, among few Services and among many?"""

from __future__ import annotations

import json
import os
import subprocess
import sys

from bench.ground import Ground, Unable, require
from bench.outcome import Outcome, Target
from bench.report import say

PARTS = ("tables",)
FEW, MANY, ENDPOINTS = 10, 5000, 10  # 50 000 endpoints
TARGETS = {
    "change": Target(f"one endpoint's change in force among {MANY} Services", 20, " ms"),
    "flat": Target(f"CPU of a change among {MANY} Services beyond that among {FEW}", 1, " ms"),
    "first": Target(f"CPU of the first sync of {MANY} Services, {MANY * ENDPOINTS} endpoints", 2.5, " s"),
}
LONGEST = 120  # seconds


def run(ground: Ground, parts: tuple[str, ...]) -> Outcome:
    """Raises Unable."""
    outcome = Outcome()
    require("unshare", "util-linux")
    if os.geteuid() != 0:
        outcome.skip(TARGETS.values(), "needs root, for a network namespace")
        return outcome
    words = [
        "unshare",
        "--net",
        "taskset",
        "-c",
        str(ground.proxy_core),
        sys.executable,
        "-m",
        "bench.node_tables",
    ]
    done = subprocess.run(
        [*words, str(ENDPOINTS), str(FEW), str(MANY)], capture_output=True, text=True, timeout=LONGEST
    )
    if done.returncode:
        raise Unable(
            done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "bench.node_tables failed"
        )
    few, many = json.loads(done.stdout)
    for one in (few, many):
        say(
            f"{one['services']:5} Services: first sync {one['first_cpu_s']:.2f} s CPU,"
            f" a change {one['change_cpu_ms']:.2f} ms CPU and {one['change_ms']:.1f} ms to be in force"
        )
    outcome.figures = {"few": few, "many": many}
    outcome.judge(TARGETS["change"], many["change_ms"])
    outcome.judge(TARGETS["flat"], many["change_cpu_ms"] - few["change_cpu_ms"])
    outcome.judge(TARGETS["first"], many["first_cpu_s"])
    return outcome
