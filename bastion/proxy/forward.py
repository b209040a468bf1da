"""Sends a request to one of its endpoints and hands the answer on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

import msgspec

from bastion.balance.pool import Balancer
from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import UNREACHED, error_of, overloaded
from bastion.kube.status import StatusError
from bastion.message.answers import ClientResponse, Policy, RequestContext, present
from bastion.message.mount import Mount
from bastion.message.page.html import HtmlRewriter, RewriteAborted
from bastion.network.errors import NetworkError
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from bastion.network.transport import Request, RoundTrip, Transport, may_stay_unread
from bastion.observe.record import Record
from bastion.proxy.attempts import Attempts, note_failure
from bastion.proxy.envelope import Envelope, backend_lines, head_of, logs_in
from bastion.proxy.exchange import Exchange
from bastion.proxy.retry import IDEMPOTENT, may_resend
from bastion.proxy.router import Route, Router
from bastion.proxy.streams import UnderWay
from bastion.proxy.turns import Turns
from bastion.proxy.waiting import Place, Upload
from bastion.runtime.limits import Shares
from bastion.runtime.turns import Key


class Begun(msgspec.Struct, frozen=True):
    """What was done for an exchange before it became a task: a place among those that wait for the target was
    entered, an endpoint chosen, and the request sent on `connection`, where one was kept.
    """

    endpoint: Endpoint | None
    connection: Connection | None


class Forwarder:
    """`waiting` bounds the exchanges that wait for one target's answer; `balancer` knows which endpoints keep
    failing; `turns`: of pages that are edited.
    """

    def __init__(
        self,
        transport: Transport,
        router: Router,
        balancer: Balancer,
        waiting: Shares,
        policy: Policy,
        turns: Turns,
    ) -> None:
        self._router = router
        self._transport = transport
        self._policy = policy
        self._balancer = balancer
        self._waiting = waiting
        self._turns = turns
        self._now = asyncio.get_running_loop().time

    async def serve(
        self,
        exchange: Exchange,
        route: Route,
        envelope: Envelope,
        record: Record,
        under_way: UnderWay,
        begun: Begun | None = None,
    ) -> None:
        """Raises StatusError as long as the answer has not begun; after that it aborts.

        `begun`: how far it came without a task.
        """
        asker = envelope.asker
        if begun is None and not self._waiting.enter(route.key, asker):
            raise overloaded(
                "too many requests wait for this target already (--max-waiting-per-target);"
                " try again shortly",
                code=503,
            )
        upload = (
            Upload(exchange.body, Place(self._waiting, route.key, asker))
            if exchange.body is not None
            else None
        )
        request = Request(
            exchange.method,
            request_head(exchange, route, envelope, self._policy),
            upload,
            envelope.owner,
            once=exchange.method not in IDEMPOTENT or upload is not None,
            logs_in=logs_in(exchange.fields, envelope),
        )
        try:
            trip, answer = await self._ask(exchange, route, request, asker, record, under_way, begun=begun)
        except NetworkError as error:
            raise unreachable(error) from error
        finally:
            if upload is None:
                self._waiting.leave(route.key, asker)
            else:
                upload.place.leave()
        record.backend = True
        clean = False
        try:
            clean = await hand_on(exchange, answer, trip.endpoint, envelope, self._policy, self._turns)
        except (NetworkError, RewriteAborted) as error:
            record.error, record.outcome = str(error), "aborted"
            exchange.abort()
        finally:
            trip.close(clean=clean)

    async def _ask(
        self,
        exchange: Exchange,
        route: Route,
        request: Request,
        asker: Key,
        record: Record,
        under_way: UnderWay,
        *,
        begun: Begun | None,
    ) -> tuple[RoundTrip, Response]:
        """Raises NetworkError or StatusError: from the client's body, or because the target is gone by
        now.
        """
        attempts: Attempts | None = None
        if begun is None:
            endpoint = self._balancer.choose(route.endpoints, asker, self._now())
            trip = self._transport.kept(endpoint, request) if endpoint is not None else None
        else:
            endpoint = begun.endpoint
            trip = self._transport.under_way(begun.connection, request) if begun.connection else None
        sent = trip is not None and begun is not None
        while True:
            if trip is None:
                attempts = attempts or self._attempts(route, asker)
                trip = await attempts.open(self._transport, endpoint, request, record)
            under_way.endpoint = trip.endpoint
            record.endpoint = str(trip.endpoint)
            if under_way.long is not None:
                under_way.moved()
            if not sent:
                trip.send()
            sent = False
            try:
                answer = await trip.answer()
            except NetworkError as error:
                trip.close(clean=False)
                if not self._may_resend(exchange, trip, attempts, error):
                    note_failure(self._balancer.outliers, trip, asker, self._now(), error)
                    raise
                attempts = attempts or self._attempts(route, asker)
                attempts.fresh = True
                endpoint, trip = await attempts.next(), None
            except BaseException:
                trip.close(clean=False)
                raise
            else:
                self._balancer.outliers.answered(trip.endpoint, asker)
                return trip, answer

    def _may_resend(
        self, exchange: Exchange, trip: RoundTrip, attempts: Attempts | None, error: NetworkError
    ) -> bool:
        touched = exchange.body is not None and exchange.body.touched
        resent = attempts is not None and attempts.fresh
        return may_resend(error, exchange.method, reused=trip.reused, body_touched=touched, resent=resent)

    def _attempts(self, route: Route, asker: Key) -> Attempts:
        return Attempts(route, self._router, self._balancer, asker, self._now)


def present_answer(
    exchange: Exchange, answer: Response, endpoint: Endpoint, envelope: Envelope, policy: Policy
) -> ClientResponse:
    """The answer's head as the client is to have it."""

    def mount() -> Mount:
        authorities = {
            str(endpoint).encode(),
            *((endpoint.address.encode(),) if endpoint.port == (443 if endpoint.tls else 80) else ()),
        }
        # as the client asked for it: what was sent has a slash in any case
        path = forwarded.uri[len(forwarded.prefix) :]
        asked, host = forwarded.host.lower(), exchange.host.lower()
        if host and host != asked:
            authorities.add(host)  # by which a proxy in front calls the bastion
        return Mount(forwarded.prefix, frozenset(authorities), path, forwarded.proto == b"https", asked)

    forwarded = envelope.forwarded
    asked = RequestContext(exchange.method, exchange.fields, bool(forwarded.prefix), envelope.ambient)
    return present(asked, answer.status, answer.fields, answer.length, mount, policy)


