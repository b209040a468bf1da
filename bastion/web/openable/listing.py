"""Asks what users may open, each at most so often, and remembers the answers for a minute.

Only for lists: a link that is opened is authorized anew, so that a list can only be too long.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from bastion.authz.authorizer import Authorizer
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.limits import Rate
from bastion.runtime.turns import Key
from bastion.web.openable.plan import Ask, Plan, Things, plan

REMEMBERED = 60.0  # seconds
NOTHING_REMEMBERED = 10.0  # seconds, of a user who may open nothing: a rule that is made for them counts soon
PER_SECOND = 20.0  # reviews for the list of one user
PATIENCE = 2.0  # seconds for which a page waits; what is not known by then comes later
MOST_USERS = 2000
AGAIN = 1.0  # seconds after an answer that did not come

Known = Callable[[str], Things]  # by resource


class Openable:
    """`known` is what there is; `now` is a clock in seconds."""

    def __init__(self, authorizer: Authorizer, known: Known, now: Callable[[], float]) -> None:
        self._authorizer = authorizer
        self._known = known
        self._now = now
        self._rate = Rate(PER_SECOND, PER_SECOND)
        self._users: OrderedDict[User, _Answers] = OrderedDict()

    async def of(self, user: User, asker: Key, resource: str, patience: float = PATIENCE) -> Plan:
        """What is known after `patience` seconds at most.

        Raises StatusError where the API server does not answer, and nothing that it said is remembered.
        """
        answers = self._answers(user)
        found = answers.plan(resource, self._known(resource), self._now())
        if not found.ask:
            return found
        await asyncio.wait((self._asking(user, asker, resource, answers),), timeout=patience)
        found = answers.plan(resource, self._known(resource), self._now())
        failed = answers.failed.get(resource)
        if failed is not None and found.ask and found.rights.none:
            raise failed[1]
        return found

    def statistics(self) -> int:
        """Users whose answers are remembered."""
        return len(self._users)

    def _answers(self, user: User) -> _Answers:
        found = self._users.setdefault(user, _Answers())
        self._users.move_to_end(user)
        while len(self._users) > MOST_USERS:
            self._users.popitem(last=False)[1].stop()
        return found

    def _asking(self, user: User, asker: Key, resource: str, answers: _Answers) -> asyncio.Task[None]:
        task = answers.tasks.get(resource)
        if task is None:
            task = asyncio.create_task(self._ask(user, asker, resource, answers), name="what may be opened")
            answers.tasks[resource] = task
            task.add_done_callback(lambda _: answers.tasks.pop(resource, None))
        return task

    async def _ask(self, user: User, asker: Key, resource: str, answers: _Answers) -> None:
        """Until everything is known, or an answer fails."""
        failed = answers.failed.get(resource)
        if failed is not None and self._now() < failed[0]:
            return
        try:
            while ask := answers.plan(resource, self._known(resource), self._now()).ask:
                async with asyncio.TaskGroup() as group:
                    for one in ask:
                        await self._turn(user)
                        group.create_task(self._one(user, asker, one, answers))
            answers.failed.pop(resource, None)
        except* StatusError as errors:
            error = errors.exceptions[0]
            assert isinstance(error, StatusError)
            answers.failed[resource] = (self._now() + AGAIN, error)

    async def _turn(self, user: User) -> None:
        while self._rate.exhausted(user, self._now()):  # noqa: ASYNC110 it is a matter of time
            await asyncio.sleep(self._rate.wait(user, self._now()))
        self._rate.spend(user, self._now())

    async def _one(self, user: User, asker: Key, ask: Ask, answers: _Answers) -> None:
        decision = await self._authorizer.authorize(user, ask.attributes, asker)
        answers.decided[ask] = (decision.allowed, self._now())


class _Answers:
    """Of one user.  By resource: `tasks` under way, and in `failed` until when not to ask again, and why."""

    def __init__(self) -> None:
        self.decided: dict[Ask, tuple[bool, float]] = {}  # and when
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.failed: dict[str, tuple[float, StatusError]] = {}

    def plan(self, resource: str, things: Things, now: float) -> Plan:
        good_for = REMEMBERED if any(yes for yes, _ in self.decided.values()) else NOTHING_REMEMBERED
        for ask in [ask for ask, (_, at) in self.decided.items() if at + good_for <= now]:
            del self.decided[ask]
        return plan(resource, things, {ask: allowed for ask, (allowed, _) in self.decided.items()})

    def stop(self) -> None:
        for task in self.tasks.values():
            task.cancel()
