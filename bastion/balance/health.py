"""· Is an endpoint well, by its health checks?  Outcomes in, a state out; no clock, no I/O."""

from __future__ import annotations

import msgspec

FAILURES = 3  # in a row take it out
SUCCESSES = 2  # in a row put it back


class Health(msgspec.Struct, frozen=True, gc=False):
    """`run`: checks in a row that say otherwise."""

    ill: bool = False
    run: int = 0


def is_success(status: int) -> bool:
    return 200 <= status < 400


def observe(health: Health, *, well: bool) -> Health:
    if well is not health.ill:
        return Health(health.ill)
    run = health.run + 1
    if run >= (SUCCESSES if health.ill else FAILURES):
        return Health(not health.ill)
    return Health(health.ill, run)
