"""Passes a call of the API on to an API server, byte for byte in both directions, with its user's authority.

What is neither the bastion's own nor a proxied target comes here (--pass-through).  The API server decides
whether the user may; the bastion limits and records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

from bastion.http.fields import values
from bastion.kube.aliases import origin_form, request_info
from bastion.kube.hostname import HostNames
from bastion.kube.requestinfo import ApiCall
from bastion.kube.status import StatusError, bad_request, service_unavailable
from bastion.message import upgrade
from bastion.message.apicall import to_api_server, to_caller, withheld_from
from bastion.message.identity import asserts_identity
from bastion.message.upgrade import UpgradeRequest, asked_upgrade
from bastion.message.watching import events_of
from bastion.network.errors import DialError, NetworkError, UpstreamTimeout
from bastion.network.http1.response import Response
from bastion.network.logins import binds_request
from bastion.network.relay import Relay
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.onbehalf import Authority, OnBehalf
from bastion.proxy.streams import STOPPING, Streams, UnderWay
from bastion.proxy.tunnel import Tunnel
from bastion.proxy.upstreams import Upstream, Upstreams
from bastion.runtime.deadlines import Deadlines

SAFE = frozenset(("GET", "HEAD", "OPTIONS"))  # sent again where no response has begun
MOST_SENT = 3  # times: what makes one API server break off may do so with each
UNTIL_WHOLE = 2.0  # seconds for the rest of an event, when a watch is ended


class ToApiServer:
    """Where it goes, in the words of `streams`: to no pod and no node."""

    to_node = False


_TO_API_SERVER = ToApiServer()


class PassThrough:
    """`hosts`: those on which everything is an application's; `idle` in seconds, of a tunnel."""

    def __init__(
        self,
        *,
        on_behalf: OnBehalf,
        guard: Guard,
        upstreams: Upstreams,
        transport: Transport,
        streams: Streams,
        deadlines: Deadlines,
        idle: float,
        hosts: HostNames | None = None,
        withheld: Callable[[bytes], bool] = asserts_identity,
    ) -> None:
        self._on_behalf = on_behalf
        self._guard = guard
        self._upstreams = upstreams
        self._transport = transport
        self._streams = streams
        self._deadlines = deadlines
        self._idle = idle
        self._hosts = hosts
        self._withheld = {
            allowed: withheld_from(withheld, impersonation=allowed) for allowed in (True, False)
        }
        self._watches: set[UnderWay] = set()

    def call(self, exchange: Exchange) -> ApiCall | None:
        """None for a proxied target.  Raises StatusError 400."""
        if self._hosts is not None and self._hosts.covers(exchange.host):
            return None
        info = request_info(exchange.method, exchange.target)
        return info if isinstance(info, ApiCall) else None

    def end_watches(self) -> None:
        """Between two events, so that their clients go on elsewhere."""
        for under_way in list(self._watches):
            under_way.end(STOPPING, revoked=False)

    async def serve(self, exchange: Exchange, call: ApiCall, client: str, record: Record) -> None:
        """Raises StatusError as long as the response has not begun; after that it aborts."""
        record.info = call
        body = exchange.body
        asked = (
            asked_upgrade(
                exchange.method,
                exchange.minor,
                exchange.fields,
                has_body=body is not None and (body.chunked or bool(body.length)),
            )
            if exchange.upgradable
            else None
        )
        with record.stage("authentication"):
            authority = await self._on_behalf.authority(
                exchange,
                call.attributes,
                client,
                record,
                websocket=asked is not None and asked.websocket,
            )
        with self._guard.place(authority.asker, tunnel=asked is not None):
            admitted = Admitted(
                call,
                authority.credentials,
                authority.user,
                authority.acting_as,
                authority.questions,
                authority.asker,
                upgrade=asked,
            )
            under_way = self._streams.begin(exchange, _TO_API_SERVER, admitted, record)
            sent = _Sent(self, exchange, authority, client, record, under_way)
            try:
                with record.stage("upstream"):
                    await sent.serve(asked)
            except asyncio.CancelledError:
                if not under_way.reason:
                    raise
                record.outcome = under_way.reason
                await sent.conclude()
            finally:
                self._watches.discard(under_way)
                self._streams.over(under_way)
                sent.over()


