"""Was a target of the project kept?  Targets, what was measured, and the verdict; pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """`limit` is the most that may be measured, or with `at_least` the least."""

    what: str
    limit: float
    unit: str
    at_least: bool = False

    def __str__(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.limit:g}{self.unit}"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`measured` None: it could not be measured, and `why` says why."""

    target: Target
    measured: float | None
    why: str = ""

    @property
    def missed(self) -> bool:
        if self.measured is None:
            return False
        limit = self.target.limit
        return self.measured < limit if self.target.at_least else self.measured > limit

    @property
    def word(self) -> str:
        if self.measured is None:
            return "skipped"
        return "MISSED" if self.missed else "kept"


@dataclass(slots=True)
class Outcome:
    """What a suite found.

    `figures` goes into the JSON file; `failures` are sentences, and any one fails the run.
    """

    figures: dict[str, Any] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def judge(self, target: Target, measured: float | None, why: str = "") -> None:
        self.verdicts.append(Verdict(target, measured, why))

    def skip(self, targets: Iterable[Target], why: str) -> None:
        for target in targets:
            self.judge(target, None, why)


def exit_status(outcomes: Iterable[Outcome]) -> int:
    return int(any(outcome.failures or any(v.missed for v in outcome.verdicts) for outcome in outcomes))


def verdict_table(verdicts: Iterable[Verdict]) -> str:
    rows = [("target", "limit", "measured", "")]
    rows += [
        (v.target.what, str(v.target), _measured(v), v.word + (f": {v.why}" if v.why else ""))
        for v in verdicts
    ]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    return "\n".join(
        f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in rows
    )


def _measured(verdict: Verdict) -> str:
    if verdict.measured is None:
        return "-"
    return f"{verdict.measured:.{0 if abs(verdict.measured) >= 1000 else 2}f}{verdict.target.unit}"
