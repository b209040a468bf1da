"""The interface of authorizers."""

from __future__ import annotations

from typing import Protocol

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.runtime.turns import Asker

Question = tuple[User, Attributes]  # is this user allowed to do this?


class Decision(msgspec.Struct, frozen=True, gc=False):
    """`reason` follows the message of a 403."""

    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        """Raises StatusError where there is no decision, which is never an allow.

        A question to the API server waits in the queue of `asker`: the user who makes the request, also when
        they act as another.
        """
        ...
