"""A call that came before, word for word, is passed on from callback to callback: as `direct` does it for
what is proxied, and handed to a task where that one is.
"""

from __future__ import annotations

import asyncio

from bastion.http.fields import Field, field_of
from bastion.message.apicall import response_lines, to_caller
from bastion.network.http1.connection import Connection
from bastion.network.http1.ordinary import Beginning, OrdinaryReader
from bastion.network.transport import Request, Transport
from bastion.observe.observer import Observer
from bastion.proxy.callplan import CallPlan
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.onbehalf import PLAIN, OnBehalf
from bastion.proxy.streams import Destination, Streams, UnderWay
from bastion.proxy.upstreams import Upstream, Upstreams


class ToApiServer:
    """Where it goes, in the words of `streams`: to no pod and no node."""

    to_node = False


TO_API_SERVER: Destination = ToApiServer()


class DirectCall(UnderWay, kw_only=True):
    """One of them.

    Its place of the user and its entries among those under way are held until `release`, or until the task
    that `hand_over` makes gives them back.  `answered`: its response has begun.
    """

    shared: DirectCalls
    plan: CallPlan
    upstream: Upstream
    connection: Connection
    answered: bool = False
    in_task: bool = False  # the task that it was handed to has begun

    def received(self, data: bytes) -> bool:
        """Implements `network.http1.receiver.Direct`."""
        plan, shared, exchange = self.plan, self.shared, self.exchange
        noted: list[Field] = []
        response = shared.ordinary.read(data, plan.asker, noted)
        if response is None:
            return False
        beginning = response.beginning
        head = _presented(beginning)
        if head is None:
            return False
        shared.transport.release_directly(self.connection)
        self.record.backend = True
        if len(noted) == 1 and noted[0][2].isascii():
            exchange.audit_id = noted[0][2].decode()
        status = beginning.status
        shared.on_behalf.answered(plan.behalf, plan.client, status)
        if status >= 500:
            self.upstream.due.set()
        exchange.send(status, [head, *response.passed], response.body, dated=beginning.dated)
        self.release()
        return True

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        self.exchange.interim(status, reason, to_caller(fields))

    def hand_over(self) -> None:
        """To a task, which goes on from here."""
        if self.task is None:
            self.task = self.exchange.go_on()
            self.task.add_done_callback(self._over)

    def lasts(self) -> None:
        if self.task is None:
            self.connection.leave_direct()

    def cut(self) -> None:
        """The API server is given up."""
        self.connection.close()

    def cancel(self, reason: str | None = None) -> None:
        """The client has left, or the server ends it."""
        self.record.outcome = reason or "client-left"
        self.connection.abandon_direct()
        self.release()

    def request(self) -> Request:
        """For a task, which may have to send it again."""
        return Request("GET", self.plan.head(self.exchange), owner=self.plan.asker[1], interim=self.interim)

    def _over(self, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step has not even run its `finally`."""
        if not self.in_task:
            self.record.outcome = "client-left"
            self.connection.close()
            self.release()

    def release(self) -> None:
        shared, exchange = self.shared, self.exchange
        self.upstream.attempts.discard(self)
        self.streams.over(self)
        shared.guard.leave(self.plan.asker)
        self.record.__exit__(None, None, None)
        shared.observer.observe(self.record, exchange.status, 0, exchange.bytes_out)
        if self.task is None:
            exchange.done()


class DirectCalls:
    """What all of them share."""

    def __init__(
        self,
        *,
        on_behalf: OnBehalf,
        guard: Guard,
        upstreams: Upstreams,
        transport: Transport,
        streams: Streams,
        observer: Observer,
    ) -> None:
        self.on_behalf = on_behalf
        self.guard = guard
        self.transport = transport
        self.observer = observer
        self.ordinary = OrdinaryReader(response_lines(field_of))
        self._upstreams = upstreams
        self._streams = streams

    def begin(self, exchange: Exchange, plan: CallPlan) -> bool:
        """False where it is a task's from the start: then nothing was done."""
        asker = plan.asker
        if not self.on_behalf.is_good(plan.behalf) or not self.guard.enter(asker):
            return False
        upstream = self._upstreams.choose(asker[1])
        connection = None
        if upstream is not None:
            connection = self.transport.take(upstream.endpoint(PLAIN), asker[1])
        if upstream is None or connection is None:
            self.guard.leave(asker)
            return False
        record = plan.record(exchange.audit_id)
        record.stage("upstream")
        record.endpoint = str(connection.endpoint)
        direct = DirectCall(
            self._streams,
            exchange,
            TO_API_SERVER,
            plan.admitted,
            record,
            None,
            endpoint=connection.endpoint,
            shared=self,
            plan=plan,
            upstream=upstream,
            connection=connection,
        )
        exchange.direct = direct
        self._streams.enter(direct)
        upstream.attempts.add(direct)
        self.transport.begin_directly(connection, plan.head(exchange), direct, direct.interim)
        return True


def _presented(beginning: Beginning) -> bytes | None:
    """The status line and the lines that some rule reads, as a client gets them."""
    if not beginning.reason:
        return None  # the server's own words are written for it
    try:
        return beginning.presented[0]
    except KeyError:
        fields = to_caller(list(beginning.fields))
        head = beginning.presented[0] = b"HTTP/1.1 %d %b\r\n%bContent-Length: %d\r\n" % (
            beginning.status,
            beginning.reason,
            b"".join(b"%b: %b\r\n" % field[1:] for field in fields),
            beginning.length,
        )
        return head
