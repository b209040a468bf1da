"""Switches protocols: asks the backend for the upgrade, and joins the two connections once both agree.

Nothing of the client reaches the backend before a 101 that matches what was asked (CVE-2018-1002105,
CVE-2020-8559, CVE-2025-64763); any other answer is passed on whole, and the connection to the backend is
never used again.
"""

from __future__ import annotations

import asyncio

from bastion.balance.group import Slot
from bastion.kube.errors import UNREACHED, error_of
from bastion.kube.errorwords import ANSWER_NOT_UNDERSTOOD
from bastion.message import upgrade
from bastion.message.answers import Policy
from bastion.message.frames import GOING_AWAY, POLICY_VIOLATION, FrameCounter
from bastion.message.page.html import RewriteAborted
from bastion.message.upgrade import UpgradeRequest
from bastion.network.errors import NetworkError
from bastion.network.http1.response import Response
from bastion.network.relay import Relay
from bastion.network.transport import Request, RoundTrip
from bastion.observe.record import Record
from bastion.proxy.attempts import Attempts
from bastion.proxy.envelope import Envelope, backend_lines, head_of
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import hand_on, present_answer, timeouts_of
from bastion.proxy.router import Route
from bastion.proxy.sending import Ways, wish_of
from bastion.proxy.streams import UnderWay
from bastion.proxy.turns import Turns
from bastion.proxy.unreached import unreachable
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.turns import Key


class Tunnel:
    """One that is open.  `end` closes it; the reason goes to the record."""

    def __init__(self, relay: Relay, frames: FrameCounter | None) -> None:
        self._relay = relay
        self._frames = frames

    def end(self, reason: str, *, revoked: bool) -> None:
        """A WebSocket client gets a close frame, where one can be put in."""
        close = POLICY_VIOLATION if revoked else GOING_AWAY
        self._relay.end(reason, close if self._frames is not None and self._frames.at_boundary else b"")

    @property
    def moved(self) -> tuple[int, int]:
        """Bytes from the client and to it."""
        return self._relay.client.received, self._relay.backend.received


class Tunneller:
    """`policy` is for the heads of answers, `turns` for pages that are edited, as with any other request."""

    def __init__(
        self,
        *,
        ways: Ways,
        deadlines: Deadlines,
        idle: float,
        policy: Policy,
        turns: Turns,
    ) -> None:
        """`idle` in seconds, 0 for never: without a byte for so long a tunnel ends."""
        self._ways = ways
        self._policy = policy
        self._turns = turns
        self._deadlines = deadlines
        self._idle = idle

    async def serve(
        self,
        exchange: Exchange,
        route: Route,
        asked: UpgradeRequest,
        envelope: Envelope,
        record: Record,
        under_way: UnderWay,
    ) -> None:
        """Raises StatusError before the answer has begun."""
        head = upgrade_head(exchange, route.target, asked, envelope)
        timeouts = timeouts_of(route.policy, self._ways.transport.timeouts)
        request = Request("GET", head, upgrade=True, timeouts=timeouts)
        ways = self._ways
        wish = wish_of(route, exchange.fields)
        slot = ways.balancer.choose(route, envelope.asker, ways.now(), client=record.client, wish=wish)
        attempts = Attempts(
            route,
            ways.router,
            ways.balancer,
            envelope.asker,
            ways.now,
            slot=slot,
            client=record.client,
            fresh=True,
        )
        try:
            try:
                trip = await self._ask(attempts, request, record, under_way)
                answer = await self._answered(trip, attempts.slot, envelope.asker)
            except NetworkError as error:
                raise unreachable(error, route, attempts.tried) from error
            envelope = ways.with_cookie(route, envelope, trip.endpoint, wish)
            await self._serve(exchange, asked, envelope, record, under_way, (trip, answer))
        finally:
            ways.balancer.leave(attempts.slot)

    async def _serve(
        self,
        exchange: Exchange,
        asked: UpgradeRequest,
        envelope: Envelope,
        record: Record,
        under_way: UnderWay,
        answered: tuple[RoundTrip, Response],
    ) -> None:
        trip, answer = answered
        if answer.status != 101:
            await self._refuse(exchange, answer, trip, envelope, record)
            return
        frames = FrameCounter() if asked.websocket else None
        try:
            if not upgrade.accepts(asked, answer.fields):
                raise error_of(
                    ANSWER_NOT_UNDERSTOOD,
                    UNREACHED,
                    f"{trip.endpoint} switched to a protocol that was not asked for",
                )
            presented = present_answer(exchange, answer, trip.endpoint, envelope, self._policy)
            record.backend = True
            client = exchange.hijack(answer.reason, [*presented.fields, *upgrade.answer_fields(asked)])
        except BaseException:
            trip.close(clean=False)
            raise
        relay = Relay(
            client, trip.take_over(), self._deadlines, self._idle, frames.feed if frames is not None else None
        )
        await hold(Tunnel(relay, frames), relay, record, under_way)

    async def _ask(
        self, attempts: Attempts, request: Request, record: Record, under_way: UnderWay
    ) -> RoundTrip:
        """On a connection of its own, never one that was kept.

        Raises DialError, and StatusError where the target is gone by now.
        """
        trip = await attempts.open(self._ways.transport, request, record)
        under_way.endpoint = trip.endpoint
        under_way.moved()
        trip.send()
        return trip

    async def _answered(self, trip: RoundTrip, slot: Slot, asker: Key) -> Response:
        """Raises NetworkError."""
        balancer, now = self._ways.balancer, self._ways.now
        try:
            answer = await trip.answer()
        except BaseException as error:
            if isinstance(error, NetworkError):
                balancer.failed(slot, asker, now(), dialled=True)
            trip.close(clean=False)
            raise
        balancer.answered(slot, asker, now())
        return answer

    async def _refuse(
        self, exchange: Exchange, answer: Response, trip: RoundTrip, envelope: Envelope, record: Record
    ) -> None:
        """The backend said no: its answer, whole, is the client's."""
        record.backend = True
        try:
            await hand_on(exchange, answer, trip.endpoint, envelope, self._policy, self._turns)
        except (NetworkError, RewriteAborted) as error:
            record.error, record.outcome = str(error), "aborted"
            exchange.abort()
        finally:
            trip.close(clean=False)


async def hold(tunnel: Tunnel, relay: Relay, record: Record, under_way: UnderWay) -> None:
    """Until the tunnel ends."""
    under_way.switched(tunnel)
    try:
        # cancelled or not, the relay tells how it ended
        record.outcome = await asyncio.shield(relay.finished)
    finally:
        relay.end("cancelled")
        record.stream_in, record.stream_out = relay.client.received, relay.backend.received


def upgrade_head(exchange: Exchange, target: bytes, asked: UpgradeRequest, envelope: Envelope) -> bytes:
    fields = exchange.fields
    lines = backend_lines(exchange.method, target, fields, envelope, editing=False)
    return head_of(lines, fields, exchange.passed, envelope, upgrade.request_lines(asked) + b"\r\n")
