"""· What was asked for on the command line, checked as a whole: flags in, Config or every mistake at once
out.
"""

from __future__ import annotations

import argparse
import ipaddress
import math
import re
from dataclasses import dataclass, fields
from pathlib import Path

from bastion.message.identity import folded, is_odd, withholding
from bastion.runtime.errors import ConfigError
from bastion.settings import authentication, browsers, kubeapi, observing
from bastion.settings.authentication import Authentication
from bastion.settings.browsers import Browsers
from bastion.settings.kubeapi import KubeApi
from bastion.settings.observing import Observing

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

INSECURE_ADDRESS = "127.0.0.1"  # where --insecure-port listens, whatever --bind-address says

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ms|s|m|h))+")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")


@dataclass(frozen=True, slots=True)
class Serving:
    """Where and how to listen.  `insecure_port` 0: no plain listener.  Durations in seconds.

    `names`: those that a certificate made here has beside the address.  `self_signed`: it is one that was
    made here.
    """

    bind_address: str
    port: int
    insecure_port: int
    certificate: Path | None
    key: Path | None
    workers: int
    shutdown_delay: float
    names: tuple[str, ...] = ()
    self_signed: bool = False


@dataclass(frozen=True, slots=True)
class Source:
    """Where the objects and the decisions come from: a cluster, or `manifests`."""

    kubeconfig: Path | None
    manifests: tuple[Path, ...]
    token_file: Path | None


@dataclass(frozen=True, slots=True)
class Kubelet:
    """How kubelets are spoken to; the flags of the same names."""

    certificate_authority: Path | None
    client_certificate: Path | None
    client_key: Path | None
    insecure_skip_tls_verify: bool


