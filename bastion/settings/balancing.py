"""· Options of `bastion lb`: where to listen, which servers there are, and what a connection may."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bastion.kube.values import quoted
from bastion.settings.kinds import (
    ADDRESS,
    BOOLEAN,
    COUNT,
    DURATION,
    LISTEN,
    NETWORKS,
    PATH,
    POSITIVE,
    TEXT,
    Kind,
    Network,
    address,
    named,
    one_of,
    port,
    several,
    show_listen_address,
)
from bastion.settings.kubeapi import server
from bastion.settings.mistakes import Mistakes
from bastion.settings.observing import log_format, verbosity
from bastion.settings.option import option, section

READYZ, CONNECT, NONE = "readyz", "connect", "none"
LEAST, IN_TURN = "least-connections", "round-robin"
TCP, UDP = "tcp", "udp"
_HOST = re.compile(r"[A-Za-z0-9](?:[-.A-Za-z0-9]*[A-Za-z0-9])?")
_SNI = re.compile(r"(?:\*\.)?[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")

Socket = tuple[str, int]


def anywhere(text: str) -> Socket:
    """`[ADDRESS]:PORT`; an empty address stands for all of this host."""
    host, _, number = text.rpartition(":")
    host = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        return (address(host) if host else "", port(number))
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not an IP address and port such as :6443") from error


def backend(text: str) -> Socket:
    """`HOST:PORT`."""
    host, _, number = text.rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    try:
        found = port(number)
        if bare != host or not _HOST.fullmatch(host):
            address(bare)
    except ValueError as error:
        raise ValueError(f"{quoted(text)} is not a host and port such as 10.0.0.1:5432") from error
    if not found:
        raise ValueError(f"{quoted(text)}: the port must not be 0")
    return bare, found


def sni(text: str) -> tuple[str, str]:
    """`NAME=SERVER`: a URL as of --apiserver, or HOST:PORT as of --backend."""
    name, found, where = text.partition("=")
    if not found or not _SNI.fullmatch(name.lower()):
        raise ValueError(f"{quoted(text)} is not a name and a server such as prod.example=10.0.0.1:6443")
    if "://" in where:
        server(where)
    else:
        backend(where)
    return name.lower(), where


ANYWHERE = Kind("[IP]:PORT", anywhere, {"type": ["string", "integer"]}, show_listen_address)
BACKEND = Kind("HOST:PORT", backend, show=show_listen_address)
SNI = Kind("NAME=SERVER", sni, show="=".join)


@dataclass(frozen=True, slots=True)
class Balancing:
    """Durations in seconds.  `max_connections` 0: as many as descriptors allow."""

    listen: tuple[Socket, ...] = option(
        "listen", several(ANYWHERE, commas=False), (), "where clients connect; :6443 is every address"
    )
    apiservers: tuple[str, ...] = option(
        "apiserver",
        several(Kind("URL", server), commas=False),
        (),
        "an API server; its TLS is not touched, and its /readyz says whether it gets connections",
    )
    backends: tuple[Socket, ...] = option(
        "backend", several(BACKEND, commas=False), (), "any other server; whether it accepts is its health"
    )
    sni: tuple[tuple[str, str], ...] = option(
        "sni",
        several(SNI, commas=False),
        (),
        "a server for TLS clients that name this host (*.example for all below); other names go to"
        " --apiserver and --backend",
    )
    protocol: str = option("protocol", one_of(TCP, UDP), TCP, "what is balanced")
    kubeconfig: Path | None = option(
        "kubeconfig", PATH, None, "its API server where none is named, and credentials for what needs some"
    )
    discover: bool = option(
        "discover-apiservers",
        BOOLEAN,
        False,
        "those in the EndpointSlice default/kubernetes as well; needs --kubeconfig",
    )
    balance: str = option("balance", one_of(LEAST, IN_TURN), LEAST, "which healthy server is chosen")
    health_check: str = option(
        "health-check",
        one_of(READYZ, CONNECT, NONE),
        READYZ,
        "of API servers: /readyz without credentials, whether they accept, or none at all; of others connect"
        " or none",
    )
    certificate_authority: Path | None = option(
        "certificate-authority",
        PATH,
        None,
        "signs the API servers' certificates, for their checks; without it the kubeconfig's, or the system's",
    )
    tls_server_name: str = option(
        "tls-server-name",
        named("NAME", TEXT),
        "",
        "what the API servers' certificates are for, for their checks; without it the host of each URL",
    )
    insecure_skip_tls_verify: bool = option(
        "insecure-skip-tls-verify", BOOLEAN, False, "accept any certificate in checks of API servers"
    )
    connect_timeout: float = option(
        "connect-timeout", DURATION, 2.0, "for a connection to a server; the next one is tried then"
    )
    idle_timeout: float = option(
        "idle-timeout", DURATION, 0.0, "a connection without a byte for so long is closed; 0 for never"
    )
    connection_duration: float = option(
        "connection-duration", DURATION, 0.0, "how long a connection may last; 0 for any time"
    )
    max_connections: int = option(
        "max-connections", COUNT, 0, "at once in each worker; 0 for as many as descriptors allow"
    )
    max_per_client: int = option(
        "max-connections-per-client",
        COUNT,
        0,
        "at once in each worker, an IPv6 client is a /64; 0 for no limit but an even share when"
        " nearly all are taken",
    )
    proxy_protocol_from: tuple[Network, ...] = option(
        "proxy-protocol-cidr",
        NETWORKS,
        (),
        "balancers in front whose connections begin with a PROXY header, of version 1 or 2",
    )
    send_proxy_protocol: str = option(
        "send-proxy-protocol",
        one_of("none", "v1", "v2"),
        "none",
        "tell servers the client's address by a PROXY header; API servers do not understand it",
    )
    virtual_ips: tuple[str, ...] = option(
        "virtual-ip",
        several(ADDRESS, commas=False),
        (),
        "an address that exactly one of several load balancers has and announces on the link; needs"
        " --kubeconfig, for Leases",
    )
    virtual_ip_interfaces: tuple[str, ...] = option(
        "virtual-ip-interface",
        several(named("NAME", TEXT), commas=False),
        (),
        "where to announce it; without it each interface whose network it is of",
    )
    virtual_ip_lease: str = option(
        "virtual-ip-lease",
        named("PREFIX", TEXT),
        "bastion-lb",
        "what the names of these Leases begin with; PREFIX-HOST, renewed each second",
    )
    virtual_ip_identity: str = option(
        "virtual-ip-identity",
        named("NAME", TEXT),
        "",
        "who this one is among those that may have it; without it the host's name",
    )
    lease_namespace: str = option(
        "lease-namespace", named("NAME", TEXT), "kube-system", "where the Leases are"
    )
    shutdown_delay: float = option(
        "shutdown-delay-duration", DURATION, 0.0, "after SIGTERM: how long to be not ready, but still accept"
    )
    drain_timeout: float = option(
        "drain-timeout", DURATION, 30.0, "how long connections may go on after accepting has stopped"
    )
    workers: int = option("workers", POSITIVE, 1, "how many processes share the port")
    metrics_bind_address: Socket | None = option(
        "metrics-bind-address",
        LISTEN,
        None,
        "/metrics, /readyz and /livez in plain HTTP; on loopback where no address is given",
    )
    access_log: bool = option("access-log", BOOLEAN, True, "a line on stdout for each connection that ended")
    log_format: str = log_format()
    verbosity: int = verbosity()


@dataclass(frozen=True, slots=True)
class BalancingOptions:
    balancing: Balancing = section(Balancing, "flags")


def check(options: Balancing, mistakes: Mistakes) -> None:
    """What the values contradict."""
    if not options.listen:
        mistakes.add("{0}: is required", "balancing.listen")
    servers = options.apiservers or options.backends or options.sni
    if not (servers or options.kubeconfig):
        mistakes.add("{0}, {1}, {2} or {3}: a server is required", *_SERVERS)
    for key, asked in (("discover", options.discover), ("virtual_ips", bool(options.virtual_ips))):
        if asked and options.kubeconfig is None:
            mistakes.add("{0}: needs {1}", f"balancing.{key}", "balancing.kubeconfig")
    of_api = options.apiservers or options.kubeconfig or any("://" in where for _, where in options.sni)
    if options.send_proxy_protocol != "none" and of_api:
        mistakes.add("{0}: an API server does not understand it", "balancing.send_proxy_protocol")
    if options.protocol == UDP:
        for key, value in (
            ("apiservers", options.apiservers),
            ("sni", options.sni),
            ("kubeconfig", options.kubeconfig),
            ("proxy_protocol_from", options.proxy_protocol_from),
        ):
            if value:
                mistakes.add("{0}: is for TCP alone", f"balancing.{key}", "balancing.protocol")


_SERVERS = tuple(f"balancing.{name}" for name in ("apiservers", "backends", "sni", "kubeconfig"))
