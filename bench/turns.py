"""Measures several things in turn, several times, so that a noisy moment meets all alike; the medians
count.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TURNS = 3

P = TypeVar("P")
S = TypeVar("S")


def in_turn(proxies: Mapping[str, P], measure: Callable[[P], S], turns: int = TURNS) -> dict[str, list[S]]:
    samples: dict[str, list[S]] = {name: [] for name in proxies}
    for _ in range(turns):
        for name, proxy in proxies.items():
            samples[name].append(measure(proxy))
    return samples


def medians(samples: Sequence[DataclassInstance]) -> dict[str, float]:
    """Of each figure by itself; what failed is added up."""
    figures = list(map(asdict, samples))
    return {
        name: (sum if name == "failed" else statistics.median)(f[name] for f in figures)
        for name in figures[0]
    }
