"""· Options of probes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from bastion.settings.kinds import BOOLEAN, COUNT, DURATION, LISTEN, PATH, named, one_of
from bastion.settings.option import option

CONVENTIONS = ("none", "prometheus.io")


@dataclass(frozen=True, slots=True)
class Probing:
    """`most` and `most_per_user`: probes under way; 0 for no limit."""

    config_file: Path | None = option(
        "probe-config-file",
        PATH,
        None,
        "modules for probes, a file as of blackbox_exporter; without it http_2xx and tcp_connect",
    )
    schedule: bool = option(
        "probe-schedule",
        BOOLEAN,
        True,
        "probe the services and pods that ask for it by the annotation bastion.dev/probe",
    )
    convention: str = option(
        "probe-convention",
        one_of(*CONVENTIONS),
        "none",
        "annotations of others that ask for probes, too: prometheus.io (…/probe, path, port, scheme)",
    )
    interval: float = option(
        "probe-interval", DURATION, 30.0, "between two scheduled probes of a target, where it does not say"
    )
    store: Path | None = option(
        "probe-store", PATH, None, "an SQLite file that keeps the history of probes; without it, in memory"
    )
    store_size: int = option(
        "probe-store-size", COUNT, 1024, "the largest that file becomes, in MiB; 0 for no limit"
    )
    lease: str = option(
        "probe-lease",
        named("NAMESPACE/NAME"),
        "",
        "the Lease by which replicas agree who probes; without it bastion-probes in the own namespace",
    )
    peer_address: tuple[str, int] | None = option(
        "probe-peer-address",
        LISTEN,
        None,
        "where the replica that probes tells the others its results, over TLS; without it the pod's own"
        " address (POD_IP) and any port",
    )
    peer_token_file: Path | None = option(
        "probe-peer-token-file",
        PATH,
        None,
        "the bastion's own token with the audience bastion-peers, which replicas show each other",
    )
    most: int = option("max-probes", COUNT, 256, "probes under way; 0 for no limit")
    most_per_user: int = option(
        "max-probes-per-user", COUNT, 32, "requests for probes of one user under way; 0 for no limit"
    )
    public_status: bool = option(
        "public-status",
        BOOLEAN,
        False,
        "show status and badges of services annotated bastion.dev/status: public to everybody",
    )
