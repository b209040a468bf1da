"""How a refusal or a failure becomes a response."""

from __future__ import annotations

from bastion.kube.status import StatusError
from bastion.message.ownorigin import status_fields
from bastion.proxy.exchange import Exchange


def write_status(exchange: Exchange, error: StatusError) -> None:
    """The whole response; where one has begun already it is cut short."""
    error.__traceback__ = None  # its frames hold the exchange, whose body may hold the error: a cycle
    if exchange.status:
        exchange.abort()
        return
    if exchange.trail is not None:
        exchange.trail.refused(error)
    body = error.body()
    exchange.start(error.code, b"", status_fields(error, exchange.fields), len(body))
    exchange.finish(b"" if exchange.method == "HEAD" else body)
