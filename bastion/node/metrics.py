"""· kube-proxy's metrics, under its names, as Prometheus' text."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

P = "kubeproxy_"
SYNC_BUCKETS = tuple(0.001 * 2**power for power in range(15))
PROGRAMMING_BUCKETS = (
    0.25,
    0.5,
    *map(float, range(1, 60)),
    *map(float, range(60, 120, 5)),
    *map(float, range(120, 301, 30)),
)

Labels = tuple[tuple[str, str], ...]


class Metrics:
    """A family without a sample is left out, as kube-proxy does."""

    def __init__(self) -> None:
        self._values: dict[str, dict[Labels, float]] = {}
        self._histograms: dict[str, dict[Labels, list[float]]] = {}
        self._kinds: dict[str, str] = {}
        self._buckets: dict[str, tuple[float, ...]] = {}

    def add(self, name: str, amount: float = 1, **labels: str) -> None:
        """To a counter."""
        self._kinds[name] = "counter"
        values = self._values.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        values[key] = values.get(key, 0.0) + amount

    def count(self, name: str, total: float) -> None:
        """A counter that is kept elsewhere."""
        self._kinds[name] = "counter"
        self._values[name] = {(): float(total)}

    def set(self, name: str, value: float, **labels: str) -> None:
        """A gauge."""
        self._kinds[name] = "gauge"
        self._values.setdefault(name, {})[tuple(sorted(labels.items()))] = value

    def observe(
        self, name: str, seconds: float, buckets: tuple[float, ...] = SYNC_BUCKETS, **labels: str
    ) -> None:
        self._buckets[name] = buckets
        series = self._histograms.setdefault(name, {})
        key = tuple(sorted(labels.items()))
        counts = series.setdefault(key, [0.0] * (len(buckets) + 2))  # one beyond all, and the sum
        counts[bisect_left(buckets, seconds)] += 1
        counts[-1] += seconds

    def text(self) -> bytes:
        return "".join(self._lines()).encode()

    def _lines(self) -> Iterator[str]:
        for name in sorted({*self._values, *self._histograms}):
            kind = self._kinds.get(name, "histogram")
            yield f"# HELP {P}{name} [ALPHA] {name.replace('_', ' ')}\n# TYPE {P}{name} {kind}\n"
            for labels, value in self._values.get(name, {}).items():
                yield f"{P}{name}{_braces(labels)} {value:.17g}\n"
            for labels, counts in self._histograms.get(name, {}).items():
                yield from _histogram(name, labels, counts, self._buckets[name])


def _histogram(name: str, labels: Labels, counts: list[float], buckets: tuple[float, ...]) -> Iterator[str]:
    totals = [*accumulate(counts[:-1])]
    for bound, total in zip((*(f"{one:g}" for one in buckets), "+Inf"), totals, strict=True):
        yield f"{P}{name}_bucket{_braces((*labels, ('le', bound)))} {total:g}\n"
    yield f"{P}{name}_sum{_braces(labels)} {counts[-1]:.17g}\n"
    yield f"{P}{name}_count{_braces(labels)} {totals[-1]:g}\n"


def _braces(labels: Labels) -> str:
    return "{" + ",".join(f'{name}="{value}"' for name, value in labels) + "}" if labels else ""
