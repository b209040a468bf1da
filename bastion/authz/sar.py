"""Asks the API server whether a user may (SubjectAccessReview, spec Z-10..Z-13)."""

from __future__ import annotations

from typing import Protocol

from bastion.authz.authorizer import Decision
from bastion.cluster.outage import unanswered
from bastion.kube.attributes import Attributes
from bastion.kube.review import ACCESS_REVIEWS, access_review, read_access_review
from bastion.kube.user import User
from bastion.runtime.turns import Asker

DOING = "authorize the request"


class Reviews(Protocol):
    """What is needed of the API server."""

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class AccessReviewAuthorizer:
    def __init__(self, api: Reviews) -> None:
        self._api = api

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        try:
            status = read_access_review(
                await self._api.create(ACCESS_REVIEWS, access_review(user, attributes), asker)
            )
        except (OSError, ValueError) as error:
            raise unanswered(DOING, error) from error
        # Denied wins over allowed (Z-11); an evaluation error beside an allow is an allow (F-45).
        return Decision(status.allowed and not status.denied, status.reason)
