"""python -m bench.compare TREE: what does a request cost here, and what in another working tree?

Both bastions run at once and are loaded in turn, in many short rounds; the other proxies stand beside them
for a scale.  The ratio is taken within each round, so that a machine which is busy makes it less certain and
not wrong: how far the rounds differ is shown beside it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from bench import ground
from bench.fixture import Service, web_services
from bench.peers import PROXIES, SERVICES, RunningProxy, sample, start_all, transfer
from bench.processes import NotRunning
from bench.proxies import bastion, nginx
from bench.report import say, table
from bench.scenarios import DOWNLOAD, SCENARIOS, US
from bench.wrk import LoadFailed

BASE, THIS = "base", "this"
PARTS = ("get-c1", "get-c32", "get-c128", "mix", "browser", DOWNLOAD)
ROUNDS = 5

Rounds = dict[str, list[float]]  # proxy -> CPU of each round


def main() -> int:
    """0, 1 where something failed, 2 usage."""
    flags = _flags()
    try:
        with ground.prepared(1) as prepared:
            _run(prepared, flags.tree.resolve(), flags.only, flags.rounds, peers=flags.peers)
    except (ground.Unable, NotRunning, LoadFailed) as error:
        say(f"bench: {error}")
        return 1
    return 0


def _run(at: ground.Ground, tree: Path, parts: Sequence[str], rounds: int, *, peers: bool) -> None:
    services = web_services(at.network, SERVICES)
    at.processes.start("backend", nginx.backend(at, services), at.load_core)
    commands = {name: command for name, command in PROXIES.items() if name != US} if peers else {}
    commands[BASE] = partial(bastion.over_manifests, tree=tree)
    commands[THIS] = bastion.over_manifests
    proxies, _ = start_all(at, services, commands)
    rows = [("", *proxies, "this/base", "of rounds")]
    for part in parts:
        measured = _rounds(at, proxies, services, part, rounds)
        rows.append((part, *(_cpu(part, costs) for costs in measured.values()), *ratio(measured)))
        say(f"{part}: {rounds} rounds done")
    say("CPU of a request, in microseconds (of a download, in milliseconds); medians", table(rows))


def _rounds(
    at: ground.Ground,
    proxies: Mapping[str, RunningProxy],
    services: Sequence[Service],
    part: str,
    rounds: int,
) -> Rounds:
    """The one that is first in a round is last in the next."""
    costs: Rounds = {name: [] for name in proxies}
    for number in range(rounds):
        for name in list(proxies)[:: -1 if number % 2 else 1]:
            costs[name].append(_cost(at, proxies[name], services, part, first=number == 0))
    return costs


def _cost(
    at: ground.Ground, running: RunningProxy, services: Sequence[Service], part: str, *, first: bool
) -> float:
    """Where decisions are looked up they may have lapsed since the last round.

    Raises LoadFailed where a request failed: what was measured would be another thing.
    """
    if part == DOWNLOAD:
        moved = transfer(at, running, services[0])
        cost, failed = moved.cpu_ms, moved.failed
    else:
        scenario = SCENARIOS[part]
        warm_up = scenario.warm_up if first or scenario.looks_up else 0
        done = sample(at, running, scenario, services, warm_up, 1)
        cost, failed = done.cpu_us, done.failed
    if failed:
        raise LoadFailed(f"{part}: {failed} requests failed through {running.program.name}")
    return cost


def ratio(measured: Rounds) -> tuple[str, str]:
    """The median of the rounds' ratios, and the least and the largest of them."""
    ratios = [this / base for this, base in zip(measured[THIS], measured[BASE], strict=True)]
    return f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f}..{max(ratios):.3f}"


def _cpu(part: str, costs: Sequence[float]) -> str:
    return f"{statistics.median(costs):.{0 if part == DOWNLOAD else 1}f}"


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.compare", description=__doc__)
    parser.add_argument("tree", type=Path, help="the working tree of the other commit")
    parser.add_argument(
        "--only", nargs="+", default=PARTS, choices=(*SCENARIOS, DOWNLOAD), metavar="NAME", help="scenarios"
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help="default %(default)s")
    parser.add_argument("--peers", action="store_true", help="nginx, HAProxy and Envoy in the same rounds")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
