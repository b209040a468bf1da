"""What an authorizer is."""

from __future__ import annotations

from typing import Protocol

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.runtime.turns import Asker
from bastion.runtime.validity import Known

Question = tuple[User, Attributes]  # may they?


class Decision(msgspec.Struct, frozen=True, gc=False):
    """`reason` is for people: it follows the 403's own words."""

    allowed: bool
    reason: str = ""


class Authorizer(Protocol):
    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        """Raises StatusError where it could not be found out: that is no decision, and never an allow.

        `asker` is in whose line a question to the API server waits: whoever makes the request, whomever they
        act as.
        """
        ...


class RememberingAuthorizer(Authorizer, Protocol):
    def known(self, user: User, attributes: Attributes) -> Known[Decision] | None:
        """What is remembered, and until when; None where it has to be asked."""
        ...
