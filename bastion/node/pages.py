"""What the ports for probes and scrapers say.  /healthz and /livez on one, metrics on the other."""

from __future__ import annotations

import json
import time
from typing import Any

from bastion.network.responder import NOT_FOUND, Page
from bastion.node import profiles
from bastion.node.health import Health, healthz
from bastion.node.metrics import Metrics
from bastion.node.model import Model

JSON = "application/json"
NOSNIFF = {"X-Content-Type-Options": "nosniff"}


class HealthPages:
    def __init__(self, health: Health, model: Model, metrics: Metrics) -> None:
        self._health = health
        self._model = model
        self._metrics = metrics

    def __call__(self, path: str) -> Page:
        if path not in ("/healthz", "/livez"):
            return NOT_FOUND
        eligible = None
        if path == "/healthz":
            eligible = self._model.node is not None and self._model.node.eligible
        status, body = healthz(self._health, time.time_ns(), eligible)
        self._metrics.add(f"proxy_{path[1:]}_total", code=str(status))
        return Page(status, body, JSON, NOSNIFF)


class MetricsPages:
    """`configured`: the whole configuration as an object; `profiling`: whether there is /debug/pprof/."""

    def __init__(
        self, mode: str, metrics: Metrics, model: Model, configured: dict[str, Any], *, profiling: bool
    ) -> None:
        self._profiling = profiling
        self._metrics = metrics
        self._model = model
        self._pages = {
            "/proxyMode": Page(200, mode.encode(), "text/plain; charset=utf-8", NOSNIFF),
            "/healthz": Page(200, b"ok", "text/plain; charset=utf-8", NOSNIFF),
            "/configz": Page(200, json.dumps({"kubeproxy.config.k8s.io": configured}).encode(), JSON),
        }

    def __call__(self, path: str) -> Page:
        if path == "/metrics":
            self._collect()
            return Page(200, self._metrics.text(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/metrics/slis":
            return Page(200, SLIS, "text/plain; version=0.0.4; charset=utf-8")
        if self._profiling and path.startswith(profiles.ROOT):
            return profiles.page(path)
        return self._pages.get(path, NOT_FOUND)

    def _collect(self) -> None:
        model, metrics = self._model, self._metrics
        for kind, pending, total in (
            ("endpoint", model.pending_slices, model.endpoint_changes),
            ("service", model.pending_services, model.service_changes),
        ):
            metrics.set(f"sync_proxy_rules_{kind}_changes_pending", len(pending))
            metrics.count(f"sync_proxy_rules_{kind}_changes_total", total)
        for family in model.families:
            for policy, number in model.without_local(family).items():
                name = "sync_proxy_rules_no_local_endpoints_total"
                metrics.set(name, number, ip_family=family, traffic_policy=policy)


SLIS = (
    b"# HELP kubernetes_healthcheck [STABLE] This metric records the result of all healthchecks.\n"
    b"# TYPE kubernetes_healthcheck gauge\n"
    b'kubernetes_healthcheck{name="ping",type="healthz"} 1\n'
)
