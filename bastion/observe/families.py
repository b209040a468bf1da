"""· What is a metric, how is it written for Prometheus, and how are those of several processes merged?

Plain values, so that they can be sent from one process to another; written here, as prometheus-client blocked
the loop for 50 ms with thousands of series.
"""

from __future__ import annotations

import enum
import functools
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from typing import TypeVar

import msgspec

# seconds
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)

AT_ONCE = 32  # series (of histograms each has some twenty lines)

Labels = tuple[str, ...]  # the values, in the order of the names
L = TypeVar("L", bound=Labels)
Counts = list[float]  # a histogram: one per bucket, one beyond all, and the sum
Histograms = dict[Labels, Counts]

_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Kind(enum.StrEnum):
    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Together(enum.StrEnum):
    """How the values of several processes are merged."""

    SUM = "sum"
    MOST = "most"
    LEAST = "least"
    APART = "apart"  # under a label `worker`: a sum would mean nothing


class Family(msgspec.Struct):
    """`samples` by the values of `labels`; of a histogram they are Counts."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]
    samples: dict[Labels, float | Counts]
    together: Together = Together.SUM


def counter(name: str, help: str, labels: tuple[str, ...], samples: Mapping[L, float]) -> Family:
    return Family(
        f"{name}_total", Kind.COUNTER, help, labels, {key: float(value) for key, value in samples.items()}
    )


def gauge(
    name: str,
    help: str,
    labels: tuple[str, ...],
    samples: Mapping[L, float],
    together: Together = Together.SUM,
) -> Family:
    return Family(
        name, Kind.GAUGE, help, labels, {key: float(value) for key, value in samples.items()}, together
    )


def histogram(name: str, help: str, labels: tuple[str, ...], samples: Mapping[L, Counts]) -> Family:
    return Family(name, Kind.HISTOGRAM, help, labels, {key: [*counts] for key, counts in samples.items()})


def no_counts() -> Counts:
    return [0.0] * (len(BUCKETS) + 2)


def add_duration(histograms: Histograms, key: Labels, seconds: float) -> None:
    counts = histograms.get(key) or histograms.setdefault(key, no_counts())
    counts[bisect_left(BUCKETS, seconds)] += 1
    counts[-1] += seconds


def text(families: Iterable[Family]) -> bytes:
    """Prometheus' text format, version 0.0.4."""
    return b"".join(pieces(families))


def pieces(families: Iterable[Family]) -> Iterator[bytes]:
    """Of that format: each is done in a millisecond or two, so that others have their turns between them."""
    for family in families:
        lines = [f"# HELP {family.name} {_help(family.help)}\n# TYPE {family.name} {family.kind}\n"]
        written = _histogram(family) if family.kind is Kind.HISTOGRAM else _plain(family)
        for one in written:
            lines.append(one)
            if len(lines) >= AT_ONCE:
                yield "".join(lines).encode("utf-8", "replace")
                lines.clear()
        yield "".join(lines).encode("utf-8", "replace")


def _plain(family: Family) -> Iterator[str]:
    for values, value in family.samples.items():
        labels = _labels(family.labels, values)
        yield f"{family.name}{{{labels}}} {value!r}\n" if labels else f"{family.name} {value!r}\n"


def _histogram(family: Family) -> Iterator[str]:
    """A series at a time."""
    starts = [f'{family.name}_bucket{{le="{bound}"' for bound in (*map(str, BUCKETS), "+Inf")]
    for values, counts in family.samples.items():
        assert isinstance(counts, list)
        labels = _labels(family.labels, values)
        more, whole = (f",{labels}", f"{{{labels}}}") if labels else ("", "")
        totals = [*accumulate(counts[:-1])]
        lines = [f"{start}{more}}} {total!r}\n" for start, total in zip(starts, totals, strict=True)]
        yield (
            f"{''.join(lines)}{family.name}_count{whole} {totals[-1]!r}\n{family.name}_sum{whole}"
            f" {counts[-1]!r}\n"
        )


@functools.lru_cache(16384)
def _labels(names: tuple[str, ...], values: Labels) -> str:
    """In the order of their names, as prometheus-client has them."""
    return ",".join(
        f'{name}="{value.translate(_ESCAPES)}"' for name, value in sorted(zip(names, values, strict=True))
    )


def _help(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


# --- of several processes


def merged(told: Mapping[str, Sequence[Family]]) -> list[Family]:
    """`told`: families by the number of their process."""
    whole: dict[str, Family] = {}
    for worker, families in told.items():
        for family in families:
            one = _apart(family, worker) if family.together is Together.APART else family
            known = whole.get(one.name)
            if known is None:
                whole[one.name] = Family(
                    one.name, one.kind, one.help, one.labels, {**one.samples}, one.together
                )
            else:
                add(known.samples, one)
    return [*whole.values()]


def add(samples: dict[Labels, float | Counts], family: Family) -> None:
    """Adds to the samples of other processes.  Lists are copied, so that `family` does not change."""
    for values, value in family.samples.items():
        known = samples.get(values)
        samples[values] = value if known is None else _joined(family.together, known, value)


def _joined(together: Together, one: float | Counts, other: float | Counts) -> float | Counts:
    if isinstance(one, list) or isinstance(other, list):
        return (
            [a + b for a, b in zip(one, other, strict=True)]
            if isinstance(one, list) and isinstance(other, list)
            else other
        )
    if together is Together.SUM:
        return one + other
    return min(one, other) if together is Together.LEAST else max(one, other)


def _apart(family: Family, worker: str) -> Family:
    samples = {(worker, *values): value for values, value in family.samples.items()}
    return Family(family.name, family.kind, family.help, ("worker", *family.labels), samples, family.together)
