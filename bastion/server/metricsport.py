"""What --metrics-bind-address serves: /metrics, to every client that can reach it, and nothing else."""

from __future__ import annotations

from bastion.http.ownpaths import METRICS
from bastion.kube.errors import ROUTE_NOT_FOUND, error_of
from bastion.kube.errorwords import NOT_A_PROXY_PATH
from bastion.kube.status import StatusError
from bastion.proxy.exchange import Exchange
from bastion.server.asgi import Application, run_asgi


class MetricsPort:
    """Implements `server.state.Application`."""

    def __init__(self, web: Application) -> None:
        self._web = web

    async def serve(self, exchange: Exchange) -> None:
        if exchange.target.partition(b"?")[0] != METRICS:
            exchange.send_status(error_of(NOT_A_PROXY_PATH, ROUTE_NOT_FOUND, "only /metrics is served here"))
            return
        await run_asgi(self._web, exchange)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        exchange.send_status(error)
