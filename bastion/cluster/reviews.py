"""Creates reviews, and records for the operator why that fails."""

from __future__ import annotations

from typing import Protocol

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import Outages
from bastion.cluster.rights import REVIEW_ACCESS, REVIEW_TOKENS
from bastion.kube.review import ACCESS_REVIEWS, TOKEN_REVIEWS
from bastion.runtime.turns import Asker

RIGHTS = {TOKEN_REVIEWS: REVIEW_TOKENS, ACCESS_REVIEWS: REVIEW_ACCESS}


class ReviewClient(Protocol):
    """The part of the API client that creates reviews."""

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        """Raises ApiError (an OSError or ValueError will do as well)."""
        ...


class Reviews:
    """`api`, and its failures in `outages`."""

    def __init__(self, api: ReviewClient, outages: Outages) -> None:
        self._api = api
        self._outages = outages

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        """Raises ApiError, or StatusError 429 where too much of this asker waits already."""
        try:
            answer = await self._api.create(path, body, asker)
        except ApiError as error:
            self._outages.failed(RIGHTS[path], error)
            raise
        self._outages.answered(RIGHTS[path])
        return answer
