"""· Options of the audit log: kube-apiserver's flags, with its defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, COUNT, DURATION, PATH, POSITIVE, TEXT, named, one_of
from bastion.settings.option import option

BATCH, BLOCKING, STRICT = "batch", "blocking", "blocking-strict"
JSON, LEGACY = "json", "legacy"

_MODES = one_of(BATCH, BLOCKING, STRICT)
_VERSION = one_of("audit.k8s.io/v1")
_MODE_HELP = (
    "batch: {one} in the background; blocking: a request waits for its own; blocking-strict: and fails where"
    " its first event fails"
)
_LARGEST_BATCH, _LARGEST_EVENT = 10 << 20, 100 << 10  # bytes


def _truncate(what: str) -> bool:
    """A row that both destinations have."""
    help = "shorten events, and split batches, that are larger than the next two say"
    return option(f"audit-{what}-truncate-enabled", BOOLEAN, False, help)  # type: ignore[no-any-return]


def _largest_batch(what: str) -> int:
    help = "the largest batch, in bytes of its events"
    return option(f"audit-{what}-truncate-max-batch-size", POSITIVE, _LARGEST_BATCH, help)  # type: ignore[no-any-return]


def _largest_event(what: str) -> int:
    help = "a larger event loses its bodies; where it is still larger it is dropped, and counted"
    return option(f"audit-{what}-truncate-max-event-size", POSITIVE, _LARGEST_EVENT, help)  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Audit:
    """Durations in seconds; `log_path` and `webhook_config_file` empty: nothing is written there."""

    policy_file: Path | None = option(
        "audit-policy-file",
        PATH,
        None,
        "the Policy (audit.k8s.io/v1) that decides what is audited; without it nothing is",
    )
    log_path: str = option(
        "audit-log-path", named("PATH", TEXT), "", "a file for audit events; - for standard output"
    )
    log_format: str = option(
        "audit-log-format", one_of(JSON, LEGACY), JSON, "an event a line, as JSON or text"
    )
    log_mode: str = option("audit-log-mode", _MODES, BLOCKING, _MODE_HELP.format(one="written"))
    log_version: str = option("audit-log-version", _VERSION, "audit.k8s.io/v1", "the version of the events")
    log_max_age: int = option("audit-log-maxage", COUNT, 366, "days for which old files are kept; 0: forever")
    log_max_backup: int = option("audit-log-maxbackup", COUNT, 100, "how many old files are kept; 0: all")
    log_max_size: int = option(
        "audit-log-maxsize", COUNT, 100, "megabytes of a file before the next one is begun; 0: never"
    )
    log_compress: bool = option("audit-log-compress", BOOLEAN, False, "old files are compressed (gzip)")
    log_truncate: bool = _truncate("log")
    log_largest_batch: int = _largest_batch("log")
    log_largest_event: int = _largest_event("log")
    webhook_config_file: Path | None = option(
        "audit-webhook-config-file",
        PATH,
        None,
        "a kubeconfig that says where audit events are posted to, and as whom",
    )
    webhook_mode: str = option("audit-webhook-mode", _MODES, BATCH, _MODE_HELP.format(one="posted"))
    webhook_version: str = option(
        "audit-webhook-version", _VERSION, "audit.k8s.io/v1", "the version of the events"
    )
    webhook_batch_size: int = option(
        "audit-webhook-batch-max-size", POSITIVE, 400, "how many events are posted at once, at most"
    )
    webhook_batch_wait: float = option(
        "audit-webhook-batch-max-wait", DURATION, 30.0, "how long a batch that is not full waits"
    )
    webhook_buffer_size: int = option(
        "audit-webhook-batch-buffer-size",
        POSITIVE,
        10000,
        "how many events wait to be posted; what comes on top of them is dropped, and counted",
    )
    webhook_throttle: bool = option(
        "audit-webhook-batch-throttle-enable",
        BOOLEAN,
        True,
        "batches are posted no faster than the next two say",
    )
    webhook_qps: int = option("audit-webhook-batch-throttle-qps", POSITIVE, 10, "batches a second")
    webhook_burst: int = option("audit-webhook-batch-throttle-burst", POSITIVE, 15, "batches at once")
    webhook_backoff: float = option(
        "audit-webhook-initial-backoff",
        DURATION,
        10.0,
        "before a post that failed is tried again; each further time half as long again",
    )
    webhook_truncate: bool = _truncate("webhook")
    webhook_largest_batch: int = _largest_batch("webhook")
    webhook_largest_event: int = _largest_event("webhook")
