"""The trunk: carries a request from its first byte to the last and calls collaborators that each return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from msgspec import structs

from bastion.authn.authenticator import NotAccepted
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.authz.authorizer import Authorizer
from bastion.authz.impersonation import Impersonator
from bastion.discovery.backing import Unsettled
from bastion.http.fields import first_value, values
from bastion.kube.attributes import Attributes
from bastion.kube.generatedclients import with_slashes
from bastion.kube.hostname import HostNames
from bastion.kube.requestinfo import request_info
from bastion.kube.status import StatusError, forbidden, internal_error, no_such_route
from bastion.message.identity import asserts_identity
from bastion.message.ownorigin import RULES, data_fields
from bastion.message.upgrade import Asked, asked_upgrade
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import Envelope, Forwarder
from bastion.proxy.guard import Guard, asker_of
from bastion.proxy.origin import Origins
from bastion.proxy.router import Router
from bastion.proxy.signin import NoSignIn
from bastion.proxy.streams import Streams
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
        streams: Streams,
        observer: Observer,
        *,
        upgrade_requires_create: frozenset[str],
        hosts: HostNames | None = None,
        sign_in: NoSignIn | None = None,
        front_proxy: FrontProxyHeaders | None = None,
        withheld: Callable[[bytes], bool] = asserts_identity,
        generated_clients: bool = True,
    ) -> None:
        """`upgrade_requires_create`: the resources (pods, services, nodes) on which an upgrade needs verb
        create as well.

        `hosts`: the host names that mean an application; None where none does.  `withheld`: which headers are
        kept from backends. `generated_clients`: what they encode as one segment is a path.
        """
        self._guard = guard
        self._impersonator = impersonator
        self._authorizer = authorizer
        self._router = router
        self._origins = origins
        self._forwarder = forwarder
        self._tunneller = tunneller
        self._streams = streams
        self._observer = observer
        self._upgrade_requires_create = upgrade_requires_create
        self._hosts = hosts
        self._sign_in = sign_in or NoSignIn()
        self._credentials = CredentialReader(self._sign_in, origins, front_proxy)
        self._generated_clients = generated_clients
        self._withheld = withheld

    async def serve(self, exchange: Exchange) -> None:
        """Answers, whatever happens; raises nothing but CancelledError."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = Record(exchange.method, exchange.target.partition(b"?")[0], client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        try:
            await self._serve(exchange, client, record)
        except StatusError as error:
            await self._say_no(exchange, error, client, record)
        except asyncio.CancelledError as cancelled:
            record.outcome = str(cancelled.args[0]) if cancelled.args else "client-left"
            raise
        except Exception:
            _log.exception("a request failed inside the bastion (audit id %s)", exchange.audit_id)
            record.error = "InternalError"
            exchange.send_status(internal_error())
        finally:
            self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    async def _say_no(self, exchange: Exchange, error: StatusError, client: str, record: Record) -> None:
        record.error, record.cause = f"{error.reason}: {error.message}", error.cause or record.cause
        record.backend = record.backend and exchange.status != 0
        if error.code == 429:
            try:
                await self._guard.hold_back(client)
            except asyncio.CancelledError:
                record.outcome = "client-left"
                raise
        exchange.send_status(error)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        """A request that could not be read."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = Record(exchange.method, exchange.target.partition(b"?")[0], client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        record.error = f"{error.reason}: {error.message}"
        exchange.send_status(error)
        self._observer.observe(record, exchange.status, 0, exchange.bytes_out)

    async def _serve(self, exchange: Exchange, client: str, record: Record) -> None:
        application = self._hosts.application(exchange.host) if self._hosts is not None else None
        if application is not None:
            record.host = exchange.host
        record.info = info = request_info(exchange.method, exchange.target, application)
        if self._generated_clients and info is not None and b"%2" in info.rest:
            # Before anything is decided: backend, X-Forwarded-Uri and log are told of one and the same path.
            record.info = info = with_slashes(info, values(exchange.fields, b"user-agent"))
            record.path = info.prefix + info.rest.partition(b"?")[0]
        asked = _asked_upgrade(exchange) if exchange.upgradable else None
        with record.stage("authentication"):
            credentials = self._credentials.read(exchange, asked, application)
            try:
                record.user = user = await self._guard.identify(credentials, client, exchange)
            except NotAccepted as refused:
                record.cause, user = refused.cause, None
        if user is None:
            record.cause = record.cause or credentials.unknown
            return self._sign_in.turn_away(exchange, info, application)
        if info is None:
            raise no_such_route()
        asker = asker_of(user, client)
        with self._guard.place(asker, tunnel=asked is not None):
            with record.stage("authorization"):
                required = self._required(info.attributes, asked)
                assumed = await self._impersonator.assume(user, exchange.fields, required, asker)
                record.acting_as = acting_as = user if assumed is None else assumed.user
                for attributes in required:
                    decision = await self._authorizer.authorize(acting_as, attributes, asker)
                    if not decision.allowed:
                        raise forbidden(acting_as.name, attributes, decision.reason)
            try:
                route = self._router.route(info)
            except Unsettled as unsettled:
                route = await self._router.settle(info, unsettled, asker)
            if asked is None and info.rest[:1] != b"/" and exchange.method in ("GET", "HEAD"):
                return redirect_to_slash(exchange, info.prefix, info.rest)
            forwarded = self._origins.forwarded(exchange, info)
            ambient = RULES[credentials.kind].ambient
            envelope = Envelope(forwarded, credentials.explicit, ambient, self._withheld, asker)
            questions = [(acting_as, one) for one in required]
            if assumed is not None:
                questions = [*assumed.questions, *questions]
            under_way = self._streams.begin(exchange, route, (credentials, user, questions), record)
            try:
                with record.stage("upstream"):
                    if asked is None:
                        await self._forwarder.serve(exchange, route, envelope, record, under_way)
                    else:
                        await self._tunneller.serve(exchange, route, asked, envelope, record, under_way)
            except asyncio.CancelledError:
                if not under_way.reason:
                    raise
                record.outcome = under_way.reason
                under_way.conclude()
            finally:
                self._streams.over(under_way)
        return None

    def _required(self, attributes: Attributes, asked: Asked | None) -> tuple[Attributes, ...]:
        """What the user must be allowed.

        A WebSocket is a GET, so `get` on nodes/proxy would be enough to talk to whatever takes one there:
        where it is asked for, an upgrade needs `create` as well (KEP-4006 does so for exec, attach and
        portforward).
        """
        if (
            asked is None
            or attributes.verb == "create"
            or attributes.resource not in self._upgrade_requires_create
        ):
            return (attributes,)
        return (attributes, structs.replace(attributes, verb="create"))


def redirect_to_slash(exchange: Exchange, prefix: bytes, query: bytes) -> None:
    """`…/proxy` is no directory: relative links in the page would lose its last segment (spec R-45)."""
    exchange.start(
        301,
        b"Moved Permanently",
        [(b"location", b"Location", prefix + b"/" + query), *data_fields(exchange.fields)],
        0,
    )
    exchange.finish()


def _asked_upgrade(exchange: Exchange) -> Asked | None:
    body = exchange.body
    has_body = body is not None and (body.chunked or bool(body.length))
    asked = asked_upgrade(exchange.method, exchange.minor, exchange.fields, has_body=has_body)
    exchange.upgrade_asked = asked is not None
    return asked
