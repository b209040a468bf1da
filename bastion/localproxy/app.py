"""Carries a request from its head to what answers it: filter, router, then a file or the API server."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bastion.kube.status import StatusError
from bastion.localproxy.answer import Refusal, forbidden, send, send_elsewhere, shortened
from bastion.localproxy.contexts import Contexts
from bastion.localproxy.filter import Filter
from bastion.localproxy.forward import ApiRequest, Forwarder
from bastion.localproxy.lines import Log, failed
from bastion.localproxy.routing import Api, Redirect, Router
from bastion.localproxy.spelling import escaped, is_well_formed
from bastion.localproxy.static import Folder
from bastion.localproxy.upstream import Upstream
from bastion.proxy.exchange import Exchange
from bastion.server.http1.head import UnfitAuthority

_SAID = frozenset((b"accept", b"user-agent"))  # what a client sends that can make use of words


@dataclass(frozen=True, slots=True)
class Parts:
    """What an exchange meets on its way; `folder` is None where no files are served."""

    filter: Filter
    router: Router
    contexts: Contexts[Upstream]
    forwarder: Forwarder
    folder: Folder | None
    log: Log
    admit: Callable[[Exchange], bool]


class App:
    """Implements `server.state.Application`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def serve(self, exchange: Exchange) -> None:
        exchange.audit_id = ""  # the API server's own passes through
        log = self._parts.log
        log.began(exchange)
        try:
            await self._serve(exchange)
        except Refusal as refusal:
            if refusal.status >= 500:
                failed(refusal.text)
            elif refusal.status == 403 and not any(field[0] in _SAID for field in exchange.fields):
                refusal = shortened(refusal)
            send(exchange, refusal)
        except StatusError as error:
            exchange.send_status(error)
        finally:
            log.ended(exchange)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        """A request whose head could not be read."""
        exchange.audit_id = ""
        if isinstance(error, UnfitAuthority):
            send(exchange, forbidden(error.message))
        else:
            exchange.send_status(error)

    async def _serve(self, exchange: Exchange) -> None:
        parts = self._parts
        if why := parts.filter.sender(exchange.host, exchange.fields):
            parts.log.judged(exchange, accepted=False)
            raise forbidden(why)
        consumed = parts.admit(exchange)
        path, question, query = exchange.target.partition(b"?")
        if not is_well_formed(path):
            raise Refusal(400, "Bad Request: the path holds a percent sign that begins no escape")
        place = parts.contexts.place(exchange.host, path)
        route = Api(place.path) if place.application else parts.router.route(place.path)
        if route is None:
            raise Refusal(404, "404 page not found")
        if isinstance(route, Redirect):
            send_elsewhere(exchange, place.prefix + escaped(route.location) + question + query)
            return
        if not isinstance(route, Api):
            assert parts.folder is not None
            await parts.folder.serve(exchange, route.path)
            return
        if why := parts.filter.request(exchange.method, place.before + route.path):
            parts.log.judged(exchange, accepted=False)
            raise forbidden(why)
        parts.log.judged(exchange, accepted=True)
        upstream = place.upstream
        target = upstream.path + place.before + escaped(route.path) + question + query
        client = exchange.client.encode()
        await parts.forwarder.serve(exchange, ApiRequest(upstream, target, client, consumed, place.present))
