"""How slow the machine is just now, for limits on CPU time: a neighbour may halve what a core does."""

from __future__ import annotations

import time

USUAL = 1.1  # milliseconds that `_work` takes on a core of a server of 2024 that nothing slows


def slowness() -> float:
    """1.0 where the machine is as fast as usual, or faster; 2.0 where work takes twice the CPU time."""
    return max(1.0, min(_work() for _ in range(3)) / USUAL)


def _work() -> float:
    began = time.thread_time()
    fields = {}
    for number in range(4000):
        name, _, value = (b"line-%d: value" % number).partition(b":")
        fields[name.lower()] = value.strip()
    return (time.thread_time() - began) * 1000