@dataclass(frozen=True, slots=True)
class Streams:
    """Upgraded connections, and exchanges that outlive `recheck_interval`; seconds, 0 for no limit
    (`recheck_interval` 0: access is not checked again, and what takes a minute is a stream).
    """

    recheck_interval: float = 60.0
    recheck_grace: float = 300.0
    idle_timeout: float = 3600.0
    max_duration: float = 43200.0
    drain: float = 60.0
    require_create: frozenset[str] = frozenset(("nodes",))


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds.

    From clients: a head, the next request, a piece of a body, progress of a reader; to backends: a
    connection, an answer's head, a piece of its body.
    """

    request_header: float = 10.0
    keep_alive: float = 60.0
    request_body_idle: float = 60.0
    response_stall: float = 60.0
    connect: float = 5.0
    response_header: float = 300.0
    response_idle: float = 3600.0


@dataclass(frozen=True, slots=True)
class Pages:
    """`rewrite_html`: links in pages are put under the prefix.

    `sandbox`: a page that a session cookie got has an origin of its own.
    """

    rewrite_html: bool = True
    sandbox: bool = True


@dataclass(frozen=True, slots=True)
class Limits:
    """0 for no limit."""

    connections_per_address: int = 512
    exchanges_per_user: int = 512
    tunnels_per_user: int = 256
    waiting_per_target: int = 256
    authentication_failure_qps: float = 20.0
    authentication_failure_burst: float = 40.0
    lookup_qps: float = 20.0


@dataclass(frozen=True, slots=True)
class Memory:
    """For how many seconds an answer of the API server counts: whose a token is, that somebody may, that
    somebody may not.
    """

    authentication: float = 10.0
    authorized: float = 10.0
    unauthorized: float = 10.0


@dataclass(frozen=True, slots=True)
class Config:
    serving: Serving
    streams: Streams
    timeouts: Timeouts
    limits: Limits
    pages: Pages
    source: Source
    kubelet: Kubelet
    nodes: bool
    anonymous: bool
    allow_targets: tuple[Network, ...]
    trusted_proxies: tuple[Network, ...]
    verbosity: int
    kube_api: KubeApi = KubeApi()  # noqa: RUF009 frozen
    browsers: Browsers = Browsers()  # noqa: RUF009 frozen
    authentication: Authentication = Authentication()  # noqa: RUF009 frozen
    memory: Memory = Memory()
    generated_clients: bool = True
    allow_headers: tuple[str, ...] = ()
    observing: Observing = Observing()  # noqa: RUF009 frozen


def serve_config(flags: argparse.Namespace) -> Config:
    """Raises ConfigError with every mistake."""
    proofs, wrong_proofs = authentication.of_flags(flags)
    mistakes = [*_contradictions(flags), *wrong_proofs, *_missing_files(flags)]
    if mistakes:
        raise ConfigError(mistakes)
    return Config(
        Serving(
            flags.bind_address,
            flags.port,
            flags.insecure_port,
            flags.tls_cert_file,
            flags.tls_private_key_file,
            flags.workers,
            flags.shutdown_delay_duration,
            browsers.of_flags(flags).names(),
            flags.tls_cert_file is None,
        ),
        Streams(
            flags.stream_recheck_interval,
            flags.stream_recheck_grace,
            flags.stream_idle_timeout,
            flags.stream_max_duration,
            flags.stream_drain,
            flags.upgrade_require_create,
        ),
        Timeouts(*(getattr(flags, f"{field.name}_timeout") for field in fields(Timeouts))),
        _shared(Limits(*(getattr(flags, f"max_{field.name}") for field in fields(Limits))), flags.workers),
        Pages(flags.rewrite_html, flags.sandbox_pages),
        Source(flags.kubeconfig, tuple(flags.manifests), flags.token_auth_file),
        Kubelet(
            flags.kubelet_certificate_authority,
            flags.kubelet_client_certificate,
            flags.kubelet_client_key,
            flags.kubelet_insecure_skip_tls_verify,
        ),
        flags.enable_node_proxy,
        flags.anonymous_auth,
        tuple(flags.allow_target_cidr),
        tuple(flags.trusted_proxy_cidr),
        flags.verbosity,
        kube_api=kubeapi.of_flags(flags),
        browsers=browsers.of_flags(flags),
        authentication=proofs,
        memory=Memory(
            flags.authentication_token_webhook_cache_ttl,
            flags.authorization_webhook_cache_authorized_ttl,
            flags.authorization_webhook_cache_unauthorized_ttl,
        ),
        generated_clients=flags.decode_generated_client_paths,
        allow_headers=tuple(flags.allow_request_header),
        observing=observing.of_flags(flags),
    )


def _shared(limits: Limits, workers: int) -> Limits:
    """What one of the workers may take of the limits."""
    return Limits(*(math.ceil(getattr(limits, field.name) / workers) for field in fields(Limits)))


def _contradictions(flags: argparse.Namespace) -> list[str]:
    found = []
    if flags.manifests and flags.kubeconfig:
        found.append("--manifests and --kubeconfig exclude each other: the objects come from one place")
    if bool(flags.tls_cert_file) != bool(flags.tls_private_key_file):
        found.append("--tls-cert-file and --tls-private-key-file belong together")
    if bool(flags.kubelet_client_certificate) != bool(flags.kubelet_client_key):
        found.append("--kubelet-client-certificate and --kubelet-client-key belong together")
    if flags.kubelet_insecure_skip_tls_verify and flags.kubelet_certificate_authority:
        found.append(
            "--kubelet-insecure-skip-tls-verify and --kubelet-certificate-authority exclude each other"
        )
    if flags.insecure_port and flags.insecure_port == flags.port:
        found.append("--insecure-port and --port must differ")
    said = withholding(*authentication.named_by_front_proxies(flags))
    for name in flags.allow_request_header:
        if said(folded(name.encode())) or folded(name.encode()).decode() in authentication.ORDINARY:
            found.append(
                f"--allow-request-header: a backend could read {name} as one of the headers that say who"
                " asks, or for what"
            )
    return [
        *found,
        *kubeapi.contradictions(flags),
        *browsers.contradictions(flags),
        *observing.contradictions(flags),
    ]


def _missing_files(flags: argparse.Namespace) -> list[str]:
    names = (
        "kubeconfig",
        "tls_cert_file",
        "tls_private_key_file",
        "token_auth_file",
        "session_key_file",
        "client_ca_file",
        "requestheader_client_ca_file",
        "oidc_ca_file",
        "authentication_config",
        "kubelet_certificate_authority",
        "kubelet_client_certificate",
        "kubelet_client_key",
    )
    given = [(name, getattr(flags, name)) for name in names] + [
        ("manifests", path) for path in flags.manifests
    ]
    return [
        f"--{name.replace('_', '-')}: {path}: no such file"
        for name, path in given
        if path is not None and not path.exists()
    ]


# --- what a flag's value may be; each raises ArgumentTypeError


def boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "t"):
        return True
    if text.lower() in ("false", "0", "f"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def duration(text: str) -> float:
    """Seconds, from Go's notation: 300ms, 1.5h, 2h45m; 0 needs no unit."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no duration such as 30s, 5m or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))


def port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 0 to 65535")
    return int(text)


def count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 0 on")
    return int(text)


def positive(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no IP address") from error


def resources(text: str) -> frozenset[str]:
    """A comma-separated list of pods, services and nodes; empty for none."""
    names = frozenset(filter(None, text.split(",")))
    if not names <= {"pods", "services", "nodes"}:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of pods, services and nodes")
    return names


def odd_header(text: str) -> str:
    """One that does not pass anyway."""
    if not _TOKEN.fullmatch(text) or not is_odd(text.encode()):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no header such as X_Tenant, with a character that is no letter, digit or '-'"
        )
    return text


def network(text: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no network such as 10.0.0.0/8 (with no host bits set)"
        ) from error
