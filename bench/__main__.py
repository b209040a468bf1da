"""python -m bench: runs the suites one after the other and says which of the project's targets were kept."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from pathlib import Path
from typing import NoReturn, Protocol

from bench import (
    audit,
    front,
    ground,
    html,
    http2,
    l4,
    localproxy,
    memory,
    node,
    peers,
    portal,
    probing,
    reviews,
    scale,
    suites,
    tracing,
    tunnel,
    websocket,
)
from bench.outcome import Outcome, exit_status, verdict_table
from bench.processes import NotRunning
from bench.report import say
from bench.wrk import LoadFailed


class Suite(Protocol):
    @property
    def PARTS(self) -> tuple[str, ...]: ...

    def run(self, ground: ground.Ground, parts: tuple[str, ...]) -> Outcome:
        """Raises Unable, NotRunning, LoadFailed."""
        ...


SUITES: dict[str, Suite] = {
    "peers": peers,
    "memory": memory,
    "html": html,
    "audit": audit,
    "tracing": tracing,
    "node": node,
    "reviews": reviews,
    "portal": portal,
    "probing": probing,
    "scale": scale,
    "websocket": websocket,
    "localproxy": localproxy,
    "l4": l4,
    "front": front,
    "http2": http2,
    "tunnel": tunnel,
}
LONGEST = 3600  # seconds for everything


def main() -> int:
    """0 all targets kept, 1 one was missed or something failed, 2 usage."""
    flags = _flags()
    available = {suite: module.PARTS for suite, module in SUITES.items()}
    if flags.list:
        say(*(f"{suite}:{part}" for suite, parts in available.items() for part in parts))
        return 0
    try:
        wanted = suites.chosen(flags.only, available)
    except suites.UnknownSuite as error:
        say(f"bench: {error}")
        return 2
    _end_in_order()
    outcomes = {suite: _run(suite, parts, flags.seconds) for suite, parts in wanted.items()}
    say("", verdict_table(verdict for outcome in outcomes.values() for verdict in outcome.verdicts))
    say(
        *(f"FAILED {suite}: {failure}" for suite, outcome in outcomes.items() for failure in outcome.failures)
    )
    if flags.json:
        flags.json.write_text(json.dumps(_as_json(outcomes), indent=1) + "\n")
    return exit_status(outcomes.values())


def _run(suite: str, parts: tuple[str, ...], seconds: int) -> Outcome:
    """On ground of its own.  What one suite lacks or breaks does not keep the next from running."""
    say(f"\n=== {suite}")
    try:
        with ground.prepared(seconds) as prepared:
            return SUITES[suite].run(prepared, parts)
    except (ground.Unable, NotRunning, LoadFailed) as error:
        return Outcome(failures=[str(error)])


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="a suite, or SUITE:PART")
    parser.add_argument(
        "--seconds", type=int, default=3, metavar="N", help="how long a load lasts; default %(default)s"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--list", action="store_true", help="the suites and their parts")
    return parser.parse_args()


def _end_in_order() -> None:
    """Whatever ends the run, what it started is ended first: as if by control-C."""

    def end(number: int, _: object) -> NoReturn:
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, end)
    signal.alarm(LONGEST)


def _as_json(outcomes: dict[str, Outcome]) -> dict[str, object]:
    return {
        suite: {
            "figures": outcome.figures,
            "targets": [
                {"target": v.target.what, "limit": str(v.target), "measured": v.measured, "result": v.word}
                for v in outcome.verdicts
            ],
            "failures": outcome.failures,
        }
        for suite, outcome in outcomes.items()
    }


if __name__ == "__main__":
    sys.exit(main())
