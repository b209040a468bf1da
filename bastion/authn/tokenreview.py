"""Asks the API server which user a bearer token identifies (TokenReview).

Source: apiserver `plugin/pkg/authenticator/token/webhook`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from bastion.authn.authenticator import Credentials, CredentialsRefused
from bastion.cluster.outage import AUTHENTICATING, unanswered
from bastion.cluster.reviews import ReviewClient
from bastion.identity.compact import date, expiry
from bastion.kube.review import TOKEN_REVIEWS, read_token_review, token_review, user_of
from bastion.kube.user import User, authenticated
from bastion.runtime.turns import Asker

MAX_ERROR = 256  # characters of the error of a review


class TokenReviewAuthenticator:
    """A negative review raises CredentialsRefused; no review at all is 503 with Retry-After, never 401, never
    a user.

    `clock` is seconds since the epoch.
    """

    def __init__(
        self, api: ReviewClient, audiences: tuple[str, ...] = (), clock: Callable[[], float] = time.time
    ) -> None:
        self._api = api
        self._audiences = audiences
        self._clock = clock

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        if credentials.token is None:
            return None
        try:
            status = read_token_review(
                await self._api.create(TOKEN_REVIEWS, token_review(credentials.token, self._audiences), asker)
            )
        except (OSError, ValueError) as error:
            raise unanswered(AUTHENTICATING, error) from error
        if not status.authenticated:
            said = (
                status.error.replace(credentials.token, "[redacted]")[:MAX_ERROR] if credentials.token else ""
            )
            raise CredentialsRefused(
                self._expired(credentials.token) or f"TokenReview: {said or 'not authenticated'}"
            )
        if not status.user.username:
            raise CredentialsRefused("TokenReview: authenticated, but without a user name")
        if not self._audience_fits(status.audiences):
            raise CredentialsRefused("TokenReview: authenticated, but for none of --api-audiences")
        return authenticated(user_of(status.user))

    def _expired(self, token: str) -> str:
        """The expiry in a token is unverified: good enough for the log."""
        end = expiry(token)
        return f"expired at {date(end)}" if end is not None and end <= self._clock() else ""

    def _audience_fits(self, granted: list[str] | None) -> bool:
        """A review without audiences comes from a server that does not know them: it checked its own only."""
        if not self._audiences:
            return True
        return granted is not None and not set(granted).isdisjoint(self._audiences)
