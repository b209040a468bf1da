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
from bastion.kube.errorwords import IMPERSONATION_NOT_ALLOWED
from bastion.kube.missingrule import MissingRule
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.turns import Key

REMEMBERED = 10000  # users whose last mode is known


class Impersonation(msgspec.Struct, frozen=True, gc=False):
    """The user acted as, and the questions that were allowed for that."""

    user: User
    questions: tuple[Question, ...]


class Refusal(msgspec.Struct, frozen=True, gc=False):
    """What was not allowed; `never`: no rule would allow it."""

    attributes: Attributes
    reason: str
    never: bool = False


def _refused(user: str, refusals: Sequence[Refusal]) -> StatusError:
    """In the words of the mode tried first; the rule is that of the last, which needs fewest."""
    if not refusals:
        return internal_error()  # the legacy mode applies to every user, so there is one
    first, last = refusals[0], refusals[-1]
    rule = None if last.never else MissingRule(user, last.attributes, cluster_wide=True)
    return forbidden(user, first.attributes, first.reason, word=IMPERSONATION_NOT_ALLOWED, rule=rule)


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
        refusals: list[Refusal] = []
        for name in self._order(user):
            tried = mode(name, user, wanted, required)
            if tried is None:
                continue
            asked = await self._ask(tried, asker)
            if not isinstance(asked, Refusal):
                self._remember(user, name)
                return Impersonation(tried.acting_as, asked)
            refusals.append(asked)
        raise _refused(user.name, refusals)

    async def _ask(self, tried: ImpersonationMode, asker: Key) -> tuple[Question, ...] | Refusal:
        """What was allowed, or why the mode is refused."""
        allowed: list[Question] = []
        for step in tried.steps:
            if step.never:
                return Refusal(step.each[0], step.never, never=True)
            if (
                step.at_once is not None
                and (await self._authorizer.authorize(tried.asker, step.at_once, asker)).allowed
            ):
                allowed.append((tried.asker, step.at_once))
                continue
            for attributes in step.each:
                decision = await self._authorizer.authorize(tried.asker, attributes, asker)
                if not decision.allowed:
                    return Refusal(attributes, decision.reason)
                allowed.append((tried.asker, attributes))
        return tuple(allowed)

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
