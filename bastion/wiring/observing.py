"""The access log, the metrics, the audit log, and warnings about certificates."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bastion.cluster.access import ApiAccess
from bastion.discovery.catalog import Catalog
from bastion.observe.accesslog import AccessLog
from bastion.observe.expiry import Expiry, certificates_of
from bastion.observe.logs import access_lines
from bastion.observe.metrics import Metrics, Renderer
from bastion.observe.observer import Observer
from bastion.observe.recent import Recent
from bastion.observe.record import Record
from bastion.observe.requests import Requests
from bastion.observe.signins import SignIns
from bastion.proxy.origin import Origins
from bastion.runtime.validity import Generation
from bastion.settings.config import Config
from bastion.wiring.auditing import Auditing, open_audit
from bastion.wiring.background import in_background
from bastion.wiring.exposition import open_exposition
from bastion.wiring.tracing import Traces, open_spans


@dataclass(frozen=True, slots=True)
class Observing:
    """`observer` is for proxied requests, `page_observer` for the pages for people, `own_observer` for
    health, metrics and files, which only the audit log knows.
    """

    log: AccessLog[Record]
    requests: Requests
    recent: Recent
    sign_ins: SignIns
    expiry: Expiry
    observer: Observer
    page_observer: Observer
    own_observer: Observer
    auditing: Auditing
    metrics: Metrics
    renderer: Renderer


async def open_observing(
    config: Config,
    access_log: int,
    access: ApiAccess,
    catalog: Catalog,
    stack: AsyncExitStack,
    generation: Generation,
) -> Observing:
    """`access_log` is a file descriptor."""
    lines = access_lines(config.observing.log_format, access_log)
    log = await stack.enter_async_context(AccessLog(access_log, lines))
    requests, sign_ins = Requests(config.observing.metrics_targets), SignIns(time.monotonic)
    recent = Recent()
    certificates = certificates_of(
        config.serving,
        config.authentication,
        config.kubelet,
        config.pass_through,
        lambda: access.certificates,
    )
    expiry = Expiry(certificates)
    in_background(stack, expiry.keep(), "the expiry of certificates")
    metrics = Metrics()
    spans = open_spans(config.tracing, stack)
    traces = Traces(config.tracing.ratio, Origins(config.serving.trusted_proxies)) if spans else None
    traced = () if spans is None else (spans,)
    auditing = await open_audit(config.audit, catalog, access_log, stack, generation)
    return Observing(
        log=log,
        requests=requests,
        sign_ins=sign_ins,
        expiry=expiry,
        recent=recent,
        observer=Observer((log, requests, recent, *traced), auditing.audit, traces),
        page_observer=Observer((log, requests, sign_ins, *traced), auditing.audit, traces),
        own_observer=Observer((), auditing.audit),
        auditing=auditing,
        metrics=metrics,
        renderer=Renderer(await open_exposition(config.observing, metrics, stack)),
    )
