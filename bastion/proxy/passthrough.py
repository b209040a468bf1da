"""Passes a call of the API on to an API server, byte for byte in both directions, with its user's authority.

What is neither the bastion's own nor a proxied target comes here (--pass-through).  The API server decides
whether the user may; the bastion limits and records.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from bastion.kube.aliases import request_info
from bastion.kube.hostname import HostNames
from bastion.kube.requestinfo import ApiCall
from bastion.message.apicall import withheld_from
from bastion.message.identity import asserts_identity
from bastion.message.upgrade import UpgradeRequest, asked_upgrade
from bastion.network.transport import Transport
from bastion.observe.record import Record
from bastion.proxy.admission import Admitted
from bastion.proxy.callplan import plan_of
from bastion.proxy.directcall import TO_API_SERVER, DirectCall
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard
from bastion.proxy.onbehalf import OnBehalf
from bastion.proxy.passedcall import PassedCall, Ways
from bastion.proxy.plan import Plans
from bastion.proxy.streams import STOPPING, Streams, UnderWay
from bastion.proxy.upstreams import Upstreams
from bastion.runtime.deadlines import Deadlines


class PassThrough:
    """`hosts`: those on which everything is an application's; `idle` in seconds, of a tunnel.

    `plans` remembers what was decided; None where nothing is remembered.
    """

    def __init__(
        self,
        *,
        on_behalf: OnBehalf,
        guard: Guard,
        upstreams: Upstreams,
        transport: Transport,
        streams: Streams,
        deadlines: Deadlines,
        idle: float,
        hosts: HostNames | None = None,
        withheld: Callable[[bytes], bool] = asserts_identity,
        plans: Plans | None = None,
    ) -> None:
        self._on_behalf = on_behalf
        self._guard = guard
        self._streams = streams
        self._hosts = hosts
        self._plans = plans
        self._now = asyncio.get_running_loop().time
        judges = {passed: withheld_from(withheld, impersonation=passed) for passed in (True, False)}
        self._ways = Ways(
            upstreams=upstreams,
            transport=transport,
            deadlines=deadlines,
            idle=idle,
            withheld=judges,
            answered=on_behalf.answered,
            watches=set(),
        )

    def call(self, exchange: Exchange) -> ApiCall | None:
        """None for a proxied target.  Raises StatusError 400."""
        if self._hosts is not None and self._hosts.covers(exchange.host):
            return None
        info = request_info(exchange.method, exchange.target)
        return info if isinstance(info, ApiCall) else None

    def end_watches(self) -> None:
        """Between two events, so that their clients go on elsewhere."""
        for under_way in list(self._ways.watches):
            under_way.end(STOPPING, revoked=False)

    async def serve(self, exchange: Exchange, call: ApiCall, client: str, record: Record) -> None:
        """Raises StatusError as long as the response has not begun; after that it aborts."""
        record.info = call
        asked = _asked_upgrade(exchange) if exchange.upgradable else None
        generation = self._plans.generation() if self._plans is not None else 0
        with record.stage("authentication"):
            authority = await self._on_behalf.authority(
                exchange,
                call.attributes,
                client,
                record,
                websocket=asked is not None and asked.websocket,
            )
        if record.trail is not None:
            # whose a token is may be known to the API server alone
            await (record.trail.received(unnamed=None) if authority.digest else record.trail.received())
        if self._plans is not None and exchange.key:
            withheld, now = self._ways.withheld, self._now()
            plan = plan_of(exchange, call, authority, record, withheld, now, generation=generation)
            if plan is not None:
                self._plans.keep(exchange.key, plan)
        with self._guard.place(authority.asker, tunnel=asked is not None):
            admitted = Admitted(
                call,
                authority.credentials,
                authority.user,
                authority.acting_as,
                authority.questions,
                authority.asker,
                upgrade=asked,
            )
            under_way = self._streams.begin(exchange, TO_API_SERVER, admitted, record)
            watching = call.attributes.verb == "watch"
            passed = PassedCall(self._ways, exchange, authority, client, record, under_way, watching=watching)
            record.stage("upstream")
            await self._carry_out(passed, passed.serve(asked), under_way)

    async def go_on(self, direct: DirectCall) -> None:
        """With what was begun without a task, whose place is given back here."""
        direct.in_task = True
        plan = direct.plan
        passed = PassedCall(
            self._ways, direct.exchange, plan.behalf, plan.client, direct.record, direct, watching=False
        )
        try:
            await self._carry_out(passed, passed.go_on(direct), direct)
        finally:
            self._guard.exchanges.leave(plan.asker)

    async def _carry_out(
        self, passed: PassedCall, served: Coroutine[Any, Any, None], under_way: UnderWay
    ) -> None:
        try:
            with under_way.record:
                await served
        except asyncio.CancelledError:
            if not under_way.reason:
                raise
            under_way.record.outcome = under_way.reason
            await passed.conclude()
        finally:
            self._ways.watches.discard(under_way)
            self._streams.over(under_way)
            passed.over()


def _asked_upgrade(exchange: Exchange) -> UpgradeRequest | None:
    """Raises StatusError 400."""
    body = exchange.body
    has_body = body is not None and (body.chunked or bool(body.length))
    return asked_upgrade(exchange.method, exchange.minor, exchange.fields, has_body=has_body)
