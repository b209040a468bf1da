"""Caches which user a token identifies, and which tokens identify none."""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from bastion.authn.authenticator import NOBODY, Authenticator, Credentials, CredentialsRefused
from bastion.cluster.outage import AUTHENTICATING, unanswered
from bastion.identity.compact import expiry
from bastion.kube.user import User
from bastion.runtime.cache import Cache, CacheStatistics
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult, Validity


@dataclass(frozen=True, slots=True)
class _CachedUser:
    user: User | None
    lifetime: float  # seconds
    end: float | None = None  # of the token (seconds since the epoch), None where it has none
    cause: str = ""  # why it identifies no user, where that is known


class CachedAuthenticator:
    """`ttl` in seconds, for tokens accepted and refused; errors are never cached, and no user past the
    token's expiry.

    kube-apiserver caches a token's user for 10 s itself: a revoked token is good for the sum of the two.  A
    shorter `ttl` for ServiceAccounts, whose tokens are reviewed most, would multiply the reviews and leave
    those 10 s.

    `clock` is seconds since the epoch.  The key is a MAC of the token under a key of this process, so that a
    memory dump holds no token.
    """

    def __init__(
        self,
        inner: Authenticator,
        ttl: float,
        clock: Callable[[], float] = time.time,
        accepted: Callable[[str], None] = lambda token: None,
    ) -> None:
        """`accepted` is called with each token that was found to be a user's."""
        self._inner = inner
        self._accepted = accepted
        self.ttl = ttl
        self._clock = clock
        self._key = secrets.token_bytes(32)
        self._cache: Cache[_CachedUser] = Cache(lambda known: known.lifetime)

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        token = credentials.token
        if token is None:
            return await self._inner.authenticate(credentials, asker)
        key = self._digest(token)
        known = self._remembered(key)
        if known is None:
            try:
                known = await self._cache.find(key, partial(self._look_up, credentials), asker)
            except TimeoutError as error:
                raise unanswered(AUTHENTICATING, error) from error
        if known.cause:
            raise CredentialsRefused(known.cause)
        return known.user

    def statistics(self) -> CacheStatistics:
        return self._cache.statistics()

    def known(self, credentials: Credentials) -> CachedResult[User | None] | None:
        """What is cached, and until when; None where a server has to be asked."""
        if credentials.token is None:
            return NOBODY
        entry = self._cache.entry(self._digest(credentials.token))
        if entry is None:
            return None
        known, until = entry
        validity = Validity(until, math.inf if known.end is None else known.end)
        return CachedResult(known.user, validity) if self._clock() < validity.expires else None

    def _remembered(self, key: bytes) -> _CachedUser | None:
        """Never past the token's expiry, even where the clock was set meanwhile."""
        known = self._cache.get(key)
        if known is not None and known.end is not None and known.end <= self._clock():
            self._cache.forget(key)
            return None
        return known

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode(), key=self._key, digest_size=32).digest()

    async def _look_up(self, credentials: Credentials, asker: Asker) -> _CachedUser:
        try:
            user = await self._inner.authenticate(credentials, asker)
        except CredentialsRefused as refused:
            return _CachedUser(None, self.ttl, cause=refused.cause)
        # The expiry in a token is unverified, which is harmless: it can only cause more reviews.
        token = credentials.token or ""
        if user is not None:
            self._accepted(token)
        end = expiry(token) if user is not None else None
        return _CachedUser(user, self.ttl if end is None else min(self.ttl, end - self._clock()), end)
