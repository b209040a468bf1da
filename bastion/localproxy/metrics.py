"""What /metrics says, on a port of its own."""

from __future__ import annotations

from collections.abc import Callable

from bastion.kube.status import StatusError
from bastion.localproxy.answer import Refusal, send
from bastion.proxy.exchange import Exchange

_BUCKETS = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """Implements `server.state.Application`; `count` is told of each request to the proxy."""

    def __init__(self, tunnels: Callable[[], int], connections: Callable[[], int]) -> None:
        # only where somebody asks for it: 30 ms of a start
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self._registry = CollectorRegistry()
        self._requests = Counter(
            "bastion_proxy_requests_total", "Requests.", ["method", "code"], registry=self._registry
        )
        self._seconds = Histogram(
            "bastion_proxy_request_seconds", "From head to end.", buckets=_BUCKETS, registry=self._registry
        )
        for name, what, value in (
            ("bastion_proxy_tunnels", "Upgraded connections.", tunnels),
            ("bastion_proxy_connections", "Connections of clients.", connections),
        ):
            Gauge(name, what, registry=self._registry).set_function(value)

    def count(self, method: str, status: int, seconds: float) -> None:
        known = method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
        self._requests.labels(known, str(status)).inc()
        self._seconds.observe(seconds)

    async def serve(self, exchange: Exchange) -> None:
        from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

        exchange.audit_id = ""
        if exchange.target.partition(b"?")[0] != b"/metrics":
            send(exchange, Refusal(404, "404 page not found"))
            return
        body = generate_latest(self._registry)
        fields = [(b"content-type", b"Content-Type", CONTENT_TYPE_LATEST.encode())]
        exchange.start(200, b"", fields, len(body))
        exchange.finish(b"" if exchange.method == "HEAD" else body)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        exchange.send_status(error)
