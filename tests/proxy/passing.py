"""Calls that are passed on, from a client's socket to a scripted API server's, in the test's own loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bastion.balance.readiness import Outcome
from bastion.kube.status import StatusError
from bastion.network.connections import ConnectionPool
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.passthrough import PassThrough
from bastion.proxy.streams import Streams
from bastion.proxy.upstreams import Address, Upstreams
from bastion.runtime.deadlines import Deadlines
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.state import ServerState
from bastion.settings.sections import Limits, StreamLimits
from tests.fakes import LOOPBACK, Backend, wire
from tests.proxy.test_onbehalf import Known, on_behalf
from tests.proxy.test_upstreams import Script

TOKEN = b"Authorization: Bearer their-own\r\n"


class App:
    """Passes everything on."""

    def __init__(self, pass_through: PassThrough) -> None:
        self._pass_through = pass_through
        self.records: list[Record] = []

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


@dataclass
class Front:
    port: int
    pool: ConnectionPool
    app: App

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
        app = App(
            PassThrough(
                on_behalf=on_behalf("none"),
                guard=Guard(Known(), lambda credentials: False, Limits(), lambda request: False),
                upstreams=upstreams,
                transport=transport,
                streams=Streams(deadlines, StreamLimits(), lambda admitted, end, ago: lambda: None),
                deadlines=deadlines,
                idle=60.0,
            )
        )
        state, loop = ServerState(app, deadlines), asyncio.get_running_loop()
        listening = await loop.create_server(lambda: HttpProtocol(state, loop), LOOPBACK, 0)
        keeping = asyncio.create_task(upstreams.keep())
        try:
            yield Front(listening.sockets[0].getsockname()[1], pool, app)
        finally:
            listening.close()
            keeping.cancel()
            for connection in [*state.connections]:
                connection.end_exchange("")
