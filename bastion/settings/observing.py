"""· Options of what is logged and measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, COUNT, LEVEL, LISTEN, one_of
from bastion.settings.option import option

LOG_FORMATS = ("text", "json")
MOST_TARGETS = 1024  # each is some twenty series


def log_format() -> str:
    """A row that several commands have."""
    help = "of the access log and of stderr; without it text at a terminal, else json"
    return option("log-format", one_of(*LOG_FORMATS), "", help)  # type: ignore[no-any-return]


def verbosity(*, reloadable: bool = False) -> int:
    """A row that several commands have."""
    help = "of the log: 0 what needs attention, 1 what happens, 4 each call to the API server"
    return option("v", LEVEL, 0, help, reloadable=reloadable, short="v")  # type: ignore[no-any-return]


@dataclass(frozen=True, slots=True)
class Observing:
    """`log_format` empty: text at a terminal, else JSON.

    `metrics_targets`: how many have series of their own.
    `metrics_authorization`: /metrics needs the right to get it.  `metrics_bind_address`: a plain listener for
    /metrics without that; None for none.  `folder`: where workers leave their metrics for each other, None
    where there is one process; `number`: which worker this is.
    """

    log_format: str = log_format()
    verbosity: int = verbosity(reloadable=True)
    metrics_targets: int = option(
        "metrics-targets",
        COUNT,
        0,
        f"how many pods, services and nodes have series of their own in /metrics, at most {MOST_TARGETS}",
    )
    metrics_authorization: bool = option(
        "metrics-authorization", BOOLEAN, True, "/metrics needs the right to get it (RBAC's nonResourceURLs)"
    )
    metrics_bind_address: tuple[str, int] | None = option(
        "metrics-bind-address",
        LISTEN,
        None,
        "a listener for /metrics in plain HTTP and without authorization; on loopback where no address is"
        " given",
    )
    folder: Path | None = None
    number: str = ""