class _Sent:
    """One call, from when it is known for whom it is."""

    def __init__(
        self,
        of: PassThrough,
        exchange: Exchange,
        authority: Authority,
        client: str,
        record: Record,
        under_way: UnderWay,
    ) -> None:
        self._of = of
        self._exchange = exchange
        self._authority = authority
        self._client = client
        self._record = record
        self._under_way = under_way
        self._response: Response | None = None
        self._events = events_of(0, [])
        self._leave: Callable[[], None] | None = None

    async def serve(self, asked: UpgradeRequest | None) -> None:
        response, trip = await self._ask(asked)
        self._record.backend = True
        said = values(response.fields, b"audit-id")
        if len(said) == 1 and said[0].isascii():  # its log has the call under this one
            self._exchange.audit_id = said[0].decode()
        if response.status == 101 and asked is not None:
            await self._switch(asked, response, trip)
            return
        clean = False
        try:
            await self._hand_on(response)
            clean = asked is None
        except NetworkError as error:
            self._record.error, self._record.outcome = str(error), "aborted"
            self._exchange.abort()
        finally:
            trip.close(clean=clean)

    async def conclude(self) -> None:
        """Ended from outside: a watch as HTTP ends, behind a whole event.  Raises StatusError."""
        exchange, response = self._exchange, self._response
        if self._under_way.reason == STOPPING and response is not None and self._under_way.task is not None:
            self._under_way.task.uncancel()
            try:
                async with asyncio.timeout(UNTIL_WHOLE):
                    while not self._events.whole and not response.exhausted:
                        data = await response.read()
                        self._events.feed(data)
                        exchange.write(data)
            except (NetworkError, TimeoutError):
                pass
            if self._events.whole:
                exchange.finish()
                return
        self._under_way.conclude()

    def over(self) -> None:
        if self._leave is not None:
            self._leave()
            self._leave = None

    # --- asking

    async def _ask(self, asked: UpgradeRequest | None) -> tuple[Response, RoundTrip]:
        """Raises StatusError, NetworkError never."""
        exchange, upstreams, transport = self._exchange, self._of._upstreams, self._of._transport
        request = self._request(asked)
        tried: set[Upstream] = set()
        failure: NetworkError | None = None
        count, fresh = 0, asked is not None
        while True:
            upstream = upstreams.choose(self._authority.asker[1], tried)
            if upstream is None:
                raise _unreachable(failure) if failure is not None else _none_ready()
            endpoint = upstream.at.endpoint(self._authority.identity)
            self._record.endpoint = str(endpoint)
            try:
                kept = None if fresh else transport.kept(endpoint, request)
                trip = kept or await upstream.dial(transport, endpoint, request)
            except DialError as error:
                upstreams.undialled(upstream, error)
                tried.add(upstream)
                failure = failure or error
                continue
            attempt = upstream.enter(trip)
            self._leave = partial(upstream.attempts.discard, attempt)
            trip.send()
            count += 1
            try:
                response = await trip.answer()
            except NetworkError as error:
                trip.close(clean=False)
                self.over()
                upstream.due.set()
                again = (
                    exchange.method in SAFE
                    and asked is None
                    and count < MOST_SENT
                    and not (exchange.body is not None and exchange.body.touched)
                    and not isinstance(error, UpstreamTimeout)
                )
                if not again:
                    raise _broken(error, exchange.method) from error
                failure, fresh = error, True
                if not trip.reused:
                    tried.add(upstream)
                continue
            except BaseException:
                trip.close(clean=False)
                raise
            attempt.answered = True
            return response, trip

    def _request(self, asked: UpgradeRequest | None) -> Request:
        exchange, authority = self._exchange, self._authority
        body = exchange.body
        lines = to_api_server(
            exchange.fields,
            self._of._withheld[authority.impersonation],
            with_credentials=authority.with_credentials,
        )
        lines += authority.lines
        lines.append(b"X-Forwarded-For: %b\r\n" % self._client.encode())
        if not values(exchange.fields, b"audit-id"):
            lines.append(b"Audit-ID: %b\r\n" % exchange.audit_id.encode())
        if asked is not None:
            lines.append(upgrade.request_lines(asked))
        if not exchange.host:  # HTTP/1.0 may leave it out, HTTP/1.1 may not (RFC 9112, 3.2)
            lines.append(b"Host: kubernetes.default.svc\r\n")
        if body is not None and body.chunked:
            lines.append(b"Transfer-Encoding: chunked\r\n")
        elif body is not None:
            lines.append(b"Content-Length: %d\r\n" % (body.length or 0))
        target = origin_form(exchange.method, exchange.target)
        if target is None:
            raise bad_request("malformed request: the request target is not a path")
        return Request(
            exchange.method,
            b"%b %b HTTP/1.1\r\n%b\r\n" % (exchange.method.encode(), target, b"".join(lines)),
            body,
            self._authority.asker[1],
            once=exchange.method not in SAFE or body is not None,
            logs_in=binds_request(exchange.fields),
            upgrade=asked is not None,
        )

    # --- what comes back

    async def _hand_on(self, response: Response) -> None:
        """Raises NetworkError where it breaks off."""
        exchange = self._exchange
        exchange.start(
            response.status,
            response.reason,
            to_caller(response.fields),
            response.length,
            bodiless=response.bodiless,
        )
        if response.length is None and not response.ready:  # the first event may be an hour away
            exchange.flush()
        info = self._record.info
        watching = info is not None and info.attributes.verb == "watch"
        if watching:
            self._response, self._events = response, events_of(response.status, response.fields)
            self._of._watches.add(self._under_way)
        while True:
            data = await response.read()
            if response.exhausted:
                exchange.finish(data)
                return
            exchange.write(data)
            if watching:
                self._events.feed(data)
            if not exchange.writable:
                await exchange.drain()

    async def _switch(self, asked: UpgradeRequest, response: Response, trip: RoundTrip) -> None:
        try:
            if not upgrade.accepts(asked, response.fields):
                raise service_unavailable("the API server switched to a protocol that was not asked for")
            client = self._exchange.hijack(
                response.reason, [*to_caller(response.fields), *upgrade.answer_fields(asked)]
            )
        except BaseException:
            trip.close(clean=False)
            raise
        relay = Relay(client, trip.take_over(), self._of._deadlines, self._of._idle, None)
        self._under_way.switched(Tunnel(relay, None))
        try:
            # cancelled or not, the relay tells how it ended
            self._record.outcome = await asyncio.shield(relay.finished)
        finally:
            relay.end("cancelled")
            self._record.stream_in, self._record.stream_out = relay.client.received, relay.backend.received


def _none_ready() -> StatusError:
    return service_unavailable("no API server is ready; try again shortly", retry_after=1)


def _unreachable(error: NetworkError) -> StatusError:
    """Nothing was sent: client-go repeats any call that is answered so."""
    return service_unavailable(f"no API server could be reached: {error}", retry_after=1)


def _broken(error: NetworkError, method: str) -> StatusError:
    """It was sent, and what became of it is not known: Retry-After would have client-go send a POST twice."""
    if isinstance(error, UpstreamTimeout):
        return StatusError(504, "Timeout", f"the API server did not answer in time: {error}")
    if isinstance(error, DialError) or method in SAFE:
        return service_unavailable(f"the API server broke off: {error}", retry_after=1)
    return StatusError(
        502, "BadGateway", f"the API server broke off, and may have done what was asked: {error}"
    )
