"""One JSON line per exchange.

The path is written without its query, which may hold a secret.  Lines are gathered and written a few times a second: a
write per request would cost as much as the rest of the log.
"""

from __future__ import annotations

import asyncio
import os
import time

import msgspec

from bastion.kube.attributes import Attributes
from bastion.observe.record import Record

NO_RESOURCE = Attributes("")
_encode = msgspec.json.Encoder().encode

FLUSH_SECONDS = 0.2
FLUSH_BYTES = 1 << 16
HELD_BYTES = 8 << 20  # what is held for a reader that does not read, before lines are dropped (and counted)


class AccessLog:
    """Writes to a file descriptor that is never closed here.  Use as an asynchronous context manager."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lines: list[bytes] = []
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self.dropped = 0

    async def __aenter__(self) -> AccessLog:
        self._task = asyncio.create_task(self._run(), name="access-log")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._flush()

    def observe(self, record: Record) -> None:
        if self._size > HELD_BYTES:
            self.dropped += 1
            return
        line = _encode(access_line(record))
        self._lines.append(line)
        self._size += len(line) + 1

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._lines:
                # In a thread: a reader that stalls the pipe must not stall the proxy.
                await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._writing:
            await asyncio.to_thread(self._write, self._take())

    def _take(self) -> bytes:
        data = b"\n".join((*self._lines, b"")) if self._lines else b""
        self._lines.clear()
        self._size = 0
        return data

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view[:FLUSH_BYTES]) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                return


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a line, in their order; what is empty is left out."""

    time: float
    msg: str
    auditID: str
    client: str
    method: str
    path: str
    code: int
    seconds: float
    bytesIn: int
    bytesOut: int
    stages: dict[str, float]
    user: str = ""
    actingAs: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    endpoint: str = ""
    error: str = ""
    outcome: str = ""


def access_line(record: Record) -> Line:
    user, acting = record.user, record.acting_as
    attributes = record.info.attributes if record.info is not None else NO_RESOURCE
    return Line(
        time.time(),
        "access",
        record.audit_id,
        record.client,
        record.method,
        record.path.decode("utf-8", "replace"),
        record.code,
        record.seconds,
        record.bytes_in,
        record.bytes_out,
        record.stages,
        user.name if user is not None else "",
        acting.name if acting is not None and acting is not user else "",
        attributes.verb,
        attributes.resource,
        attributes.namespace,
        attributes.name,
        record.endpoint,
        record.error,
        record.outcome,
    )
