"""Are those whose exchange lasts long still allowed it?

Each distinct question is asked again and again while a stream depends on it.

The calls grow with distinct questions (a token, a user and what the user may) and not with streams.  A lookup
that fails is no refusal: it is tried again for a grace period, unless the last yes was not to last so long.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections.abc import Awaitable, Callable, Hashable
from typing import NamedTuple

from bastion.kube.status import StatusError

Ask = Callable[[], Awaitable[bool]]
Refused = Callable[[str], None]

_log = logging.getLogger("bastion.proxy")

REVOKED, EXPIRED = "access revoked", "access expired"
UNCHECKED = "access could not be checked again"

RETRY_SECONDS = 5.0  # between attempts while the API server does not answer
OVERTIME = 30.0  # seconds between questions after the end of a yes: who decides allows for clocks that differ
JITTER = 0.1  # of the interval, downwards: streams opened together are not asked about together for ever


class RecheckStatistics(NamedTuple):
    """`questions`: those that are asked again and again."""

    questions: int


class Recheck:
    """`interval` and `grace` in seconds; an interval of 0 asks nothing."""

    def __init__(self, interval: float, grace: float) -> None:
        self._interval = interval
        self._grace = grace
        self._questions: dict[Hashable, _Question] = {}

    def watch(
        self, key: Hashable, ask: Ask, refused: Refused, good_for: float = math.inf, ago: float = 0.0
    ) -> Callable[[], None]:
        """Call `refused` with a reason once `ask` says no.  Returns what ends the watch.

        `good_for`: seconds from now for which the yes is meant to last; when they are over is a time to ask,
        and to get an answer. `ago`: seconds since that yes.
        """
        if not self._interval:
            return _nothing
        question = self._questions.get(key)
        if question is None:
            now = asyncio.get_running_loop().time()
            question = self._questions[key] = _Question(ask, now + good_for, now - ago)
            question.task = asyncio.create_task(self._ask_until_no(key, question), name="recheck")
        question.watchers.add(refused)
        return lambda: self._leave(key, question, refused)

    def statistics(self) -> RecheckStatistics:
        return RecheckStatistics(len(self._questions))

    def _leave(self, key: Hashable, question: _Question, refused: Refused) -> None:
        question.watchers.discard(refused)
        if not question.watchers and self._questions.get(key) is question:
            del self._questions[key]
            if question.task is not None:
                question.task.cancel()

    async def _ask_until_no(self, key: Hashable, question: _Question) -> None:
        reason = await self._keep_asking(question)
        if self._questions.get(key) is question:  # a stream that comes now asks anew
            del self._questions[key]
        question.refuse(reason)

    async def _keep_asking(self, question: _Question) -> str:
        """Why the streams are to end."""
        loop = asyncio.get_running_loop()
        answered = question.since
        pause = max(0.0, answered + self._jittered() - loop.time())
        while True:
            left = question.end - loop.time()
            await asyncio.sleep(min(pause, left if left > 0 else OVERTIME))
            try:
                if not await question.ask():
                    return EXPIRED if loop.time() >= question.end else REVOKED
                answered, pause = loop.time(), self._jittered()
            except StatusError:
                if loop.time() >= min(question.end, answered + self._interval + self._grace):
                    return UNCHECKED
                pause = min(RETRY_SECONDS, self._interval)
            except Exception:
                _log.exception("a check of a stream's access failed inside the bastion")
                return UNCHECKED

    def _jittered(self) -> float:
        return self._interval * (1 - JITTER * random.random())


class _Question:
    def __init__(self, ask: Ask, end: float, since: float) -> None:
        self.ask = ask
        self.end = end
        self.since = since
        self.watchers: set[Refused] = set()
        self.task: asyncio.Task[None] | None = None

    def refuse(self, reason: str) -> None:
        """All are told, also where telling one fails: a stream that is not told goes on for hours."""
        for refused in list(self.watchers):
            try:
                refused(reason)
            except Exception:
                _log.exception("a stream could not be told to end")


def _nothing() -> None:
    pass
