"""How does the bastion compare?  The figures of each scenario, in lines, ratios and quotients; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from bench.report import table
from bench.scenarios import US, RatioTarget

Row = dict[str, dict[str, float]]  # proxy -> figure
Results = dict[str, Row]  # scenario -> row


def spread(cpu_us: float, lookup_seconds: float, lifetime: float) -> float:
    """What a request costs when the lookups of a lifetime are shared by all requests of a busy core in that
    time.

    `cpu_us`: of a request while everything is remembered.  Measured over a whole lifetime it would depend on
    how many requests the rest of the machine let through meanwhile.
    """
    return cpu_us * lifetime / (lifetime - lookup_seconds) if lookup_seconds < lifetime else float("inf")


def divide(row: Row, quotient: RatioTarget) -> float | None:
    """None where the peer is absent or has nothing to show."""
    divisor = row.get(quotient.of, {}).get(quotient.by)
    return row[US][quotient.figure] / divisor if divisor else None


def lines(scenario: str, row: Row) -> Iterator[str]:
    for proxy, figures in row.items():
        yield f"{scenario:9} {proxy:8} {_line(figures)}"


def _line(figures: Mapping[str, float]) -> str:
    f = figures
    if "idle_mib" in f:
        return f"{f['idle_mib']:9.1f} MiB idle, {f['after_mib']:.1f} after"
    failed = f"   {f['failed']:.0f} FAILED" if f["failed"] else ""
    if "mib_s" in f:
        return f"{f['mib_s']:9.0f} MiB/s   CPU {f['cpu_ms']:6.0f} ms{failed}"
    load = f"{f['rate']:9.0f} req/s   p50 {f['p50_us']:7.0f} us   p99 {f['p99_us']:7.0f} us"
    whole = f"   with lookups {f['whole_us']:.1f} us/req" if "whole_us" in f else ""
    return f"{load}   CPU {f['cpu_us']:6.1f} us/req{whole}   busy {f['busy']:4.0%}{failed}"


def ratios(results: Results, peers: Sequence[str]) -> str:
    head = ["", *(f"{name} {kind}" for name in peers for kind in ("CPU", "p50", "speed"))]
    return table([head, *([scenario, *_ratios(row, peers)] for scenario, row in results.items())])


def _ratios(row: Row, peers: Sequence[str]) -> Iterator[str]:
    for peer in peers:
        for figures in (("whole_us", "cpu_us", "cpu_ms"), ("p50_us",), ("rate", "mib_s")):
            theirs, ours = row.get(peer, {}), row[US]
            yield next((f"{ours[f] / theirs[f]:.2f}" for f in figures if theirs.get(f)), "-")
