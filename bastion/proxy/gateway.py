"""The trunk: carries a request from its first byte to the last and calls collaborators that each return."""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from msgspec import structs

from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authn.subprotocol import request_credentials
from bastion.authz.authorizer import Authorizer
from bastion.authz.impersonation import Impersonator
from bastion.discovery.backing import Unsettled
from bastion.kube.attributes import Attributes
from bastion.kube.hostname import HostNames
from bastion.kube.requestinfo import request_info
from bastion.kube.status import StatusError, forbidden, internal_error, no_such_route
from bastion.message.identity import withholding
from bastion.message.upgrade import Asked, asked_upgrade
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.access import StreamAccess
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import Envelope, Forwarder
from bastion.proxy.guard import Guard
from bastion.proxy.origin import Origins
from bastion.proxy.router import Router
from bastion.proxy.signin import NoSignIn
from bastion.proxy.tunnel import Tunneller

_log = logging.getLogger("bastion.proxy")


class Gateway:
    def __init__(
        self,
        guard: Guard,
        impersonator: Impersonator,
        authorizer: Authorizer,
        router: Router,
        origins: Origins,
        forwarder: Forwarder,
        tunneller: Tunneller,
        stream_access: StreamAccess,
        observer: Observer,
        *,
        upgrade_requires_create: frozenset[str],
        hosts: HostNames | None = None,
        sign_in: NoSignIn | None = None,
        front_proxy: FrontProxyHeaders | None = None,
    ) -> None:
        """`upgrade_requires_create`: the resources (pods, services, nodes) on which an upgrade needs verb create as well.

        `hosts`: the host names that mean an application; None where none does.
        """
        self._guard = guard
        self._impersonator = impersonator
        self._authorizer = authorizer
        self._router = router
        self._origins = origins
        self._forwarder = forwarder
        self._tunneller = tunneller
        self._stream_access = stream_access
        self._observer = observer
        self._upgrade_requires_create = upgrade_requires_create
        self._hosts = hosts
        self._sign_in = sign_in or NoSignIn()
        self._front_proxy = front_proxy
        self._withheld = withholding(*front_proxy.names()) if front_proxy is not None else withholding(())

    async def serve(self, exchange: Exchange) -> None:
        """Answers, whatever happens; raises nothing but CancelledError."""
        record = Record(exchange.method, exchange.target.partition(b"?")[0], exchange.client, exchange.audit_id)
        try:
            await self._serve(exchange, record)
        except StatusError as error:
            record.error = f"{error.reason}: {error.message}"
            exchange.send_status(error)
        except asyncio.CancelledError:
            record.outcome = "client-left"
            raise
        except Exception:
            _log.exception("a request failed inside the bastion (audit id %s)", exchange.audit_id)
            record.error = "InternalError"
            exchange.send_status(internal_error())
        finally:
            self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        """A request that could not be read."""
        record = Record(exchange.method, exchange.target, exchange.client, exchange.audit_id)
        record.error = f"{error.reason}: {error.message}"
        exchange.send_status(error)
        self._observer.observe(record, exchange.status, 0, exchange.bytes_out)

    async def _serve(self, exchange: Exchange, record: Record) -> None:
        application = self._hosts.application(exchange.host) if self._hosts is not None else None
        record.info = info = request_info(exchange.method, exchange.target, application)
        asked = _asked_upgrade(exchange) if exchange.upgradable else None
        with record.stage("authentication"):
            credentials = self._sign_in.credentials(exchange, asked, application)
            if credentials is None:
                websocket = asked is not None and asked.websocket
                credentials = request_credentials(
                    exchange.fields, websocket=websocket, certificate=exchange.certificate, front_proxy=self._front_proxy
                )
            record.user = user = await self._guard.identify(credentials, exchange.client)
        if user is None:
            return self._sign_in.turn_away(exchange, info, application)
        if info is None:
            raise no_such_route()
        with self._guard.place(user, tunnel=asked is not None):
            with record.stage("authorization"):
                record.acting_as = acting_as = await self._impersonator.assume(user, exchange.fields)
                required = self._required(info.attributes, asked)
                for attributes in required:
                    decision = await self._authorizer.authorize(acting_as, attributes)
                    if not decision.allowed:
                        raise forbidden(acting_as.name, attributes, decision.reason)
            try:
                route = self._router.route(info)
            except Unsettled as unsettled:
                route = await self._router.settle(info, unsettled, user.name)
            if asked is None and info.rest[:1] != b"/" and exchange.method in ("GET", "HEAD"):
                return redirect_to_slash(exchange, info.prefix, info.rest)
            envelope = Envelope(
                self._origins.forwarded(exchange, info), credentials.explicit, user.name, credentials.session, self._withheld
            )
            with record.stage("upstream"):
                if asked is None:
                    await self._forwarder.serve(exchange, route, envelope, record)
                else:
                    watch = partial(self._stream_access.watch, credentials, user, exchange.fields, acting_as, required)
                    await self._tunneller.serve(exchange, route, asked, envelope, record, watch)
        return None

    def _required(self, attributes: Attributes, asked: Asked | None) -> tuple[Attributes, ...]:
        """What the user must be allowed.

        A WebSocket is a GET, so `get` on nodes/proxy would be enough to talk to whatever takes one there: where it is
        asked for, an upgrade needs `create` as well (KEP-4006 does so for exec, attach and portforward).
        """
        if asked is None or attributes.verb == "create" or attributes.resource not in self._upgrade_requires_create:
            return (attributes,)
        return (attributes, structs.replace(attributes, verb="create"))


def redirect_to_slash(exchange: Exchange, prefix: bytes, query: bytes) -> None:
    """`…/proxy` is no directory: relative links in the page would lose its last segment (spec R-45)."""
    exchange.start(301, b"Moved Permanently", [(b"location", b"Location", prefix + b"/" + query)], 0)
    exchange.finish()


def _asked_upgrade(exchange: Exchange) -> Asked | None:
    body = exchange.body
    has_body = body is not None and (body.chunked or bool(body.length))
    asked = asked_upgrade(exchange.method, exchange.minor, exchange.fields, has_body=has_body)
    exchange.upgrade_asked = asked is not None
    return asked
