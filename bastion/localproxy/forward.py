"""Sends a request to the API server and hands the response on as it comes; renews credentials that it no
longer takes, and repeats the request with the new ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from bastion.localproxy.answer import Refusal
from bastion.localproxy.clientresponse import ClientResponse, Present
from bastion.localproxy.credentials import CredentialsError
from bastion.localproxy.gunzip import Gunzip, is_gzip, plain_fields
from bastion.localproxy.replay import Replay
from bastion.localproxy.request import (
    Rules,
    compresses,
    has_authorization,
    request_head,
    request_lines,
    response_fields,
    upgrade_asked,
)
from bastion.localproxy.tunnels import Tunnels
from bastion.localproxy.upstream import OWNER, Upstream
from bastion.message.upgrade import UpgradeRequest
from bastion.message.upgrade import request_lines as upgrade_lines
from bastion.network.errors import NetworkError, UpstreamTimeout
from bastion.network.http1.response import Response
from bastion.network.transport import Body, Request, RoundTrip
from bastion.proxy.exchange import Exchange
from bastion.proxy.retry import IDEMPOTENT, may_resend


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """`target` as the API server gets it; `consumed`: the client's Authorization was the proxy's own;
    `present` makes of a response's head what the client gets, None for what came.
    """

    upstream: Upstream
    target: bytes
    client: bytes
    consumed: bool = False
    present: Present | None = None


class Forwarder:
    """`failed` is told why a response broke off that had begun."""

    def __init__(self, rules: Rules, tunnels: Tunnels, failed: Callable[[str], None]) -> None:
        self._rules = rules
        self._tunnels = tunnels
        self._failed = failed

    async def serve(self, exchange: Exchange, api_request: ApiRequest) -> None:
        """Raises Refusal or StatusError as long as the response has not begun; after that it aborts."""
        asked = upgrade_asked(exchange.fields) if exchange.upgradable and exchange.minor else None
        if asked is not None and exchange.body is not None and exchange.body.length != 0:
            raise Refusal(400, "an upgrade request may have no body")
        try:
            trip, answer = await self._ask(exchange, api_request, asked)
        except CredentialsError as error:
            raise Refusal(500, f"getting credentials: {error}") from None
        except NetworkError as error:
            raise Refusal(504 if isinstance(error, UpstreamTimeout) else 502, str(error)) from error
        clean = False
        try:
            if asked is not None and answer.status == 101:
                await self._tunnels.join(exchange, trip, answer, asked)
                return
            asked_gzip = asked is None and self._compresses(exchange, api_request)
            unfold = asked_gzip and is_gzip(answer.fields) and not answer.bodiless
            clean = await hand_on(exchange, answer, api_request.present, unfold=unfold)
        except (NetworkError, ValueError) as error:
            self._failed(str(error))
            exchange.abort()
        finally:
            if answer.status != 101:
                trip.close(clean=clean and asked is None)

    async def _ask(
        self, exchange: Exchange, api_request: ApiRequest, asked: UpgradeRequest | None
    ) -> tuple[RoundTrip, Response]:
        """Raises NetworkError, CredentialsError, or what reading the client's body raised."""
        upstream = api_request.upstream
        body = exchange.body
        own = not api_request.consumed and has_authorization(exchange.fields)
        renewable = upstream.credentials.renewable and not own
        replay = Replay(body) if body is not None and renewable else None
        fresh = renewed = False
        while True:
            loaded = await upstream.prepare()
            trip = await self._start(exchange, api_request, asked, replay or body, fresh=fresh)
            try:
                answer = await _answered(trip)
            except NetworkError as error:
                touched = body is not None and body.touched
                if may_resend(error, exchange.method, reused=trip.reused, body_touched=touched, resent=fresh):
                    fresh = True
                    continue
                raise
            if answer.status != 401 or not renewable or renewed or (replay is not None and not replay.whole):
                return trip, answer
            renewed = True
            if not await upstream.credentials.refused(loaded):
                return trip, answer
            trip.close(clean=answer.exhausted and asked is None)
            if replay is not None:
                replay.again()

    async def _start(
        self,
        exchange: Exchange,
        api_request: ApiRequest,
        asked: UpgradeRequest | None,
        body: Body | None,
        *,
        fresh: bool,
    ) -> RoundTrip:
        """The request under way.  Raises DialError."""
        upstream = api_request.upstream
        lines = request_lines(
            exchange.fields, upstream.identity, self._rules, api_request.client, consumed=api_request.consumed
        )
        method, upgrade = exchange.method, asked is not None
        if asked is not None:
            framing = upgrade_lines(asked)
            body = None
        else:
            if self._compresses(exchange, api_request):
                lines.append(b"Accept-Encoding: gzip\r\n")
            framing = _framing(body)
        head = request_head(method, api_request.target, lines, framing)
        once = body is not None or method not in IDEMPOTENT
        request = Request(method, head, body, OWNER, once=once, upgrade=upgrade)
        trip = await upstream.transport.round_trip(upstream.endpoint, request, fresh=fresh or upgrade)
        trip.send()
        return trip

    def _compresses(self, exchange: Exchange, api_request: ApiRequest) -> bool:
        """A page that is edited comes as the client may have it."""
        return api_request.present is None and compresses(exchange.method, exchange.fields, self._rules)


def _framing(body: Body | None) -> bytes:
    if body is None:
        return b""
    if body.chunked:
        return b"Transfer-Encoding: chunked\r\n"
    return b"Content-Length: %d\r\n" % (body.length or 0)


async def _answered(trip: RoundTrip) -> Response:
    try:
        return await trip.answer()
    except BaseException:
        trip.close(clean=False)
        raise


async def hand_on(exchange: Exchange, answer: Response, present: Present | None, *, unfold: bool) -> bool:
    """True once the whole response is with the client.  `unfold`: its compression was for our hop alone.

    Raises NetworkError where it breaks off, ValueError where its body cannot be changed as it has to be.
    """
    if present is not None:
        presented = present(exchange, answer)
    elif unfold:
        gunzip = Gunzip()
        fields = plain_fields(response_fields(answer.fields))
        presented = ClientResponse(fields, None, gunzip.feed, gunzip.finish)
    else:
        presented = ClientResponse(response_fields(answer.fields), answer.length)
    exchange.start(answer.status, answer.reason, presented.fields, presented.length, bodiless=answer.bodiless)
    if not answer.ready:
        exchange.flush()  # the first event may be an hour away
    if presented.feed is not None:
        return await _hand_on_changed(exchange, answer, presented.feed, presented.finish)
    while True:
        data = await answer.read()
        if answer.exhausted:
            exchange.finish(data)
            return True
        exchange.write(data)
        if not exchange.writable:
            await exchange.drain()


async def _hand_on_changed(
    exchange: Exchange,
    answer: Response,
    feed: Callable[[bytes], Iterator[bytes]],
    finish: Callable[[], bytes],
) -> bool:
    """In steps: what a compressed piece unfolds to is sent before more of it is looked at."""
    while True:
        for changed in feed(await answer.read()):
            if changed:
                exchange.write(changed)
            if not exchange.writable:
                await exchange.drain()
        if answer.exhausted:
            exchange.finish(finish())
            return True
