"""· What is told of what happens, how, and to whom?  Flags in, one section or every mistake out."""

from __future__ import annotations

import argparse
import ipaddress
from dataclasses import dataclass
from pathlib import Path

LOG_FORMATS = ("text", "json")
LOOPBACK = "127.0.0.1"
MOST_TARGETS = 1024  # each is some twenty series


@dataclass(frozen=True, slots=True)
class Observing:
    """`log_format` empty: as it suits whoever reads.  `targets`: how many are told apart in metrics.

    `authorization`: /metrics is for those who may get it.  `metrics_address`: a plain listener for it without
    that; None for none. `folder`: where workers meet who tell as one, None where there is one process;
    `number`: which of them this is.
    """

    log_format: str = ""
    targets: int = 0
    authorization: bool = True
    metrics_address: tuple[str, int] | None = None
    folder: Path | None = None
    number: str = ""


def of_flags(flags: argparse.Namespace) -> Observing:
    return Observing(
        flags.log_format, flags.metrics_targets, flags.metrics_authorization, flags.metrics_bind_address
    )


def contradictions(flags: argparse.Namespace) -> list[str]:
    found = []
    if flags.metrics_bind_address is not None and flags.metrics_bind_address[1] in (
        flags.port,
        flags.insecure_port,
    ):
        found.append("--metrics-bind-address needs a port of its own")
    if flags.metrics_targets > MOST_TARGETS:
        found.append(f"--metrics-targets: at most {MOST_TARGETS}: each is some twenty series")
    return found


# --- what a flag's value may be; each raises ArgumentTypeError


def listen_address(text: str) -> tuple[str, int] | None:
    """`[ADDRESS:]PORT`, loopback where only the port is said; port 0 for none."""
    host, _, port = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no address and port such as 127.0.0.1:9090")
    try:
        address = str(ipaddress.ip_address(host)) if host else LOOPBACK
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no IP address and port such as 127.0.0.1:9090"
        ) from error
    return (address, int(port)) if int(port) else None
