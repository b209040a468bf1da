"""Events posted in batches, which are tried again, and given up.

As kube-apiserver's webhook: `apiserver/plugin/pkg/audit/buffered`, `…/webhook`.  A full buffer drops events,
never requests; what is dropped or given up is counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bastion.observe.audit.counts import BUFFERED, WEBHOOK, AuditCounts

TRIES = 5
FACTOR, JITTER = 1.5, 0.2
AT_ONCE = 16  # posts under way: a sink that hangs holds no more than so many batches
CLOSING_SECONDS = 10.0  # for what is gathered, once the program stops

Post = Callable[[bytes], Awaitable[None]]  # raises OSError

_log = logging.getLogger("bastion.audit")


def event_list(events: Sequence[bytes]) -> bytes:
    return b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":[%b]}' % b",".join(
        events
    )


class Delivery:
    """Posts events until they are taken, or it has tried often enough.

    `backoff` in seconds before the second try.
    """

    def __init__(
        self,
        post: Post,
        backoff: float,
        counts: AuditCounts,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._post = post
        self._backoff = backoff
        self._counts = counts
        self._chance = chance
        self._failing = False

    async def __call__(self, events: Sequence[bytes]) -> bool:
        """Whether they were taken; where not, they are counted."""
        body, pause, cause = event_list(events), self._backoff, "it was stopped"
        taken = False
        try:
            for attempt in range(TRIES):
                if attempt:
                    await asyncio.sleep(pause * (1 + JITTER * self._chance()))
                    pause *= FACTOR
                try:
                    await self._post(body)
                except OSError as error:
                    cause = str(error)
                else:
                    taken = True
                    break
        finally:
            self._tell(len(events), taken=taken, cause=cause)
        return taken

    def _tell(self, count: int, *, taken: bool, cause: str) -> None:
        """The first of a row of failures is news."""
        if not taken:
            self._counts.lost[WEBHOOK] += count
        if not taken and not self._failing:
            _log.error("the audit webhook takes no events (%s): they are given up, and counted", cause)
        self._failing = not taken


@dataclass(frozen=True, slots=True)
class Batching:
    """`size` and `bytes` of a batch (0: any), `wait` in seconds for a full one, `buffer` in events; at most
    `burst` batches at once and `qps` a second, 0 for no limit.
    """

    size: int
    wait: float
    buffer: int
    qps: float = 0
    burst: int = 1
    bytes: int = 0


class Pace:
    """Turns at `qps` a second, `burst` at once."""

    def __init__(self, qps: float, burst: int, now: Callable[[], float]) -> None:
        self._each = 1 / qps if qps else 0.0
        self._ahead = self._each * (burst - 1)
        self._now = now
        self._next = float("-inf")

    def wait(self) -> float:
        """Seconds until this turn."""
        now = self._now()
        due = max(self._next, now - self._ahead)
        self._next = due + self._each
        return max(0.0, due - now)


class Batches:
    """Implements `Outlet`.  Use as an asynchronous context manager."""

    def __init__(self, deliver: Delivery, batching: Batching, counts: AuditCounts) -> None:
        self._deliver = deliver
        self._batching = batching
        self._counts = counts
        self._held: list[bytes] = []
        self._since = 0.0  # when the first of them came
        self._some, self._full, self._closing = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._posts: set[asyncio.Task[None]] = set()
        self._now = asyncio.get_running_loop().time
        self._pace = Pace(batching.qps, batching.burst, self._now)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Batches:
        self._task = asyncio.create_task(self._run(), name="audit-webhook")
        return self

    async def __aexit__(self, *_: object) -> None:
        """What is held is posted now, as far as that goes in time."""
        self._closing.set()
        self._full.set()
        try:
            async with asyncio.timeout(CLOSING_SECONDS):
                await self._emptied()
        except TimeoutError:
            _log.error("the audit webhook was too slow: %d events were not posted", len(self._held))
        if self._task is not None:
            self._task.cancel()
        for post in self._posts:
            post.cancel()
        await asyncio.gather(*self._posts, return_exceptions=True)
        self._counts.lost[WEBHOOK] += len(self._held)

    def add(self, events: bytes, count: int) -> bool:
        room = max(self._batching.buffer - len(self._held), 0)
        self._counts.lost[BUFFERED] += max(count - room, 0)
        if not self._held and room:
            self._since = self._now()
            self._some.set()
        self._held += events.split(b"\n")[:room]
        if len(self._held) >= self._batching.size:
            self._full.set()
        return room >= count

    async def _emptied(self) -> None:
        while self._held or self._posts:
            if self._posts:
                await asyncio.wait(self._posts, return_when=asyncio.FIRST_COMPLETED)
            else:
                await asyncio.sleep(0)

    async def _run(self) -> None:
        while True:
            await self._some.wait()
            await self._due()
            await self._slots.acquire()
            post = asyncio.create_task(self._sent(self._taken()))
            self._posts.add(post)
            post.add_done_callback(self._posts.discard)

    async def _due(self) -> None:
        try:
            async with asyncio.timeout_at(self._since + self._batching.wait):
                await self._full.wait()
        except TimeoutError:
            pass
        pause = self._pace.wait()
        if pause and not self._closing.is_set():
            closing = asyncio.ensure_future(self._closing.wait())
            await asyncio.wait((closing,), timeout=pause)
            closing.cancel()

    def _taken(self) -> list[bytes]:
        count, room = 0, self._batching.bytes or float("inf")
        for event in self._held[: self._batching.size]:
            room -= len(event)
            if room < 0 and count:
                break
            count += 1
        taken, self._held = self._held[:count], self._held[count:]
        if not self._held:
            self._some.clear()
        if len(self._held) < self._batching.size and not self._closing.is_set():
            self._full.clear()
        self._since = self._now()
        return taken

    async def _sent(self, events: list[bytes]) -> None:
        try:
            await self._deliver(events)
        finally:
            self._slots.release()
