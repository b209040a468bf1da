"""Which user is the bastion at the API server, and has it the rights it needs?  Checked every minute.

A review of each kind, as for a user's request, shows that it may review; a SelfSubjectAccessReview for each
other right what it lacks before a user meets it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from bastion.cluster.errors import ApiError
from bastion.cluster.outages import ASKING, Outages
from bastion.cluster.rights import REVIEW_ACCESS, REVIEW_TOKENS, REVIEWS, Right
from bastion.kube.attributes import Attributes
from bastion.kube.review import (
    ACCESS_REVIEWS,
    OWN_ACCESS_REVIEWS,
    OWN_REVIEWS,
    TOKEN_REVIEWS,
    access_review,
    own_access_review,
    own_review,
    read_access_review,
    read_own_review,
    read_token_review,
    token_review,
)
from bastion.kube.user import anonymous
from bastion.runtime.turns import BACKGROUND, Asker

EVERY = 60.0  # seconds
SOON = 5.0  # seconds, while it is not known to be allowed to review
UNKNOWN = (404, 405)  # an API server without such a review: what it would say shows when the right is used

ANY_QUESTION = Attributes(
    "get", namespace="default", resource="services", subresource="proxy", name="bastion"
)
UNKNOWN_TOKEN = "of-no-user"  # noqa: S105

T = TypeVar("T")
Say = Callable[[], Awaitable[str | None]]


class Creates(Protocol):
    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        """Raises ApiError."""
        ...


class Standing:
    """`authorization` gives the header that the bastion sends, None where a certificate says who it is (it
    may raise OSError).

    `rights` are what it needs; `missing` those that it was last known to lack.
    """

    def __init__(self, api: Creates, authorization: Say, rights: Sequence[Right], outages: Outages) -> None:
        self._api = api
        self._authorization = authorization
        self._outages = outages
        self.rights = tuple(rights)
        self.missing: frozenset[Right] = frozenset()
        self.asked = asyncio.Event()  # once there was a whole answer
        self.tried = False  # whether or not there was an answer
        self._reviewed = False

    @property
    def identity(self) -> str:
        return self._outages.identity

    def why_not_ready(self) -> str | None:
        """A right that is lost later is for the log and the metrics: one slip in RBAC must not take out all
        replicas.

        Only a no is red.  Whether the API server is there at all the watches say; one that does not answer
        these questions may well answer those of users.
        """
        if self._reviewed or (self.tried and not self.asked.is_set()):
            return None
        if not self.tried:
            return "the API server has not yet been asked whether the bastion may review"
        return (
            "the bastion itself may not create"
            f" {', '.join(right.resource for right in REVIEWS if right in self.missing)}"
        )

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await self.ask()
            except ApiError as error:
                self._outages.failed(ASKING, error)
            await asyncio.sleep(EVERY if self._reviewed else SOON)

    async def ask(self) -> None:
        """Raises ApiError where the API server says neither yes nor no."""
        try:
            await self._ask()
        finally:
            self.tried = True

    async def _ask(self) -> None:
        missing = set()
        if not await self._may_review_tokens():
            missing.add(REVIEW_TOKENS)
        if await self._asked(ACCESS_REVIEWS, access_review(anonymous(), ANY_QUESTION)) is None:
            missing.add(REVIEW_ACCESS)
        if not self._outages.identity:
            self._outages.identity = await self._own_name()
        everywhere: dict[Right, bool] = {}
        for right in self.rights:
            if right not in REVIEWS and not await self._may(right, everywhere):
                missing.add(right)
        self.missing = frozenset(missing)
        self._reviewed = self._reviewed or not missing & set(REVIEWS)
        self.asked.set()
        self._outages.answered(ASKING)
        for right in self.rights:
            if right in missing:
                self._outages.failed(right, ApiError("the API server answered 403", 403))
            else:
                self._outages.granted(right)

    async def _may_review_tokens(self) -> bool:
        """Without a token of its own a SelfSubjectAccessReview that says yes is enough: any other token would
        be on record as a failure.
        """
        token = await self._own_token()
        if token is None and await self._allowed(REVIEW_TOKENS):
            return True
        answer = await self._asked(TOKEN_REVIEWS, token_review(token or UNKNOWN_TOKEN))
        if answer is None:
            return False
        status = _read(read_token_review, answer)
        self._outages.identity = (
            status.user.username if status is not None else ""
        ) or self._outages.identity
        return True

    async def _own_token(self) -> str | None:
        try:
            authorization = await self._authorization()
        except OSError as error:
            raise ApiError(
                f"the bastion's own credentials cannot be read: {error.strerror or type(error).__name__}",
                401,
                answered=False,
            ) from error
        scheme, _, token = (authorization or "").partition(" ")
        return token if scheme.lower() == "bearer" and token else None

    async def _own_name(self) -> str:
        """Empty where that cannot be found out: it is for the log alone."""
        try:
            return _read(read_own_review, await self._asked(OWN_REVIEWS, own_review())) or ""
        except ApiError:
            return ""

    async def _may(self, right: Right, everywhere: dict[Right, bool]) -> bool:
        """A right in all namespaces is one in each of them, and one question for all of them."""
        wide = replace(right, namespace="")
        if wide not in everywhere:
            everywhere[wide] = await self._allowed(wide)
        return everywhere[wide] or (right != wide and await self._allowed(right))

    async def _allowed(self, right: Right) -> bool:
        body = own_access_review(right.verb, right.resource, right.group, right.namespace)
        status = _read(read_access_review, await self._asked(OWN_ACCESS_REVIEWS, body))
        return status is None or status.allowed

    async def _asked(self, path: str, body: bytes) -> bytes | None:
        """None where it is forbidden to ask, empty where there is no such review."""
        try:
            return await self._api.create(path, body, BACKGROUND)
        except ApiError as error:
            if error.status == 403:
                return None
            if error.status in UNKNOWN:
                return b""
            raise


def _read(decode: Callable[[bytes], T], answer: bytes | None) -> T | None:
    """None where it is not of this kind, and so means nothing."""
    try:
        return decode(answer) if answer else None
    except ValueError:
        return None
