"""· What was asked for, checked as a whole: options in, the components' sections or every mistake out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from bastion.runtime.errors import ConfigError
from bastion.settings.audit import Audit
from bastion.settings.authentication import Authentication, authentication_of
from bastion.settings.browsers import Browsers
from bastion.settings.contradictions import contradict
from bastion.settings.kubeapi import KubeApi
from bastion.settings.load import Loaded, load
from bastion.settings.observing import Observing
from bastion.settings.options import Options
from bastion.settings.passthrough import PassThrough
from bastion.settings.probing import Probing
from bastion.settings.sections import Lifetimes, Limits, Serving, Source, StreamLimits, Timeouts
from bastion.settings.shown import Setting, settings_of
from bastion.settings.signin import SignInProvider, providers_of
from bastion.settings.targets import BackendTLS, Kubelet, Targets

DERIVED = ("authentication", "shown", "sign_in")


@dataclass(frozen=True, slots=True)
class Config:
    """A section for each component; `shown` are all options, for people."""

    source: Source
    kube_api: KubeApi
    authentication: Authentication
    cache: Lifetimes
    serving: Serving
    streams: StreamLimits
    browsers: Browsers
    timeouts: Timeouts
    limits: Limits
    targets: Targets
    backend_tls: BackendTLS
    kubelet: Kubelet
    pass_through: PassThrough
    probing: Probing
    observing: Observing
    audit: Audit
    shown: tuple[Setting, ...]
    sign_in: tuple[SignInProvider, ...] = ()


def serve_config(
    argv: Sequence[str],
    environment: Mapping[str, str] | None = None,
    adjust: Callable[[Options], Options] = lambda options: options,
) -> Config:
    """Of `bastion serve` with these flags.  Raises ConfigError with every mistake."""
    return config_of(load(Options, argv, environment or {}), adjust)


def config_of(
    loaded: Loaded[Options], adjust: Callable[[Options], Options] = lambda options: options
) -> Config:
    """`adjust`: what a worker is given by its supervisor goes before all sources.

    Raises ConfigError with every mistake.
    """
    options, mistakes = adjust(loaded.options), loaded.collect()
    proofs = authentication_of(options, mistakes)
    sign_in = providers_of(options, proofs.issuers, mistakes)
    contradict(options, mistakes)
    if mistakes.lines:
        raise ConfigError(mistakes.lines)
    workers = options.serving.workers
    sections = {item.name: getattr(options, item.name) for item in fields(Config) if item.name not in DERIVED}
    return replace(
        Config(authentication=proofs, sign_in=sign_in, shown=settings_of(loaded), **sections),
        kube_api=_shared_calls(options.kube_api, workers),
        limits=_shared(options.limits, workers),
        audit=_shared_posts(options.audit, workers),
        serving=replace(
            options.serving,
            self_signed=options.serving.self_signed or options.serving.tls_cert_file is None,
        ),
    )


def _shared(limits: Limits, workers: int) -> Limits:
    """The part of each limit that one worker may use."""
    return Limits(**{item.name: math.ceil(getattr(limits, item.name) / workers) for item in fields(Limits)})


def _shared_posts(audit: Audit, workers: int) -> Audit:
    """Each worker posts its own events; the log file is one for all."""
    return replace(
        audit,
        webhook_buffer_size=math.ceil(audit.webhook_buffer_size / workers),
        webhook_qps=math.ceil(audit.webhook_qps / workers),
        webhook_burst=math.ceil(audit.webhook_burst / workers),
    )


def _shared_calls(calls: KubeApi, workers: int) -> KubeApi:
    return replace(calls, qps=calls.qps / workers, burst=math.ceil(calls.burst / workers))
