"""Switches protocols: asks the backend for the upgrade, and joins the two connections once both agree.

Nothing of the client reaches the backend before a 101 that matches what was asked (CVE-2018-1002105, CVE-2020-8559,
CVE-2025-64763); any other answer is passed on whole, and the connection to the backend is never used again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from bastion.clock import Deadlines
from bastion.kube.endpoint import Endpoint
from bastion.kube.status import service_unavailable
from bastion.message import upgrade
from bastion.message.answers import Policy
from bastion.message.frames import GOING_AWAY, POLICY_VIOLATION, FrameCounter
from bastion.message.headers import to_backend
from bastion.message.html import RewriteAborted
from bastion.message.upgrade import Asked
from bastion.network.answer import Answer
from bastion.network.errors import DialError, NetworkError
from bastion.network.relay import Relay
from bastion.network.transport import RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.forward import MAX_DIALS, Envelope, hand_on, present_answer, unreachable
from bastion.proxy.router import Route
from bastion.proxy.turns import Turns

Watch = Callable[[Callable[[str], None]], Callable[[], None]]


class StreamLimits(msgspec.Struct, frozen=True):
    """Seconds, 0 for no limit."""

    idle: float = 3600.0
    duration: float = 43200.0


class Tunnel:
    """One that is open.  `end` closes it; the reason goes to the record."""

    def __init__(self, relay: Relay, endpoint: Endpoint, frames: FrameCounter | None) -> None:
        self.endpoint = endpoint
        self._relay = relay
        self._frames = frames

    def end(self, reason: str, close: bytes = POLICY_VIOLATION) -> None:
        """`close` is the close frame for a WebSocket client, where one can be put in."""
        self._relay.end(reason, close if self._frames is not None and self._frames.at_boundary else b"")


class Tunneller:
    """`policy` is for the heads of answers, `turns` for pages that are edited, as with any other request."""

    def __init__(self, transport: Transport, deadlines: Deadlines, limits: StreamLimits, policy: Policy, turns: Turns) -> None:
        self._transport = transport
        self._policy = policy
        self._turns = turns
        self._deadlines = deadlines
        self._limits = limits
        self._open: dict[str, set[Tunnel]] = {}  # by address

    async def serve(self, exchange: Exchange, route: Route, asked: Asked, envelope: Envelope, record: Record, watch: Watch) -> None:
        """`watch` is given what ends the tunnel, and returns what ends the watch.  Raises StatusError before the answer has begun."""
        head = upgrade_head(exchange, route.target, asked, envelope)
        try:
            trip, endpoint = await self._ask(route, head, record)
            answer = await _answered(trip)
        except NetworkError as error:
            raise unreachable(error) from error
        if answer.status != 101:
            await self._refuse(exchange, answer, trip, envelope, record)
            return
        frames = FrameCounter() if asked.websocket else None
        try:
            if not upgrade.accepts(asked, answer.fields):
                raise service_unavailable(f"error trying to reach service: {endpoint} switched to a protocol that was not asked for")
            presented = present_answer(exchange, answer, endpoint, envelope, self._policy)
            client = exchange.hijack(answer.reason, [*presented.fields, *upgrade.answer_fields(asked)])
        except BaseException:
            trip.close(clean=False)
            raise
        relay = Relay(client, trip.take_over(), self._deadlines, self._limits.idle, frames.feed if frames is not None else None)
        await self._hold(Tunnel(relay, endpoint, frames), relay, record, watch)

    async def _ask(self, route: Route, head: bytes, record: Record) -> tuple[RoundTrip, Endpoint]:
        failure: DialError | None = None
        for endpoint in route.endpoints[:MAX_DIALS]:
            record.endpoint = str(endpoint)
            try:
                return await self._transport.upgrade(endpoint, head), endpoint
            except DialError as error:
                failure = error
        assert failure is not None
        raise failure

    async def _hold(self, tunnel: Tunnel, relay: Relay, record: Record, watch: Watch) -> None:
        """Until the tunnel ends."""
        address = tunnel.endpoint.address
        self._open.setdefault(address, set()).add(tunnel)
        unwatch = watch(tunnel.end)
        limit = self._limits.duration
        timer = relay.loop.call_later(limit, tunnel.end, "the longest duration of a stream is over", GOING_AWAY) if limit else None
        try:
            record.outcome = await asyncio.shield(relay.finished)  # cancelled or not, the relay tells how it ended
        finally:
            relay.end("cancelled")
            unwatch()
            if timer is not None:
                timer.cancel()
            record.stream_in, record.stream_out = relay.client.received, relay.backend.received
            tunnels = self._open[address]
            tunnels.discard(tunnel)
            if not tunnels:
                del self._open[address]

    async def _refuse(self, exchange: Exchange, answer: Answer, trip: RoundTrip, envelope: Envelope, record: Record) -> None:
        """The backend said no: its answer, whole, is the client's."""
        try:
            await hand_on(exchange, answer, trip.endpoint, envelope, self._policy, self._turns)
        except (NetworkError, RewriteAborted) as error:
            record.error, record.outcome = str(error), "aborted"
            exchange.abort()
        finally:
            trip.close(clean=False)

    # --- what ends tunnels from outside

    def address_gone(self, address: str) -> None:
        """The pod at this address is no more."""
        for tunnel in list(self._open.get(address, ())):
            tunnel.end("the pod is gone", GOING_AWAY)

    def end_all(self) -> None:
        for tunnels in list(self._open.values()):
            for tunnel in list(tunnels):
                tunnel.end("the bastion is stopping", GOING_AWAY)

    def __len__(self) -> int:
        return sum(map(len, self._open.values()))


def upgrade_head(exchange: Exchange, target: bytes, asked: Asked, envelope: Envelope) -> bytes:
    lines = to_backend(exchange.fields, envelope.forwarded, keep_authorization=envelope.keep_authorization, withheld=envelope.withheld)
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (exchange.method.encode(), target, b"".join(lines), upgrade.request_lines(asked))


async def _answered(trip: RoundTrip) -> Answer:
    try:
        return await trip.answer()
    except BaseException:
        trip.close(clean=False)
        raise
