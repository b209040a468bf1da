"""· Which options has `bastion serve`?  All sections of the table, in the order of help and reference."""

from __future__ import annotations

from dataclasses import dataclass

from bastion.settings.asserting import Asserting
from bastion.settings.audit import Audit
from bastion.settings.browsers import Browsers
from bastion.settings.credentials import AuthenticationOptions, Oidc, RequestHeader
from bastion.settings.kubeapi import KubeApi
from bastion.settings.observing import Observing
from bastion.settings.option import section
from bastion.settings.passthrough import PassThrough
from bastion.settings.probing import Probing
from bastion.settings.sections import Lifetimes, Limits, Serving, Source, Start, StreamLimits, Timeouts
from bastion.settings.targets import BackendTLS, Kubelet, Targets
from bastion.settings.tracing import Tracing


@dataclass(frozen=True, slots=True)
class Options:
    source: Source = section(Source, "where objects and decisions come from")
    kube_api: KubeApi = section(KubeApi, "the API server")
    authentication: AuthenticationOptions = section(
        AuthenticationOptions, "authentication, besides bearer tokens that the API server knows"
    )
    request_header: RequestHeader = section(RequestHeader, "authentication by a front proxy")
    oidc: Oidc = section(Oidc, "authentication by an OpenID Connect issuer")
    cache: Lifetimes = section(Lifetimes, "how long decisions of the API server are cached")
    serving: Serving = section(Serving, "serving")
    streams: StreamLimits = section(
        StreamLimits, "streams: upgraded connections, and exchanges that outlive --stream-recheck-interval"
    )
    browsers: Browsers = section(Browsers, "browsers")
    timeouts: Timeouts = section(Timeouts, "timeouts")
    limits: Limits = section(Limits, "limits (0 for none); with --workers each takes its part")
    targets: Targets = section(Targets, "targets")
    backend_tls: BackendTLS = section(BackendTLS, "TLS to pods and services")
    asserting: Asserting = section(Asserting, "telling backends who asks: a Service's annotation asks for it")
    kubelet: Kubelet = section(Kubelet, "TLS to kubelets, used there and nowhere else")
    pass_through: PassThrough = section(PassThrough, "calls of the API, passed on to the API servers")
    probing: Probing = section(Probing, "probes of health")
    observing: Observing = section(Observing, "logs and metrics")
    tracing: Tracing = section(Tracing, "tracing, by OpenTelemetry")
    audit: Audit = section(Audit, "the audit log: who did what, as Kubernetes' own audit events")
    start: Start = section(Start, "this start")
