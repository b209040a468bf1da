"""One listener's stream of events: what has changed, a beat, and why it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson
from fastapi import Response
from starlette.types import Receive, Scope, Send

from bastion.kube.status import StatusError
from bastion.proxy.guard import Guard
from bastion.proxy.streams import Streams
from bastion.web.reader import Reader

TICK, BEAT = 1.0, 5.0  # seconds
RETRY = b"retry: 3000\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
ENDED = "Your session has ended"


class Source(Protocol):
    """What one page shows, for one reader."""

    async def changes(self) -> Mapping[str, Any]:
        """Since the last call; empty where there are none.  Raises StatusError where it may not be seen."""
        ...


class _ToNobody:
    """Its own place is all that a stream of events goes to."""

    to_node = False


class Feed(Response):
    """The response; it ends with the session, with the rights, or when the client leaves."""

    media_type = "text/event-stream"

    def __init__(
        self, reader: Reader, source: Source, guard: Guard, streams: Streams, now: Callable[[], float]
    ) -> None:
        super().__init__(None, 200, HEADERS)
        del self.headers["content-length"]
        self._reader = reader
        self._source = source
        self._guard = guard
        self._streams = streams
        self._now = now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        reader = self._reader
        with self._guard.place(reader.asker, tunnel=True):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            under_way = self._streams.begin(reader.exchange, _ToNobody(), reader.admitted, reader.record)
            try:
                why = await self._events(send)
            except asyncio.CancelledError:
                if not under_way.reason or under_way.task is None:
                    raise
                under_way.task.uncancel()
                reader.record.outcome = under_way.reason
                why = ENDED if under_way.revoked else ""
            finally:
                self._streams.over(under_way)
            end = _event("end", {"why": why}) if why else b""
            await send({"type": "http.response.body", "body": end})

    async def _events(self, send: Send) -> str:
        """Why it ends; empty where the page is to ask again."""
        await self._write(send, RETRY)
        beat = 0.0
        while True:
            now = self._now()
            if self._reader.until and now >= self._reader.until:
                return ENDED
            try:
                changes = await self._source.changes()
            except StatusError as error:
                # where nobody can say it now, the page asks again and is marked as old meanwhile
                return "" if error.code == 503 else "This may not be seen any more"
            if changes:
                await self._write(send, _event("values", {"at": now, **changes}))
            if changes or now - beat >= BEAT:
                beat = now
                if not changes:
                    await self._write(send, _event("beat", {"at": now}))
            await asyncio.sleep(TICK)

    async def _write(self, send: Send, data: bytes) -> None:
        await send({"type": "http.response.body", "body": data, "more_body": True})


def _event(kind: str, data: Mapping[str, Any]) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), orjson.dumps(data))
