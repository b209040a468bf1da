"""Results of scheduled probes for /metrics, for those who scrape once instead of per target."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bastion.observe.families import Family, Together, counter, gauge
from bastion.probe.sweeper import Latest, Sweeper

LABELS = ("namespace", "kind", "name", "module", "endpoint")
MOST = 10_000  # endpoints with series of their own

_METRICS: tuple[tuple[str, str, Callable[[Latest], float | None]], ...] = (
    (
        "bastion_probe_success",
        "Whether the last scheduled probe was a success; NaN where the prober was broken.",
        lambda one: float("nan") if one.success is None else float(one.success),
    ),
    (
        "bastion_probe_duration_seconds",
        "How long the last scheduled probe took.",
        lambda one: one.duration,
    ),
    (
        "bastion_probe_http_status_code",
        "The HTTP status of the last scheduled probe, 0 where no response came.",
        lambda one: one.status,
    ),
    (
        "bastion_probe_ssl_earliest_cert_expiry",
        "When the first of the certificates shown expires (seconds since the epoch).",
        lambda one: one.expiry,
    ),
)


def scheduled(sweeper: Sweeper) -> Iterable[Family]:
    rows: dict[tuple[str, ...], Latest] = {}
    for key, latest in list(sweeper.latest.items())[:MOST]:
        wanted = latest.wanted
        rows[wanted.namespace, wanted.kind, wanted.name, f"{key.module}", key.endpoint] = latest
    for name, help, value in _METRICS:
        found = {labels: read for labels, one in rows.items() if (read := value(one)) is not None}
        yield gauge(name, help, LABELS, found, Together.MOST)
    yield gauge(
        "bastion_probe_prober_broken",
        "Whether the prober cannot reach anything, so that it is not known what is up.",
        (),
        {(): float(sweeper.health.broken)},
        Together.MOST,
    )
    yield gauge(
        "bastion_probe_scheduled_targets",
        "Targets that this process probes by schedule.",
        (),
        {(): float(sweeper.scheduled)},
        Together.MOST,
    )
    yield counter(
        "bastion_probe_runs",
        "Scheduled probes that were made, of a target with all its endpoints.",
        (),
        {(): float(sweeper.runs)},
    )
