"""One call of the API on its way: to which API server, as which bytes, and what comes back of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import msgspec

from bastion.http.fields import Field, values
from bastion.message import upgrade
from bastion.message.apicall import to_caller
from bastion.message.frames import FrameCounter
from bastion.message.trailers import passing
from bastion.message.upgrade import UpgradeRequest
from bastion.message.watching import Events, Unknown, events_of
from bastion.network.errors import DialError, NetworkError, UpstreamTimeout
from bastion.network.http1.response import Response
from bastion.network.logins import binds_request
from bastion.network.relay import Relay
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.callerrors import SAFE, broken, none_ready, unreachable, wrong_switch
from bastion.proxy.callhead import Withheld, call_head, trailer_lines
from bastion.proxy.directcall import DirectCall
from bastion.proxy.exchange import Exchange
from bastion.proxy.onbehalf import Authority
from bastion.proxy.streams import STOPPING, UnderWay
from bastion.proxy.tunnel import Tunnel
from bastion.proxy.upstreams import Attempt, Upstream, Upstreams
from bastion.runtime.deadlines import Deadlines

MOST_SENT = 3  # times: what makes one API server break off may do so with each
UNTIL_WHOLE = 2.0  # seconds for the rest of an event, when a watch is ended


class Ways(msgspec.Struct, frozen=True):
    """What all calls share.

    `idle` in seconds, of a tunnel.  `withheld`: which names are not passed on, by whether the client's own
    impersonation is.  `answered` is told the status of each response.  `watches` are those that can be ended
    between two events.
    """

    upstreams: Upstreams
    transport: Transport
    deadlines: Deadlines
    idle: float
    withheld: Withheld
    answered: Callable[[Authority, str, int], None]
    watches: set[UnderWay]


class PassedCall:
    """From when it is known for whom it is.  `over` must follow, however it ends."""

    def __init__(
        self,
        ways: Ways,
        exchange: Exchange,
        authority: Authority,
        client: str,
        record: Record,
        under_way: UnderWay,
        *,
        watching: bool,
    ) -> None:
        """`watching`: it asks for a watch."""
        self._ways = ways
        self._watching = watching
        self._exchange = exchange
        self._authority = authority
        self._client = client
        self._record = record
        self._under_way = under_way
        self._response: Response | None = None
        self._events: Events = Unknown()
        self._trip: RoundTrip | None = None  # that is not closed yet
        self._leave: Callable[[], None] | None = None

    async def serve(self, asked: UpgradeRequest | None) -> None:
        await self._pass_on(*await self._ask(self._request(asked), asked), asked)

    async def go_on(self, direct: DirectCall) -> None:
        """With what was sent without a task."""
        self._leave = partial(direct.upstream.attempts.discard, direct)
        await self._pass_on(*await self._ask(direct.request(), None, direct), None)

    async def _pass_on(self, response: Response, trip: RoundTrip, asked: UpgradeRequest | None) -> None:
        self._record.backend = True
        self._ways.answered(self._authority, self._client, response.status)
        said = values(response.fields, b"audit-id")
        if len(said) == 1 and said[0].isascii():  # its log has the call under this one
            self._exchange.audit_id = said[0].decode()
        if response.status == 101 and asked is not None:
            await self._switch(asked, response, trip)
            return
        self._trip = trip
        try:
            await self._hand_on(response)
        except NetworkError as error:
            self._record.error, self._record.outcome = str(error), "aborted"
            self._exchange.abort()
        else:
            self._trip = None
            trip.close(clean=asked is None)

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
        trip, self._trip = self._trip, None
        if trip is not None:
            trip.close(clean=False)
        if self._leave is not None:
            self._leave()
            self._leave = None

    # --- asking

    async def _ask(
        self, request: Request, asked: UpgradeRequest | None, direct: DirectCall | None = None
    ) -> tuple[Response, RoundTrip]:
        """Raises StatusError, NetworkError never."""
        exchange = self._exchange
        tried: set[Upstream] = set()
        failure: NetworkError | None = None
        count, fresh = 0, asked is not None
        attempt: Attempt
        while True:
            if direct is not None:
                upstream, attempt = direct.upstream, direct
                trip, direct = self._ways.transport.under_way(direct.connection, request), None
            else:
                upstream, trip, attempt = await self._send(request, tried, failure, fresh=fresh)
            count += 1
            try:
                response = await trip.answer()
            except NetworkError as error:
                trip.close(clean=False)
                self.over()
                upstream.due.set()
                if asked is not None or not self._may_resend(error, count):
                    raise broken(error, exchange.method) from error
                failure, fresh = error, True
                if not trip.reused:
                    tried.add(upstream)
                continue
            except BaseException:
                trip.close(clean=False)
                raise
            attempt.answered = True
            if response.status >= 500:  # its word is the caller's, and a reason to look
                upstream.due.set()
            return response, trip

    async def _send(
        self, request: Request, tried: set[Upstream], failure: NetworkError | None, *, fresh: bool
    ) -> tuple[Upstream, RoundTrip, Attempt]:
        """To one that was not tried.  Raises StatusError."""
        upstreams, transport = self._ways.upstreams, self._ways.transport
        while True:
            upstream = upstreams.choose(self._authority.asker[1], tried)
            if upstream is None:
                raise unreachable(failure) if failure is not None else none_ready()
            endpoint = upstream.endpoint(self._authority.identity)
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
            return upstream, trip, attempt

    def _may_resend(self, error: NetworkError, count: int) -> bool:
        """`count`: how often it was sent.  An idempotent PUT or DELETE may find that it was done already."""
        exchange = self._exchange
        return (
            exchange.method in SAFE
            and count < MOST_SENT
            and not (exchange.body is not None and exchange.body.touched)
            and not isinstance(error, UpstreamTimeout)
        )

    def _request(self, asked: UpgradeRequest | None) -> Request:
        """Raises StatusError 400."""
        exchange, authority = self._exchange, self._authority
        body = exchange.body
        return Request(
            exchange.method,
            call_head(exchange, authority, self._client, self._ways.withheld, asked, self._record.traced),
            body,
            authority.asker[1],
            once=exchange.method not in SAFE or body is not None,
            # a bearer token, which is for its own request, leaves no place for another scheme
            logs_in=(asked is not None or not authority.digest) and binds_request(exchange.fields),
            upgrade=asked is not None,
            interim=self._interim,
            trailers=partial(trailer_lines, exchange) if body is not None and body.chunked else None,
        )

    # --- what comes back

    def _interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        self._exchange.interim(status, reason, to_caller(fields))

    async def _hand_on(self, response: Response) -> None:
        """Raises NetworkError where it breaks off."""
        exchange = self._exchange
        fields = to_caller(response.fields)
        if response.chunked:
            fields += [field for field in response.fields if field[0] == b"trailer"]
        exchange.start(
            response.status,
            response.reason,
            fields,
            response.length,
            bodiless=response.bodiless,
        )
        if response.length is None and not response.ready:  # the first event may be an hour away
            exchange.flush()
        if self._watching:
            self._response, self._events = response, events_of(response.status, response.fields)
            self._ways.watches.add(self._under_way)
        while True:
            data = await response.read()
            if response.exhausted:
                exchange.finish(data, passing(response.trailers))
                return
            exchange.write(data)
            if self._watching:
                self._events.feed(data)
            if not exchange.writable:
                await exchange.drain()

    async def _switch(self, asked: UpgradeRequest, response: Response, trip: RoundTrip) -> None:
        try:
            if not upgrade.accepts(asked, response.fields):
                raise wrong_switch()
            client = self._exchange.hijack(
                response.reason, [*to_caller(response.fields), *upgrade.answer_fields(asked)]
            )
        except BaseException:
            trip.close(clean=False)
            raise
        frames = FrameCounter() if asked.websocket else None
        seen = frames.feed if frames is not None else None
        relay = Relay(client, trip.take_over(), self._ways.deadlines, self._ways.idle, seen)
        self._under_way.switched(Tunnel(relay, frames))
        try:
            # cancelled or not, the relay tells how it ended
            self._record.outcome = await asyncio.shield(relay.finished)
        finally:
            relay.end("cancelled")
            self._record.stream_in, self._record.stream_out = relay.client.received, relay.backend.received
