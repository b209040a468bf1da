"""How a refusal or a failure becomes a response."""

from __future__ import annotations

from collections.abc import Callable

from bastion.kube.status import StatusError
from bastion.message.grpcstatus import grpc_fields, is_grpc
from bastion.message.ownorigin import own_fields, status_fields
from bastion.message.person import ErrorFacts, ErrorPage, facts_of, is_person
from bastion.proxy.exchange import Exchange

Pages = Callable[[ErrorFacts], ErrorPage]


def _takes_page(exchange: Exchange) -> bool:
    """Not what is asked of a proxy: what the page links to would be looked for at the target."""
    return not (exchange.upgradable or exchange.to_proxy) and is_person(exchange.method, exchange.fields)


def write_status(exchange: Exchange, error: StatusError, pages: Pages | None = None) -> None:
    """The whole response; where one has begun already it is cut short.

    `pages` makes the page for a person; None where all get a Status.
    """
    error.__traceback__ = None  # its frames hold the exchange, whose body may hold the error: a cycle
    if exchange.status:
        exchange.abort()
        return
    if exchange.trail is not None:
        exchange.trail.refused(error)
    if exchange.http2 and is_grpc(exchange.all_fields()):
        exchange.start(200, b"", grpc_fields(error, exchange.target), None)
        exchange.finish()
        exchange.status = error.code  # for the record: it is one failure, whoever is told of it
        return
    if pages is not None and _takes_page(exchange):
        page = pages(facts_of(error, exchange))
        fields, body = [*page.fields, *own_fields(error)], page.body
    else:
        fields, body = status_fields(error, exchange.fields), error.body()
    exchange.start(error.code, b"", fields, len(body))
    exchange.finish(b"" if exchange.method == "HEAD" else body)
