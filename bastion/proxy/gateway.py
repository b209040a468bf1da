"""The trunk: a request is admitted, then delivered, then recorded, by collaborators that each return."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from bastion.discovery.resolution import NoneReady, UnknownTarget
from bastion.http.fields import first_value
from bastion.kube.errors import asked_of_a_proxy, error_of, internal_error, method_not_allowed
from bastion.kube.errorwords import TUNNELS_OFF
from bastion.kube.requestinfo import VERBS, Connect, Proxied
from bastion.kube.status import StatusError
from bastion.message.ownorigin import data_fields
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.admission import Admission, Admitted, SignInHelps
from bastion.proxy.connect import Connector
from bastion.proxy.direct import Direct
from bastion.proxy.directcall import DirectCall
from bastion.proxy.envelope import Envelope
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import Forwarder
from bastion.proxy.guard import Guard
from bastion.proxy.hints import Hints
from bastion.proxy.leaving import Envelopes
from bastion.proxy.origin import Origins
from bastion.proxy.passthrough import PassThrough
from bastion.proxy.pathmode import PathMode
from bastion.proxy.plan import Plans
from bastion.proxy.router import Route, Router
from bastion.proxy.sending import Begun
from bastion.proxy.signin import NoSignIn
from bastion.proxy.streams import Streams, UnderWay
from bastion.proxy.tunnel import Tunneller

_log = logging.getLogger("bastion.proxy")


class Gateway:
    def __init__(
        self,
        *,
        admission: Admission,
        guard: Guard,
        router: Router,
        origins: Origins,
        forwarder: Forwarder,
        tunneller: Tunneller,
        streams: Streams,
        observer: Observer,
        sign_in: NoSignIn | None = None,
        envelopes: Envelopes | None = None,
        plans: Plans | None = None,
        pass_through: PassThrough | None = None,
        path_mode: PathMode | None = None,
        hints: Hints | None = None,
        connector: Connector | None = None,
    ) -> None:
        """`envelopes`: what a backend is told.  `pass_through` None: only targets are served.

        `plans` remembers what was decided; None where nothing is remembered.  `path_mode` None: pages opened
        by path are shown as they are.
        `connector` None: nothing is served as a proxy.
        """
        self._plans = plans
        self._admission = admission
        self._guard = guard
        self._router = router
        self._origins = origins
        self._forwarder = forwarder
        self._tunneller = tunneller
        self._streams = streams
        self._observer = observer
        self._sign_in = sign_in or NoSignIn()
        self._envelopes = envelopes or Envelopes(origins)
        self._pass_through = pass_through
        self._path_mode = path_mode
        self._hints = hints
        self._connector = connector

    async def serve(self, exchange: Exchange) -> None:
        """Answers, whatever happens; raises nothing but CancelledError."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = _record(exchange, client)
        self._observer.begin(record, exchange, self._origins.sources(exchange.client, exchange.fields))
        await self._recorded(exchange, client, record, self._serve(exchange, client, record))

    async def go_on(self, direct: Direct | DirectCall) -> None:
        """With what was begun without a task, whose place is given back here."""
        if isinstance(direct, DirectCall):
            assert self._pass_through is not None
            served = self._pass_through.go_on(direct)
            return await self._recorded(direct.exchange, direct.plan.client, direct.record, served)
        direct.in_task = True
        assert direct.slot is not None
        exchange, plan, begun = direct.exchange, direct.plan, Begun(direct.slot, direct.connection)
        try:
            await self._recorded(
                exchange,
                plan.begun.client,
                direct.record,
                self._deliver(exchange, direct.route, plan.envelope, direct, begun),
            )
        finally:
            self._guard.exchanges.leave(plan.asker)
        return None

    async def _recorded(
        self, exchange: Exchange, client: str, record: Record, served: Coroutine[Any, Any, None]
    ) -> None:
        try:
            await served
        except StatusError as error:
            await self._say_no(exchange, error, client, record)
        except asyncio.CancelledError as cancelled:
            record.outcome = str(cancelled.args[0]) if cancelled.args else "client-left"
            raise
        except Exception:
            _log.exception("a request failed inside the bastion (audit id %s)", exchange.audit_id)
            record.fail(failure := internal_error())
            exchange.send_status(failure)
        finally:
            self._observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    async def _say_no(self, exchange: Exchange, error: StatusError, client: str, record: Record) -> None:
        if exchange.to_proxy:
            error = asked_of_a_proxy(error)
        record.fail(error)
        record.backend = record.backend and exchange.status != 0
        if error.code == 429:
            try:
                await self._guard.hold_back(client)
            except asyncio.CancelledError:
                record.outcome = "client-left"
                raise
        error.user = record.told
        exchange.send_status(error)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        """A request that could not be read."""
        client = self._origins.client(exchange.client, exchange.fields)
        record = _record(exchange, client)
        record.fail(error)
        exchange.send_status(error)
        self._observer.observe(record, exchange.status, 0, exchange.bytes_out)

    def left(self, exchange: Exchange) -> None:
        """A request whose client left before it was served."""
        record = _record(exchange, self._origins.client(exchange.client, exchange.fields))
        self._observer.begin(record, exchange, self._origins.sources(exchange.client, exchange.fields))
        record.outcome = "client-left"
        self._observer.observe(record, 0, exchange.bytes_in, 0)

    async def _serve(self, exchange: Exchange, client: str, record: Record) -> None:
        off = exchange.to_proxy and self._connector is None
        if off and not first_value(exchange.fields, b"proxy-authorization"):
            raise tunnels_off()  # rather than ask for credentials that would open nothing
        if self._pass_through is not None and not exchange.to_proxy:
            call = self._pass_through.call(exchange)
            if call is not None:
                return await self._pass_through.serve(exchange, call, client, record)
        generation = self._plans.generation() if self._plans is not None else 0
        try:
            admitted = await self._admission.admit(exchange, client, record)
        except SignInHelps as error:
            return self._sign_in.turn_away(exchange, error)
        info = admitted.info
        assert isinstance(info, Proxied)  # whatever else is not admitted
        if self._path_mode is not None and self._path_mode.answers(exchange, admitted, info):
            return None
        if off:
            raise tunnels_off()
        tunnel = isinstance(info, Connect) or admitted.upgrade is not None
        with self._guard.place(admitted.asker, tunnel=tunnel):
            route = await self._route(info, admitted, exchange)
            if admitted.upgrade is None and info.rest[:1] != b"/" and exchange.method in ("GET", "HEAD"):
                return redirect_to_slash(exchange, info.prefix, info.rest)
            envelope = self._envelopes.of(exchange, info, admitted, record)
            if self._plans is not None:
                self._plans.remember(exchange, admitted, envelope, record, generation)
            under_way = self._streams.begin(exchange, route, admitted, record)
            record.stage("upstream")
            await self._deliver(exchange, route, envelope, under_way)
        return None

    async def _route(self, info: Proxied, admitted: Admitted, exchange: Exchange) -> Route:
        """Raises StatusError.  Only for a request that is authorized: it tells what exists."""
        if not info.known_method:
            raise method_not_allowed(*VERBS, method=exchange.method)
        try:
            return await self._router.route(info, admitted.asker, admitted.pod)
        except (UnknownTarget, NoneReady) as error:
            if self._hints is None:
                raise
            raise await self._hints.told(error, exchange, admitted) from None

    async def _deliver(
        self,
        exchange: Exchange,
        route: Route,
        envelope: Envelope,
        under_way: UnderWay,
        begun: Begun | None = None,
    ) -> None:
        record, upgrade = under_way.record, under_way.admitted.upgrade
        try:
            with record:
                if isinstance(route.info, Connect):
                    assert self._connector is not None
                    await self._connector.serve(exchange, route, envelope.asker, record, under_way)
                elif upgrade is None:
                    await self._forwarder.serve(exchange, route, envelope, record, under_way, begun)
                else:
                    await self._tunneller.serve(exchange, route, upgrade, envelope, record, under_way)
        except asyncio.CancelledError:
            if not under_way.reason:
                raise
            record.outcome = under_way.reason
            under_way.conclude()
        finally:
            self._streams.over(under_way)


def _record(exchange: Exchange, client: str) -> Record:
    record = Record(exchange.method, exchange.target.partition(b"?")[0], client, exchange.audit_id)
    record.agent = first_value(exchange.fields, b"user-agent")
    record.http2 = exchange.http2
    return record


def tunnels_off() -> StatusError:
    return error_of(
        TUNNELS_OFF,
        "this bastion is no proxy for tunnels and URLs: it was started without --enable-tunnels",
        details={},
        close=True,  # what follows a refused CONNECT is no request
    )


def redirect_to_slash(exchange: Exchange, prefix: bytes, query: bytes) -> None:
    """`…/proxy` has no slash at the end: without one relative links of the page would lose that segment."""
    exchange.start(
        301,
        b"Moved Permanently",
        [(b"location", b"Location", prefix + b"/" + query), *data_fields(exchange.fields)],
        0,
    )
    exchange.finish()
