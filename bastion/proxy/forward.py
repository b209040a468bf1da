"""Sends a request to one of its endpoints and hands the answer on as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from bastion.balance.outlier import Outliers
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import StatusError, gateway_timeout, service_unavailable
from bastion.limits import Concurrency
from bastion.message.answers import Asked, Policy, Presented, present
from bastion.message.headers import Forwarded, to_backend
from bastion.message.html import HtmlRewriter, RewriteAborted
from bastion.message.identity import asserts_identity
from bastion.message.mount import Mount
from bastion.network.answer import Answer
from bastion.network.errors import DialError, NetworkError, SendError, UpstreamTimeout
from bastion.network.http1 import Connection
from bastion.network.transport import RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.retry import UPSTREAM_STATUS, may_resend
from bastion.proxy.router import Route

EDITED_PIECE = 16384  # bytes of a page given to its rewriter at once
MAX_DIALS = 3  # endpoints tried before the client is told


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What the bastion itself decided about a request: where it came from, whose Authorization it carries, whether a session's cookie
    authenticated it, which of its headers are kept back."""

    forwarded: Forwarded
    keep_authorization: bool
    session: bool = False
    withheld: Callable[[bytes], bool] = asserts_identity


class Forwarder:
    """`waiting` bounds the exchanges that wait for one target's answer; `outliers` knows which endpoints keep failing."""

    def __init__(self, transport: Transport, outliers: Outliers, waiting: Concurrency, policy: Policy) -> None:
        self._transport = transport
        self._policy = policy
        self._outliers = outliers
        self._waiting = waiting
        self._now = asyncio.get_running_loop().time

    async def serve(self, exchange: Exchange, route: Route, envelope: Envelope, record: Record) -> None:
        """Raises StatusError as long as the answer has not begun; after that it aborts."""
        head = request_head(exchange, route, envelope, self._policy)
        if not self._waiting.enter(route.key):
            raise service_unavailable("too many requests wait for this target already; try again shortly", retry_after=1)
        try:
            trip, answer = await self._ask(exchange, route, head, record)
        except NetworkError as error:
            raise unreachable(error) from error
        finally:
            self._waiting.leave(route.key)
        clean = False
        try:
            clean = await hand_on(exchange, answer, trip.endpoint, envelope, self._policy)
        except (NetworkError, RewriteAborted) as error:
            record.error, record.outcome = str(error), "aborted"
            exchange.abort()
        finally:
            trip.close(clean=clean)

    async def _ask(self, exchange: Exchange, route: Route, head: bytes, record: Record) -> tuple[RoundTrip, Answer]:
        """Raises NetworkError or, from the client's body, StatusError."""
        fresh = False
        while True:
            connection = await self._connect(route, record, fresh=fresh)
            reused = connection.used
            trip = self._transport.start(connection, exchange.method, head, exchange.body)
            try:
                answer = await trip.answer()
            except NetworkError as error:
                trip.close(clean=False)
                touched = exchange.body is not None and exchange.body.touched
                if not may_resend(error, exchange.method, reused=reused, body_touched=touched, resent=fresh):
                    if isinstance(error, (SendError, UpstreamTimeout)):
                        self._outliers.failed(connection.endpoint, self._now())
                    raise
                fresh = True
            except BaseException:
                trip.close(clean=False)
                raise
            else:
                self._outliers.succeeded(connection.endpoint)
                return trip, answer

    async def _connect(self, route: Route, record: Record, *, fresh: bool) -> Connection:
        """To the first endpoint that takes a connection."""
        failure: DialError | None = None
        dials = 0
        for endpoint in route.endpoints:
            if not self._outliers.worth_a_try(endpoint, self._now()):
                continue
            record.endpoint = str(endpoint)
            try:
                return await self._transport.connect(endpoint, fresh=fresh)
            except DialError as error:
                self._outliers.failed(endpoint, self._now())
                failure = error
                dials += 1
                if dials == MAX_DIALS:
                    break
        raise failure or DialError("every endpoint failed several times in a row; one request every few seconds tries again")


def present_answer(exchange: Exchange, answer: Answer, endpoint: Endpoint, envelope: Envelope, policy: Policy) -> Presented:
    """The answer's head as the client is to have it."""

    def mount() -> Mount:
        authorities = {str(endpoint).encode(), *((endpoint.address.encode(),) if endpoint.port == (443 if endpoint.tls else 80) else ())}
        path = forwarded.uri[len(forwarded.prefix) :]  # as the client asked for it: what was sent has a slash in any case
        asked, host = forwarded.host.lower(), exchange.host.lower()
        if host and host != asked:
            authorities.add(host)  # by which a proxy in front calls the bastion
        return Mount(forwarded.prefix, frozenset(authorities), path, forwarded.proto == b"https", asked)

    forwarded = envelope.forwarded
    asked = Asked(exchange.method, exchange.fields, bool(forwarded.prefix), envelope.session)
    return present(asked, answer.status, answer.fields, answer.length, mount, policy)


async def hand_on(exchange: Exchange, answer: Answer, endpoint: Endpoint, envelope: Envelope, policy: Policy) -> bool:
    """True once the whole answer is with the client.  Raises NetworkError or RewriteAborted where it breaks off."""
    presented = present_answer(exchange, answer, endpoint, envelope, policy)
    exchange.start(answer.status, answer.reason, presented.fields, presented.length, bodiless=answer.bodiless)
    if presented.rewriter is not None:
        return await _hand_on_edited(exchange, answer, presented.rewriter)
    while True:
        data = await answer.read()
        if answer.exhausted:
            exchange.finish(data)
            return True
        exchange.write(data)
        if not exchange.writable:
            await exchange.drain()


async def _hand_on_edited(exchange: Exchange, answer: Answer, rewriter: HtmlRewriter) -> bool:
    """In small pieces, others having a turn in between: what a compressed one unfolds to is sent before the next is looked at."""
    while True:
        data = await answer.read()
        for at in range(0, len(data), EDITED_PIECE):
            edited = rewriter.feed(data[at : at + EDITED_PIECE])
            if edited:
                exchange.write(edited)
            if not exchange.writable:
                await exchange.drain()
            elif at + EDITED_PIECE < len(data):
                await asyncio.sleep(0)
        if answer.exhausted:
            exchange.finish(rewriter.finish())
            return True


def request_head(exchange: Exchange, route: Route, envelope: Envelope, policy: Policy) -> bytes:
    """The head for the backend, its framing written anew."""
    lines = to_backend(
        exchange.fields,
        envelope.forwarded,
        keep_authorization=envelope.keep_authorization,
        withheld=envelope.withheld,
        editing=policy.edit_html,
    )
    body = exchange.body
    if body is None:
        framing = b"\r\n"
    elif body.chunked:
        framing = b"Transfer-Encoding: chunked\r\n\r\n"
    else:
        framing = b"Content-Length: %d\r\n\r\n" % (body.length or 0)
    if not exchange.host:  # an HTTP/1.0 client may leave it out, HTTP/1.1 may not (RFC 9112, 3.2)
        lines.append(b"Host: %b\r\n" % str(route.endpoints[0]).encode())
    return b"%b %b HTTP/1.1\r\n%b%b" % (exchange.method.encode(), route.target, b"".join(lines), framing)


def unreachable(error: NetworkError) -> StatusError:
    message = f"error trying to reach service: {error}"
    if UPSTREAM_STATUS.get(type(error)) == 504 or isinstance(error, UpstreamTimeout):
        return gateway_timeout(message)
    return service_unavailable(message)
