"""Calls that are passed on, from a client's socket to a scripted API server's, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

from bastion.balance.readiness import Outcome
from bastion.http.fields import field_of
from bastion.kube.status import StatusError
from bastion.message.lines import request_lines
from bastion.network.connections import ConnectionPool
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.directcall import DirectCall, DirectCalls
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.passthrough import PassThrough
from bastion.proxy.plan import Plans
from bastion.proxy.streams import Streams
from bastion.proxy.upstreams import Address, Upstreams
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.validity import Generation
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import Remembering, ServerState
from bastion.settings.sections import Limits, StreamLimits
from tests.fakes import LOOPBACK, Backend, wire
from tests.proxy.test_onbehalf import Known
from tests.proxy.test_onbehalf import on_behalf as on_behalf_of
from tests.proxy.test_upstreams import Script

TOKEN = b"Authorization: Bearer their-own\r\n"


class Records(list[Record]):
    """Implements `observe.observer.Sink`, as far as it is asked."""

    def observe(self, record: Record) -> None:
        self.append(record)

    def lasts(self, record: Record) -> None:
        raise AssertionError("none of them lasts")


class App:
    """Passes everything on."""

    def __init__(self, pass_through: PassThrough) -> None:
        self._pass_through = pass_through
        self.records = Records()

    async def serve(self, exchange: Exchange) -> None:
        record = Record(exchange.method, exchange.target, exchange.client, exchange.audit_id)
        self.records.append(record)
        try:
            call = self._pass_through.call(exchange)
            assert call is not None, "it is for a proxied target"
            await self._pass_through.serve(exchange, call, exchange.client, record)
        except StatusError as error:
            exchange.send_status(error)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        exchange.send_status(error)

    async def go_on(self, direct: DirectCall) -> None:
        try:
            await self._pass_through.go_on(direct)
        except StatusError as error:
            direct.exchange.send_status(error)


@dataclass
class Front:
    """`begun`: of what was remembered, whether it was carried out without a task."""

    port: int
    pool: ConnectionPool
    plans: Plans
    state: ServerState
    records: list[Record]
    begun: list[bool] = field(default_factory=list)

    async def says(self, request: bytes) -> bytes:
        """All that comes until the end of the connection."""
        reader, writer = await asyncio.open_connection(LOOPBACK, self.port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.transport.abort()


@contextlib.asynccontextmanager
async def passing(server: Backend) -> AsyncIterator[Front]:
    async with wire() as (transport, pool), Deadlines() as deadlines:
        at = Address(LOOPBACK, server.port, "", secure=False)
        upstreams = Upstreams(lambda: [at], lambda _, lost: Script(Outcome.WELL, lost), pool)  # type: ignore[arg-type, return-value]
        await upstreams.begin()
        loop = asyncio.get_running_loop()
        plans = Plans(request_lines(field_of), lambda _: None, lambda *_: None, Generation(), loop.time)
        guard = Guard(Known(), lambda credentials: False, Limits(), lambda request: False)
        on_behalf = on_behalf_of("none")
        streams = Streams(deadlines, StreamLimits(), lambda admitted, end, ago: lambda: None)
        app = App(
            PassThrough(
                on_behalf=on_behalf,
                guard=guard,
                upstreams=upstreams,
                transport=transport,
                streams=streams,
                deadlines=deadlines,
                idle=60.0,
                plans=plans,
            )
        )
        calls = DirectCalls(
            on_behalf=on_behalf,
            guard=guard,
            upstreams=upstreams,
            pool=pool,
            timeouts=lambda: transport.timeouts,
            streams=streams,
            observer=Observer((app.records,)),
        )
        front = Front(0, pool, plans, ServerState(app, deadlines), app.records)

        def begin(exchange: Exchange, plan: Any) -> bool:
            front.begun.append(calls.begin(exchange, plan))
            return front.begun[-1]

        front.state.remembering = Remembering(plans, begin, app.go_on)
        listening = await loop.create_server(lambda: HttpProtocol(front.state, loop), LOOPBACK, 0)
        front.port = listening.sockets[0].getsockname()[1]
        keeping = asyncio.create_task(upstreams.keep())
        try:
            yield front
        finally:
            listening.close()
            keeping.cancel()
            for connection in [*front.state.connections]:
                connection.end_exchange("")
