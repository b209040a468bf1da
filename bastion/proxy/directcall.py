"""A call that came before, word for word, is passed on from callback to callback: as `direct` does it for
what is proxied, and handed to a task where that one is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec

from bastion.http.fields import Field, field_of
from bastion.message.apicall import response_lines, to_caller
from bastion.network.connections import ConnectionPool
from bastion.network.http1.connection import Connection
from bastion.network.http1.ordinary import MAX_HEAD, Beginning, Ordinary, OrdinaryReader
from bastion.network.transport import Request
from bastion.observe.observer import Observer
from bastion.proxy.callplan import CallPlan
from bastion.proxy.exchange import Exchange, ResponseHead
from bastion.proxy.guard import Guard
from bastion.proxy.onbehalf import PLAIN, OnBehalf
from bastion.proxy.responses import LONGEST, MOST
from bastion.proxy.streams import Destination, Streams, UnderWay
from bastion.proxy.upstreams import Upstream, Upstreams
from bastion.settings.sections import Timeouts


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
        plan, shared, exchange, connection = self.plan, self.shared, self.exchange, self.connection
        response = shared.read(data, plan, exchange)
        if response is None:
            return False
        head, body = response
        connection.interim = None
        shared.pool.release_directly(connection)
        self.record.backend = True
        shared.on_behalf.answered(plan.behalf, plan.client, head.status)
        if head.status >= 500:
            self.upstream.due.set()
        exchange.send(head, body)
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
        shared.places.leave(self.plan.asker)
        self.record.end_stage()
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
        pool: ConnectionPool,
        timeouts: Callable[[], Timeouts],
        streams: Streams,
        observer: Observer,
    ) -> None:
        self.on_behalf = on_behalf
        self.places = guard.exchanges
        self.pool = pool
        self.observer = observer
        self._ordinary = OrdinaryReader(response_lines(field_of))
        self._timeouts = timeouts
        self._now = asyncio.get_running_loop().time
        self._upstreams = upstreams
        self._streams = streams

    def begin(self, exchange: Exchange, plan: CallPlan) -> bool:
        """False where it is a task's from the start: then nothing was done."""
        asker = plan.asker
        if not self.on_behalf.is_good(plan.behalf) or not self.places.enter(asker):
            return False
        upstream = self._upstreams.choose(asker[1])
        connection = None
        if upstream is not None:
            connection = self.pool.take(upstream.endpoint(PLAIN), asker[1])
        if upstream is None or connection is None:
            self.places.leave(asker)
            return False
        record = plan.record(exchange.audit_id)
        record.endpoint = connection.place
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
        connection.interim = direct.interim
        connection.begin_directly(plan.head(exchange), direct, self._now(), self._timeouts())
        return True

    def read(self, data: bytes, plan: CallPlan, exchange: Exchange) -> tuple[ResponseHead, bytes] | None:
        """(head, body) of a whole response; None for what is to be read by the parser.

        Its head comes again as it was but for the audit id, for as long as its Date says the same second.
        """
        end = data.find(b"\r\n\r\n", 0, MAX_HEAD) + 4
        sent = exchange.audit_id.encode()
        key = data[:end].replace(sent, b"\0") if sent else b""  # no head has that byte
        known = plan.heads.get(key)
        if known is not None and len(data) - end == known.length:
            return known, data[end:]
        noted: list[Field] = []
        response = self._ordinary.read(data, plan.asker, noted)
        if response is None:
            return None
        lines = _presented(response.beginning)
        if lines is None:
            return None
        said = [value for _, _, value in noted]
        beginning = response.beginning
        head = ResponseHead(
            beginning.status, b"".join((lines, *response.passed)), beginning.length, beginning.dated
        )
        if len(said) == 1 and said[0].isascii():
            exchange.audit_id = said[0].decode()
        if said == [sent] and sent not in head.lines and self._may_be_kept(response, end):
            if len(plan.heads) >= MOST:
                plan.heads.clear()
            plan.heads[key] = head
        return head, response.body

    def _may_be_kept(self, response: Ordinary, length: int) -> bool:
        others = [line for line in response.lines if line[:9].lower() != b"audit-id:"]
        return length <= LONGEST and self._ordinary.may_be_kept(
            msgspec.structs.replace(response, lines=others)
        )


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