async def hand_on(
    exchange: Exchange, answer: Response, endpoint: Endpoint, envelope: Envelope, policy: Policy, turns: Turns
) -> bool:
    """True once the whole answer is with the client.

    Raises NetworkError or RewriteAborted where it breaks off.
    """
    presented = present_answer(exchange, answer, endpoint, envelope, policy)
    exchange.start(answer.status, answer.reason, presented.fields, presented.length, bodiless=answer.bodiless)
    if presented.length is None and not answer.ready:
        # the first event may be an hour away, and whoever asked wants to know that it is listened to
        exchange.flush()
    if presented.rewriter is not None:
        return await _hand_on_edited(
            exchange, answer, presented.rewriter, partial(turns.take, envelope.asker)
        )
    while True:
        data = await answer.read()
        if answer.exhausted:
            exchange.finish(data)
            return True
        exchange.write(data)
        if not exchange.writable:
            await exchange.drain()


async def _hand_on_edited(
    exchange: Exchange, answer: Response, rewriter: HtmlRewriter, turn: Callable[[], Awaitable[None]]
) -> bool:
    """In steps of bounded work: what a compressed piece unfolds to is sent before more of it is looked at."""
    while True:
        steps = rewriter.feed(await answer.read())
        while True:
            await turn()
            edited = next(steps, None)
            if edited is None:
                break
            if edited:
                exchange.write(edited)
            if not exchange.writable:
                await exchange.drain()
        if answer.exhausted:
            exchange.finish(rewriter.finish())
            return True


def request_head(exchange: Exchange, route: Route, envelope: Envelope, policy: Policy) -> bytes:
    """The head for the backend, its framing written anew."""
    fields, body = exchange.fields, exchange.body
    if body is None:
        framing = b"\r\n"
    elif body.chunked:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        framing = b"Content-Length: %d\r\n\r\n" % (body.length or 0)
    # a backend that keeps to HTTP reads no request behind this one
    if may_stay_unread(exchange.method, body):
        framing = b"Connection: close\r\n" + framing
    if not exchange.host:  # an HTTP/1.0 client may leave it out, HTTP/1.1 may not (RFC 9112, 3.2)
        framing = b"Host: %b\r\n%b" % (str(route.endpoints[0]).encode(), framing)
    lines = backend_lines(exchange.method, route.target, fields, envelope, editing=policy.edit_html)
    return head_of(lines, fields, exchange.passed, envelope, framing)


def unreachable(error: NetworkError) -> StatusError:
    return error_of(error.word, UNREACHED, str(error))
