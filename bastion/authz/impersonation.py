"""Impersonation: the user as whom a request acts.

The `Impersonate-*` headers, permitted by the questions that `modes` lists.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import msgspec

from bastion.authz.authorizer import Authorizer, Question
from bastion.authz.modes import MODES, ImpersonationMode, mode
from bastion.authz.requested import requested_identity
from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden, internal_error
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.turns import Key

REMEMBERED = 10000  # users whose last mode is known


class Impersonation(msgspec.Struct, frozen=True, gc=False):
    """The user acted as, and the questions that were allowed for that."""

    user: User
    questions: tuple[Question, ...]


class ImpersonationAuthorizer:
    def __init__(self, authorizer: Authorizer, modes: Sequence[str] = MODES) -> None:
        """`modes` in the order in which they are tried."""
        self._authorizer = authorizer
        self._modes = modes
        # the mode that last admitted a user of this name, the latest at the end
        self._last: dict[str, str] = {}

    async def impersonate(
        self, user: User, fields: list[Field], required: Sequence[Attributes], asker: Key
    ) -> Impersonation | None:
        """None where the request does not ask for impersonation.

        `required`: what the request itself needs.  Raises StatusError 400 or 403.
        """
        wanted = requested_identity(fields)
        if wanted is None:
            return None
        first: StatusError | None = None
        for name in self._order(user):
            tried = mode(name, user, wanted, required)
            if tried is None:
                continue
            questions, refusal = await self._ask(user, tried, asker)
            if refusal is None:
                self._remember(user, name)
                return Impersonation(tried.acting_as, questions)
            first = first or refusal
        raise first or internal_error()  # the legacy mode applies to every user, so there is a refusal

    async def _ask(
        self, user: User, tried: ImpersonationMode, asker: Key
    ) -> tuple[tuple[Question, ...], StatusError | None]:
        """(what was allowed, why the mode is refused: None where it is not)."""
        allowed: list[Question] = []
        for step in tried.steps:
            if step.never:
                return (), forbidden(user.name, step.each[0], step.never)
            if (
                step.at_once is not None
                and (await self._authorizer.authorize(tried.asker, step.at_once, asker)).allowed
            ):
                allowed.append((tried.asker, step.at_once))
                continue
            for attributes in step.each:
                decision = await self._authorizer.authorize(tried.asker, attributes, asker)
                if not decision.allowed:
                    return (), forbidden(user.name, attributes, decision.reason)
                allowed.append((tried.asker, attributes))
        return tuple(allowed), None

    def _order(self, user: User) -> Iterator[str]:
        last = self._last.get(user.name)
        if last is not None:
            yield last
        yield from (name for name in self._modes if name != last)

    def _remember(self, user: User, name: str) -> None:
        self._last.pop(user.name, None)
        self._last[user.name] = name
        if len(self._last) > REMEMBERED:
            del self._last[next(iter(self._last))]
