"""Joins a client and the API server after both have switched protocols: exec, attach, port-forward,
WebSockets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bastion.http.fields import first_value
from bastion.localproxy.answer import Refusal
from bastion.localproxy.request import response_fields
from bastion.message import upgrade
from bastion.message.frames import GOING_AWAY, FrameCounter
from bastion.message.upgrade import UpgradeRequest
from bastion.network.http1.response import Response
from bastion.network.relay import Relay
from bastion.network.transport import RoundTrip
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines

PING = b"\x89\x00"  # without payload and unmasked, as a server sends it (RFC 6455, 5.5.2)

STOPPING = "the proxy is stopping"


class Tunnels:
    """Those that are open.  `ping` in seconds, 0 for never; `failed` is told of each that broke, and why.

    The client's pong passes on to the API server, so that one ping keeps both halves of a way alive.
    """

    def __init__(self, deadlines: Deadlines, ping: float, failed: Callable[[str], None]) -> None:
        self._deadlines = deadlines
        self._ping = ping
        self._failed = failed
        self._open: dict[Relay, FrameCounter | None] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def join(
        self, exchange: Exchange, trip: RoundTrip, answer: Response, asked: UpgradeRequest
    ) -> None:
        """Until the tunnel ends.  Raises Refusal where the API server switched to something else."""
        frames = FrameCounter() if asked.websocket else None
        try:
            if not upgrade.accepts(asked, answer.fields):
                raise Refusal(502, "the API server switched to a protocol that was not asked for")
            spelled = UpgradeRequest(first_value(answer.fields, b"upgrade"))
            fields = [*response_fields(answer.fields), *upgrade.answer_fields(spelled)]
            client = exchange.hijack(answer.reason, fields)
        except BaseException:
            trip.close(clean=False)
            raise
        seen = frames.feed if frames is not None else None
        relay = Relay(client, trip.take_over(), self._deadlines, 0, seen)
        self._open[relay] = frames
        pinging = None
        if frames is not None and self._ping > 0:
            pinging = asyncio.create_task(self._keep(relay, frames))
        try:
            reason = await asyncio.shield(relay.finished)
            if reason and reason != STOPPING:
                path = exchange.target.partition(b"?")[0].decode("latin-1")
                self._failed(f"the upgraded connection {exchange.method} {path} broke: {reason}")
        finally:
            if pinging is not None:
                pinging.cancel()
            relay.end("cancelled")
            del self._open[relay]
            exchange.bytes_out = relay.backend.received

    def end(self) -> None:
        """All of them, with a close frame where one can be put in."""
        for relay, frames in list(self._open.items()):
            relay.end(STOPPING, GOING_AWAY if frames is not None and frames.at_boundary else b"")

    async def _keep(self, relay: Relay, frames: FrameCounter) -> None:
        moved = -1
        while True:
            await asyncio.sleep(self._ping)
            before, moved = moved, relay.client.received + relay.backend.received
            if before == moved and frames.at_boundary and not relay.backend.ended:
                relay.client.transport.write(PING)
                moved += 6  # the pong of it: an empty frame, masked
