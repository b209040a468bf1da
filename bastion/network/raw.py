"""A connection to an endpoint of which nothing is known but its bytes."""

from __future__ import annotations

import asyncio

from bastion.kube.endpoint import Endpoint
from bastion.network.relay import Stream

HELD = 65536  # bytes, before reading pauses


class RawConnection(asyncio.Protocol):
    """Holds what comes until it is taken over: many servers speak first."""

    reused = False

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._held = 0
        self._ended = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._early.append(data)
        self._held += len(data)
        if self._held >= HELD and self._transport is not None:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ended = True
        return True  # our direction goes on

    def abandon(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def take_over(self) -> Stream:
        assert self._transport is not None
        early, self._early = b"".join(self._early), []
        return Stream(self._transport, early, _nothing, self._ended)


def _nothing() -> None:
    pass
