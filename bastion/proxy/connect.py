"""Opens a tunnel that CONNECT asks for: an endpoint is dialled, and the two connections are joined.

The client hears 200 once the endpoint is connected, never before; nothing of its head reaches the backend.
"""

from __future__ import annotations

from bastion.kube.endpoint import Endpoint
from bastion.network.dial import Dialer
from bastion.network.errors import NetworkError
from bastion.network.raw import RawConnection
from bastion.network.relay import Relay
from bastion.network.transport import Request
from bastion.observe.record import Record
from bastion.proxy.attempts import Attempts
from bastion.proxy.exchange import Exchange
from bastion.proxy.router import Route
from bastion.proxy.sending import Ways, wish_of
from bastion.proxy.streams import UnderWay
from bastion.proxy.tunnel import Tunnel, hold
from bastion.proxy.unreached import unreachable
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.turns import Key

_NOTHING = Request("CONNECT", b"")  # is sent


class RawDials:
    """Implements `attempts.Dials`."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer

    async def round_trip(
        self, endpoint: Endpoint, request: Request, *, fresh: bool = False, patience: float | None = None
    ) -> RawConnection:
        return await self._dialer.dial(endpoint, lambda: RawConnection(endpoint), patience)


class Connector:
    def __init__(self, *, ways: Ways, dialer: Dialer, deadlines: Deadlines, idle: float) -> None:
        """`idle` in seconds, 0 for never: without a byte for so long a tunnel ends."""
        self._ways = ways
        self._dials = RawDials(dialer)
        self._deadlines = deadlines
        self._idle = idle

    async def serve(
        self, exchange: Exchange, route: Route, asker: Key, record: Record, under_way: UnderWay
    ) -> None:
        """Raises StatusError before the answer has begun."""
        ways = self._ways
        slot = ways.balancer.choose(
            route, asker, ways.now(), client=record.client, wish=wish_of(route, exchange.fields)
        )
        attempts = Attempts(
            route, ways.router, ways.balancer, asker, ways.now, slot=slot, client=record.client, fresh=True
        )
        try:
            backend = await self._dialled(attempts, route, record)
            under_way.endpoint = backend.endpoint
            under_way.moved()
            ways.balancer.answered(attempts.slot, asker, ways.now())
            try:
                record.backend = True
                client = exchange.hijack(b"Connection established", [], 200)
            except BaseException:
                backend.abandon()
                raise
            relay = Relay(client, backend.take_over(), self._deadlines, self._idle, None, cuts=True)
            await hold(Tunnel(relay, None), relay, record, under_way)
        finally:
            ways.balancer.leave(attempts.slot)

    async def _dialled(self, attempts: Attempts, route: Route, record: Record) -> RawConnection:
        """Raises StatusError."""
        try:
            return await attempts.open(self._dials, _NOTHING, record)
        except NetworkError as error:
            raise unreachable(error, route, attempts.tried) from error
