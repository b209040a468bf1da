"""· The table of options, a section for each component: flag, kind, default and help of each.

A component is given its section, and has no default of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from bastion.kube.values import quoted
from bastion.message.identity import is_odd
from bastion.settings.kinds import (
    ADDRESS,
    BOOLEAN,
    COUNT,
    DURATION,
    LOOPBACK,
    NETWORKS,
    PATH,
    PATHS,
    PORT,
    POSITIVE,
    SIZE,
    Kind,
    Network,
    SetOf,
    list_schema,
    one_of,
    several,
)
from bastion.settings.option import option

INSECURE_ADDRESS = LOOPBACK  # where --insecure-port listens, whatever --bind-address says

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def odd_header(text: str) -> str:
    """The name of a header field that does not pass anyway."""
    if not _TOKEN.fullmatch(text) or not is_odd(text.encode()):
        raise ValueError(
            f"{quoted(text)} is not a name such as X_Tenant, with a character that is no letter, digit or '-'"
        )
    return text


_RESOURCE = one_of("pods", "services", "nodes")
RESOURCES = SetOf("RESOURCES", _RESOURCE.parse, list_schema(_RESOURCE), item=_RESOURCE, last=True)
ODD_HEADERS = several(Kind("NAME", odd_header), commas=False)


@dataclass(frozen=True, slots=True)
class Start:
    """What one start of `bastion serve` is asked to do."""

    config: Path | None = option(
        "config", PATH, None, "a BastionConfiguration file with options; flags and variables go before it"
    )
    check: bool = option(
        "check", BOOLEAN, False, "say whether a start would succeed, and what is missing, then exit: 0 or 1"
    )
    dump_config: bool = option(
        "dump-config", BOOLEAN, False, "print each option's value and where it comes from, then exit"
    )


@dataclass(frozen=True, slots=True)
class Source:
    """Where the objects and the decisions come from: a cluster, or `manifests`."""

    kubeconfig: Path | None = option(
        "kubeconfig", PATH, None, "the cluster; without it KUBECONFIG, ~/.kube/config, or the pod's own"
    )
    manifests: tuple[Path, ...] = option(
        "manifests", PATHS, (), "no cluster: serve these manifests, a file or folder"
    )
    token_file: Path | None = option(
        "token-auth-file", PATH, None, 'static tokens, a CSV of token,user,uid,"group,group"'
    )


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how to listen.  `insecure_port` 0: no plain listener.  Durations in seconds.

    `self_signed`: the certificate was made at start.
    """

    bind_address: str = option("bind-address", ADDRESS, LOOPBACK, "the address to listen on; 0.0.0.0 for all")
    port: int = option("port", PORT, 8443, "HTTPS; 0 for any free port")
    insecure_port: int = option("insecure-port", PORT, 0, "plain HTTP on loopback only; 0 for none")
    tls_cert_file: Path | None = option(
        "tls-cert-file", PATH, None, "the serving certificate with its chain, PEM; without it one is made"
    )
    tls_private_key_file: Path | None = option("tls-private-key-file", PATH, None, "its private key, PEM")
    workers: int = option("workers", POSITIVE, 1, "how many processes share the port")
    shutdown_delay: float = option(
        "shutdown-delay-duration",
        DURATION,
        0.0,
        "after SIGTERM: how long to be not ready, but still accept",
    )
    trusted_proxies: tuple[Network, ...] = option(
        "trusted-proxy-cidr", NETWORKS, (), "proxies whose X-Forwarded-* header fields are believed"
    )
    allow_request_headers: tuple[str, ...] = option(
        "allow-request-header",
        ODD_HEADERS,
        (),
        "a header field such as X_Tenant that backends get although its name has more than letters, digits"
        " and '-'",
    )
    remember_requests: bool = option(
        "remember-requests",
        BOOLEAN,
        True,
        "what was decided about a request is remembered for its repetitions, for as long as it holds",
    )
    self_signed: bool = False
    http2: bool = option("http2", BOOLEAN, True, "HTTP/2 on the HTTPS port, with clients that offer it")


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds for which a decision of the API server is cached."""

    authentication_ttl: float = option(
        "authentication-token-webhook-cache-ttl",
        DURATION,
        10.0,
        "how long a token's identity is cached, never past its expiry",
        reloadable=True,
    )
    authorized_ttl: float = option(
        "authorization-webhook-cache-authorized-ttl",
        DURATION,
        10.0,
        "how long an allowed decision is cached",
        reloadable=True,
    )
    unauthorized_ttl: float = option(
        "authorization-webhook-cache-unauthorized-ttl",
        DURATION,
        10.0,
        "how long a denied decision is cached",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class StreamLimits:
    """Upgraded connections, and exchanges that outlive `recheck_interval`; seconds, 0 for no limit
    (`recheck_interval` 0: access is not checked again, and what takes a minute is a stream).
    """

    recheck_interval: float = option(
        "stream-recheck-interval", DURATION, 60.0, "how often access is checked again; 0 for never"
    )
    recheck_grace: float = option(
        "stream-recheck-grace", DURATION, 300.0, "how long that check may fail to get a response"
    )
    idle_timeout: float = option(
        "stream-idle-timeout", DURATION, 3600.0, "a stream without a byte for so long ends; 0 for never"
    )
    max_duration: float = option(
        "stream-max-duration", DURATION, 43200.0, "the longest a stream lives; 0 for no limit"
    )
    endpoint_drain: float = option(
        "endpoint-drain-timeout",
        DURATION,
        30.0,
        "how long streams to an endpoint that terminates may go on; an annotation says it for a Service",
        reloadable=True,
    )
    drain: float = option("stream-drain", DURATION, 60.0, "how long streams may go on after SIGTERM")
    require_create: frozenset[str] = option(
        "upgrade-require-create",
        RESOURCES,
        frozenset(("nodes",)),
        "for which of pods,services,nodes an upgrade needs the verb create as well",
    )


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds."""

    request_header: float = option(
        "request-header-timeout",
        DURATION,
        10.0,
        "a request's head, from its first byte (or the connection) to its end",
        reloadable=True,
    )
    keep_alive: float = option(
        "keep-alive-timeout", DURATION, 60.0, "between two requests of a connection", reloadable=True
    )
    request_body_idle: float = option(
        "request-body-idle-timeout", DURATION, 60.0, "between two pieces of a request body", reloadable=True
    )
    response_stall: float = option(
        "response-stall-timeout",
        DURATION,
        60.0,
        "a client that reads nothing of its response",
        reloadable=True,
    )
    connect: float = option(
        "connect-timeout", DURATION, 5.0, "a connection to a backend, TLS included", reloadable=True
    )
    response_header: float = option(
        "response-header-timeout",
        DURATION,
        300.0,
        "the head of a backend's response, once the request is sent",
        reloadable=True,
    )
    response_idle: float = option(
        "response-idle-timeout",
        DURATION,
        3600.0,
        "between two pieces of a backend's response",
        reloadable=True,
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """0 for no limit."""

    connections_per_address: int = option(
        "max-connections-per-address",
        COUNT,
        512,
        "connections from one client address; trusted proxies are exempt",
        reloadable=True,
    )
    exchanges_per_user: int = option(
        "max-exchanges-per-user", COUNT, 512, "requests of one user in progress", reloadable=True
    )
    tunnels_per_user: int = option(
        "max-tunnels-per-user", COUNT, 256, "upgraded connections of one user", reloadable=True
    )
    body_size: int = option(
        "max-body-size",
        SIZE,
        0,
        "of a request's body to a target; an annotation makes it smaller for a Service",
        reloadable=True,
    )
    waiting_per_target: int = option(
        "max-waiting-per-target",
        COUNT,
        256,
        "requests that wait for the response of one target",
        reloadable=True,
    )
    authentication_failure_qps: float = option(
        "max-authentication-failure-qps",
        COUNT,
        20,
        "failed authentications per second from one address",
        reloadable=True,
    )
    authentication_failure_burst: float = option(
        "max-authentication-failure-burst",
        COUNT,
        40,
        "failed authentications at once from one address",
        reloadable=True,
    )
    lookup_qps: float = option(
        "max-lookup-qps",
        COUNT,
        20,
        "names of one user per second that are looked up at the API server",
        reloadable=True,
    )
