"""One line per exchange, and one when it becomes long; gathered and written a few times a second, as a write
per request costs too much.

When the reader of the log is slow, one user's lines do not displace those of others: half of the space is for
known users, and no user gets more than an eighth of that half.  A line that is not written is counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

from bastion.kube.user import ANONYMOUS, User
from bastion.observe.accessline import ENDED, LASTS

FLUSH_SECONDS = 0.2
FLUSH_BYTES = 1 << 16
HELD_BYTES = 8 << 20  # for a reader that does not read, before lines are dropped
FOR_ALL = HELD_BYTES // 2  # lines of all exchanges; beyond it those of known users,
FOR_ONE = HELD_BYTES // 16  # each up to so much of the whole

_log = logging.getLogger("bastion")


class Recorded(Protocol):
    """What a line is of; `user` is None where that is not known."""

    @property
    def user(self) -> User | None: ...


R = TypeVar("R", bound=Recorded)


class AccessLogStatistics(NamedTuple):
    """`dropped`: lines that could not be written."""

    dropped: int


class AccessLog(Generic[R]):
    """Writes to a file descriptor that is never closed here.

    Use as an asynchronous context manager.  `written` makes a line.
    """

    def __init__(self, descriptor: int, written: Callable[[R, str], bytes]) -> None:
        self._descriptor = descriptor
        self._written = written
        self._lines: list[bytes] = []
        self._users: list[User | None] = []  # of the lines
        self._size = 0
        self._size_of: dict[str, int] = {}  # by user, empty where it is not known; of the first lines,
        self._counted = 0  # as many as were counted when this was last needed
        self._task: asyncio.Task[None] | None = None
        self._writing = asyncio.Lock()
        self._torn = False  # the last that was written is a part of a line
        self._failing = False
        self._dropped = 0

    async def __aenter__(self) -> AccessLog[R]:
        self._task = asyncio.create_task(self._run(), name="access-log")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._task is not None:
            self._task.cancel()
        await self._flush()

    def statistics(self) -> AccessLogStatistics:
        return AccessLogStatistics(self._dropped)

    def observe(self, record: R, msg: str = ENDED) -> None:
        if self._size > FOR_ALL and not self._has_room(_known(record.user)):
            self._dropped += 1
            return
        line = self._written(record, msg)
        self._lines.append(line)
        self._users.append(record.user)
        self._size += len(line) + 1

    def lasts(self, record: R) -> None:
        self.observe(record, LASTS)

    def _has_room(self, user: str) -> bool:
        """Beyond what is for all: only then the lines of each user are counted."""
        while self._counted < len(self._lines):
            owner, line = _known(self._users[self._counted]), self._lines[self._counted]
            self._size_of[owner] = self._size_of.get(owner, 0) + len(line) + 1
            self._counted += 1
        return user != "" and self._size <= HELD_BYTES and self._size_of.get(user, 0) <= FOR_ONE

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            if self._lines:
                # In a thread: a reader that stalls the pipe must not stall the proxy.
                await asyncio.shield(asyncio.ensure_future(self._flush()))

    async def _flush(self) -> None:
        async with self._writing:
            data = self._take()
            if not data:
                return
            # A line that was torn ends here, so that the next one is whole.
            left, cause = await asyncio.to_thread(self._write, b"\n" + data if self._torn else data)
            written = len(data) - left
            if written >= 0:
                self._torn = written > 0 and data[written - 1 : written] != b"\n"
            self._dropped += data.count(b"\n", max(written, 0))
            self._say(cause)

    def _take(self) -> bytes:
        data = b"\n".join((*self._lines, b"")) if self._lines else b""
        self._lines.clear()
        self._users.clear()
        self._size_of.clear()
        self._size = self._counted = 0
        return data

    def _write(self, data: bytes) -> tuple[int, str]:
        """(bytes that could not be written, why)."""
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._descriptor, view[:FLUSH_BYTES]) :]
            except BlockingIOError:
                time.sleep(0.01)
            except OSError as error:
                return len(view), os.strerror(error.errno or 0)
        return 0, ""

    def _say(self, cause: str) -> None:
        """The first of a row of failures is news."""
        if cause and not self._failing:
            _log.error("the access log cannot be written (%s): lines are lost, and counted", cause.lower())
        self._failing = bool(cause)


def _known(user: User | None) -> str:
    """The name of a user; empty for anonymous requests."""
    return user.name if user is not None and user.name != ANONYMOUS else ""
