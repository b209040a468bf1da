"""Sends a request to one of its endpoints and hands the answer on as it comes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from bastion.kube.annotations import EndpointPolicy
from bastion.kube.endpoint import Endpoint
from bastion.kube.errors import overloaded, too_large
from bastion.kube.status import StatusError
from bastion.message.answers import ClientResponse, Policy, RequestContext, present
from bastion.message.mount import Mount
from bastion.message.page.html import HtmlRewriter, RewriteAborted
from bastion.message.trailers import passing, takes_trailers
from bastion.network.errors import NetworkError
from bastion.network.http1.response import Response
from bastion.network.transport import Request, may_stay_unread
from bastion.observe.record import Record
from bastion.proxy.callhead import trailer_lines
from bastion.proxy.envelope import Envelope, backend_lines, head_of, logs_in
from bastion.proxy.exchange import Exchange
from bastion.proxy.retry import IDEMPOTENT, UNAVAILABLE
from bastion.proxy.router import Route
from bastion.proxy.sending import Begun, Sending, Ways, wish_of
from bastion.proxy.streams import UnderWay
from bastion.proxy.turns import Turns
from bastion.proxy.unreached import unreachable
from bastion.proxy.waiting import Place, Upload
from bastion.runtime.limits import Shares
from bastion.runtime.turns import Key
from bastion.settings.sections import Timeouts


class Forwarder:
    """`waiting` bounds the exchanges that wait for one target's answer; `turns`: of pages that are edited;
    `max_body` in bytes, 0 for any size.
    """

    def __init__(
        self,
        ways: Ways,
        waiting: Shares,
        policy: Policy,
        turns: Turns,
        *,
        max_body: int = 0,
    ) -> None:
        self._ways = ways
        self._policy = policy
        self._waiting = waiting
        self._turns = turns
        self.max_body = max_body

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
        try:
            upload = self._upload(exchange, route, asker)
        except StatusError:
            self._waiting.leave(route.key, asker)
            raise
        request = self._request(exchange, route, envelope, upload)
        wish = wish_of(route, exchange.fields)
        sending = Sending(
            self._ways, route, request, upload, asker, begun=begun, client=record.client, wish=wish
        )
        try:
            try:
                trip, answer = await sending.response(begun, record, under_way)
            except NetworkError as error:
                raise unreachable(error, route, sending.tried) from error
            finally:
                if upload is None:
                    self._waiting.leave(route.key, asker)
                else:
                    upload.place.leave()
            record.backend = True
            clean = False
            envelope = self._ways.with_cookie(route, envelope, trip.endpoint, wish)
            try:
                clean = await hand_on(exchange, answer, trip.endpoint, envelope, self._policy, self._turns)
                if answer.status != 503 or UNAVAILABLE not in route.policy.retry_on:
                    sending.answered()
            except (NetworkError, RewriteAborted) as error:
                if isinstance(error, NetworkError):
                    sending.failed()
                record.error, record.outcome = str(error), "aborted"
                exchange.abort()
            finally:
                trip.close(clean=clean)
        finally:
            sending.leave()

    def _upload(self, exchange: Exchange, route: Route, asker: Key) -> Upload | None:
        """Raises StatusError where the body is known to be too large."""
        body = exchange.body
        if body is None:
            return None
        most = self.max_body or None
        if route.policy.max_body_size is not None:
            most = min(route.policy.max_body_size, most or route.policy.max_body_size)
        if most is not None and (body.length or 0) > most:
            raise too_large(most)
        keep = exchange.method in IDEMPOTENT
        return Upload(body, Place(self._waiting, route.key, asker), keep=keep, most=most)

    def _request(
        self, exchange: Exchange, route: Route, envelope: Envelope, upload: Upload | None
    ) -> Request:
        return Request(
            exchange.method,
            request_head(exchange, route, envelope, self._policy),
            upload,
            envelope.owner,
            once=exchange.method not in IDEMPOTENT or upload is not None,
            # whoever asks a proxy takes the connection for its own, and may log it in
            logs_in=exchange.to_proxy or logs_in(exchange.fields, envelope),
            trailers=partial(trailer_lines, exchange) if exchange.http2 and upload is not None else None,
            timeouts=timeouts_of(route.policy, self._ways.transport.timeouts),
        )


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
    presented = present(asked, answer.status, answer.fields, answer.length, mount, policy)
    if envelope.cookie:
        presented.fields.append((b"set-cookie", b"Set-Cookie", envelope.cookie))
    return presented


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
            exchange.finish(data, passing(answer.trailers) if exchange.http2 else ())
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
    if exchange.http2 and takes_trailers(fields):
        framing = b"TE: trailers\r\nConnection: TE\r\n" + framing
    if not exchange.host:  # an HTTP/1.0 client may leave it out, HTTP/1.1 may not (RFC 9112, 3.2)
        framing = b"Host: %b\r\n%b" % (str(route.endpoints[0]).encode(), framing)
    lines = backend_lines(exchange.method, route.target, fields, envelope, editing=policy.edit_html)
    return head_of(lines, fields, exchange.passed, envelope, framing)


def _bounded(own: float | None, flag: float) -> float:
    return flag if own is None else min(own, flag)


def timeouts_of(policy: EndpointPolicy, flags: Timeouts) -> Timeouts | None:
    """A service's own, as far as the flags let it; None where it has none."""
    if not policy.has_timeouts:
        return None
    return replace(
        flags,
        connect=_bounded(policy.connect_timeout, flags.connect),
        response_header=_bounded(policy.response_timeout, flags.response_header),
        response_idle=_bounded(policy.idle_timeout, flags.response_idle),
    )
