"""Asks the API server for authorization decisions (SubjectAccessReview).

Source: apiserver `plugin/pkg/authorizer/webhook`.
"""

from __future__ import annotations

from bastion.authz.authorizer import Decision
from bastion.cluster.outage import AUTHORIZING, unanswered
from bastion.cluster.reviews import ReviewClient
from bastion.kube.attributes import Attributes
from bastion.kube.review import ACCESS_REVIEWS, access_review, read_access_review
from bastion.kube.user import User
from bastion.runtime.turns import Asker


class AccessReviewAuthorizer:
    def __init__(self, api: ReviewClient) -> None:
        self._api = api

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        try:
            status = read_access_review(
                await self._api.create(ACCESS_REVIEWS, access_review(user, attributes), asker)
            )
        except (OSError, ValueError) as error:
            raise unanswered(AUTHORIZING, error) from error
        # As in kube-apiserver denied wins over allowed, and an evaluation error beside an allow is an allow.
        return Decision(status.allowed and not status.denied, status.reason)
