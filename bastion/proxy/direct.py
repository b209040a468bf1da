"""Carries out a remembered plan from callback to callback, where a task would cost more than all the rest.

A kept connection, no body, and a whole response that needs no parser: that is what most requests are.  At
anything else the exchange goes on in a task, from where it has come to: at a dial, at a response in pieces or
one that is edited, at a failure, and where it lasts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bastion.balance.group import Slot
from bastion.balance.pool import Balancer
from bastion.message.answers import Policy
from bastion.network.connections import ConnectionPool
from bastion.network.http1.connection import Connection
from bastion.network.transport import Transport
from bastion.observe.observer import Observer
from bastion.observe.record import tls_word
from bastion.proxy.admission import Admitted
from bastion.proxy.envelope import backend_lines, head_of
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.plan import Plan
from bastion.proxy.responses import Responses
from bastion.proxy.retry import UNAVAILABLE
from bastion.proxy.router import Route, Router
from bastion.proxy.streams import Streams, UnderWay
from bastion.runtime.limits import Shares


class Direct(UnderWay, kw_only=True):
    """One exchange.

    Its place of the user, its place at the target and its entry among those under way are held until
    `release`, or until the task that `hand_over` makes gives them back.
    """

    shared: DirectDelivery
    route: Route
    plan: Plan
    slot: Slot | None = None
    connection: Connection | None = None
    in_task: bool = False  # the task that it was handed to has begun

    def received(self, data: bytes) -> bool:
        """Implements `network.http1.receiver.Direct`."""
        plan, shared, connection = self.plan, self.shared, self.connection
        response = shared.responses.read(data, plan)
        if response is None or connection is None:
            return False
        head, body = response
        slot = self.slot
        if slot is None or (head.status == 503 and UNAVAILABLE in self.route.policy.retry_on):
            return False
        shared.pool.release_directly(connection)
        if shared.balancer.outliers.tracked:
            shared.balancer.answered(slot, plan.asker, self.streams.now())
        self.record.backend = True
        self.exchange.send(head, body)
        self.release()
        return True

    def hand_over(self) -> None:
        """To a task, which goes on from here."""
        if self.task is None:
            audit, record = self.shared.audit, self.record
            if audit is not None and record.trail is None:
                self.exchange.trail = audit.again(record, self.plan.target)
            self.task = self.exchange.go_on()
            self.task.add_done_callback(self._over)

    def lasts(self) -> None:
        self.admitted = self.shared.renewed(self.exchange, self.plan.admitted)
        if self.connection is not None and self.task is None:
            self.connection.leave_direct()

    def cancel(self, reason: str | None = None) -> None:
        """The client has left, or the server ends it."""
        self.record.outcome = reason or "client-left"
        if self.connection is not None:
            self.connection.abandon_direct()
        self.release()

    def _over(self, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step has not even run its `finally`."""
        if not self.in_task:
            self.record.outcome = "client-left"
            if self.connection is not None:
                self.connection.close()
            self.release()

    def release(self) -> None:
        shared, asker, exchange = self.shared, self.plan.asker, self.exchange
        if self.slot is not None:
            self.slot.active -= 1
        shared.waiting.leave(self.route.key, asker)
        self.streams.over(self)
        shared.places.leave(asker)
        self.record.end_stage()
        shared.observer.observe(self.record, exchange.status, 0, exchange.bytes_out)
        if self.task is None:
            exchange.done()


class DirectDelivery:
    """What all of them share."""

    def __init__(
        self,
        *,
        guard: Guard,
        router: Router,
        balancer: Balancer,
        waiting: Shares,
        pool: ConnectionPool,
        transport: Transport,
        streams: Streams,
        observer: Observer,
        policy: Policy,
        renewed: Callable[[Exchange, Admitted], Admitted],
        crowded: Callable[[], bool],
    ) -> None:
        """`renewed`: what was admitted, with the credentials of this request.

        `crowded`: only the bastion's own paths are answered.
        """
        self.places = guard.exchanges
        self.balancer = balancer
        self.waiting = waiting
        self.pool = pool
        self.observer = observer
        self.audit = observer.audit
        self.renewed = renewed
        self.responses = Responses(policy)
        self._transport = transport
        self._router = router
        self._streams = streams
        self._policy = policy
        self._crowded = crowded
        self._now = asyncio.get_running_loop().time

    def begin(self, exchange: Exchange, plan: Plan) -> bool:
        """False where it is a task's from the start: then nothing was done."""
        asker = plan.asker
        if self._crowded() or not self.places.enter(asker):
            return False
        route = self._router.at_once(plan.led)
        if route is None or not self.waiting.enter(route.key, asker):
            self.places.leave(asker)
            return False
        now = self._now()
        slot = self.balancer.choose(route, asker, now, client=plan.begun.client, resendable=True)
        record = plan.begun.again(exchange.audit_id, "upstream")
        direct = Direct(
            self._streams,
            exchange,
            plan.admitted,
            record,
            None,
            slot.endpoint,
            shared=self,
            route=route,
            plan=plan,
            slot=slot,
        )
        exchange.direct = direct
        if self.audit is not None and self.audit.announces(record):
            exchange.trail = self.audit.again(record, plan.target)
        self._streams.enter(direct)
        connection = self.pool.take(slot.endpoint, plan.envelope.owner)
        if connection is None:
            direct.hand_over()
            return True
        direct.connection = connection
        record.endpoint = connection.place
        if slot.endpoint.tls is not None:
            record.tls = tls_word(slot.endpoint)
        connection.begin_directly(self._head(exchange, plan, route), direct, now, self._transport.timeouts)
        return True

    def _head(self, exchange: Exchange, plan: Plan, route: Route) -> bytes:
        lines = plan.lines
        if lines is None:
            lines = plan.lines = backend_lines(
                plan.method, route.target, exchange.fields, plan.envelope, editing=self._policy.edit_html
            )
        if lines.secrets:
            return head_of(lines, exchange.fields, exchange.passed, plan.envelope, b"\r\n")
        return b"".join((lines.front, *exchange.passed, lines.tail, b"\r\n"))
