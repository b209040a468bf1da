"""Sends one request until an endpoint answers it: tried again where that does no harm.

Not a byte of it out: at any endpoint.  No byte of the response yet: idempotent methods at another endpoint,
as far as the owner of the service wants it and its budget for retries lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from msgspec import structs

from bastion.balance.group import COOKIE, Slot
from bastion.balance.pool import Balancer
from bastion.http.fields import Field
from bastion.kube.endpoint import Endpoint
from bastion.message.cookies import ENDPOINT, own_cookie, set_endpoint
from bastion.network.errors import NetworkError, NotProcessed, SendError
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from bastion.network.transport import Request, RoundTrip, Transport
from bastion.observe.record import Record
from bastion.proxy.attempts import Attempts
from bastion.proxy.envelope import Envelope
from bastion.proxy.retry import IDEMPOTENT, MOST_SENDS, REASONS, UNAVAILABLE, is_stale
from bastion.proxy.router import Route, Router
from bastion.proxy.streams import UnderWay
from bastion.proxy.waiting import Upload
from bastion.runtime.turns import Key


class Begun(msgspec.Struct, frozen=True):
    """What was done for an exchange before it became a task: a place among those that wait for the target was
    entered, an endpoint chosen, and the request sent on `connection`, where one was kept.
    """

    slot: Slot
    connection: Connection | None


class Ways(msgspec.Struct, frozen=True):
    """What all share: where endpoints are known, chosen and reached, and the clock."""

    transport: Transport
    router: Router
    balancer: Balancer
    now: Callable[[], float]

    def with_cookie(self, route: Route, envelope: Envelope, endpoint: Endpoint, wish: bytes) -> Envelope:
        """The client keeps its endpoint from here on; nothing is set where its cookie names it already."""
        if route.policy.affinity != COOKIE or (token := self.balancer.token_of(endpoint)) == wish:
            return envelope
        return structs.replace(envelope, cookie=set_endpoint(token, envelope.forwarded.prefix))


def wish_of(route: Route, fields: Iterable[Field]) -> bytes:
    """The endpoint that the client's cookie names; empty for none."""
    return own_cookie(fields, ENDPOINT) if route.policy.affinity == COOKIE else b""


class Sending:
    """Of one request.  `leave` must be called, whatever happened."""

    __slots__ = ("_asker", "_attempts", "_request", "_resent", "_route", "_sends", "_upload", "_ways", "slot")

    def __init__(
        self,
        ways: Ways,
        route: Route,
        request: Request,
        upload: Upload | None,
        asker: Key,
        *,
        begun: Begun | None = None,
        client: str = "",
        wish: bytes = b"",
    ) -> None:
        self._ways = ways
        self._route = route
        self._request = request
        self._upload = upload
        self._asker = asker
        self._sends = 0
        self._resent = False  # a kept connection ended under it
        self.slot = (
            begun.slot
            if begun is not None
            else ways.balancer.choose(
                route,
                asker,
                ways.now(),
                client=client,
                resendable=upload is None and request.method in IDEMPOTENT,
                wish=wish,
            )
        )
        self._attempts = Attempts(
            route, ways.router, ways.balancer, asker, ways.now, slot=self.slot, client=client
        )

    def leave(self) -> None:
        self._ways.balancer.leave(self._attempts.slot)

    async def response(
        self, begun: Begun | None, record: Record, under_way: UnderWay
    ) -> tuple[RoundTrip, Response]:
        """Raises NetworkError or StatusError: from the client's body, or because the target is gone by
        now.
        """
        transport, attempts = self._ways.transport, self._attempts
        sent = begun is not None and begun.connection is not None
        if begun is None or begun.connection is None:
            trip = transport.kept(self.slot.endpoint, self._request) if begun is None else None
        else:
            trip = transport.under_way(begun.connection, self._request)
        while True:
            if trip is None:
                trip = await attempts.open(transport, self._request, record)
            self.slot = attempts.slot
            under_way.endpoint = trip.endpoint
            record.reached(trip.endpoint)
            if under_way.long is not None:
                under_way.moved()
            if not sent:
                trip.send()
            sent = False
            self._sends += 1
            try:
                response = await trip.answer()
            except NetworkError as error:
                trip.close(clean=False)
                if not await self._again_after(error, trip):
                    raise
            except BaseException:
                trip.close(clean=False)
                raise
            else:
                if response.status != 503 or not await self._again_after_503():
                    return trip, response
                trip.close(clean=False)
            trip = None

    @property
    def tried(self) -> int:
        """How many endpoints."""
        return self._attempts.tried

    def failed(self) -> None:
        """Its response ended too early, or none came."""
        self._ways.balancer.failed(self.slot, self._asker, self._ways.now(), dialled=True)

    def answered(self) -> None:
        self._ways.balancer.answered(self.slot, self._asker, self._ways.now())

    async def _again_after(self, error: NetworkError, trip: RoundTrip) -> bool:
        """Whether it is sent once more, and then to where."""
        if isinstance(error, NotProcessed):
            return await self._elsewhere()
        if not is_stale(error, reused=trip.reused, checked=self._request.once):
            self.failed()
            if isinstance(error, SendError) and not trip.reused:
                self._ways.transport.distrust(trip.endpoint)
        kept_ended = isinstance(error, SendError) and trip.reused
        if kept_ended and not self._resent and self._may_repeat():
            self._resent = self._attempts.fresh = True
            return await self._attempts.move(stale=True)
        return await self._moved(REASONS.get(type(error), ""))

    async def _elsewhere(self) -> bool:
        """Nothing was done of it: on another connection, whatever its method."""
        if self._sends >= MOST_SENDS or not (self._upload is None or self._upload.rewind()):
            return False
        self._attempts.fresh = True
        return await self._attempts.move(stale=True)

    async def _again_after_503(self) -> bool:
        if UNAVAILABLE not in self._route.policy.retry_on:
            return False
        self.failed()
        return await self._moved(UNAVAILABLE)

    async def _moved(self, reason: str) -> bool:
        attempts, balancer = self._attempts, self._ways.balancer
        if reason not in self._route.policy.retry_on or self._sends >= MOST_SENDS or not self._may_repeat():
            return False
        attempts.give_up(self.slot.endpoint)
        attempts.fresh = True
        return await attempts.move() and balancer.may_retry(attempts.slot, self._ways.now())

    def _may_repeat(self) -> bool:
        return self._request.method in IDEMPOTENT and (self._upload is None or self._upload.rewind())
