"""Asks the API server whether a user may (SubjectAccessReview, spec Z-10..Z-13)."""

from __future__ import annotations

from typing import Protocol

from bastion.authz.authorizer import Decision
from bastion.kube.attributes import Attributes
from bastion.kube.review import ACCESS_REVIEWS, access_review, read_access_review
from bastion.kube.status import StatusError, service_unavailable
from bastion.kube.user import User
from bastion.turns import Asker


class Reviews(Protocol):
    """What is needed of the API server."""

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class AccessReviewAuthorizer:
    def __init__(self, api: Reviews) -> None:
        self._api = api

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        try:
            status = read_access_review(await self._api.create(ACCESS_REVIEWS, access_review(user, attributes), asker))
        except (OSError, ValueError) as error:
            raise unreachable() from error
        # Denied wins over allowed (Z-11); an evaluation error beside an allow is an allow (F-45).
        return Decision(status.allowed and not status.denied, status.reason)


def unreachable() -> StatusError:
    return service_unavailable("cannot authorize the request: the Kubernetes API server did not answer; try again shortly", retry_after=2)
