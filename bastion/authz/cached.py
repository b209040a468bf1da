"""Caches decisions."""

from __future__ import annotations

from functools import partial

from msgspec import structs

from bastion.authz.authorizer import Authorizer, Decision
from bastion.cluster.outage import AUTHORIZING, unanswered
from bastion.kube.attributes import Attributes
from bastion.kube.user import User
from bastion.runtime.cache import Cache, CacheStatistics
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult, Validity
from bastion.settings.sections import Lifetimes

# characters of a question that is cached, as in kube-apiserver: longer ones would be sent to fill the cache
LONGEST = 10000


class CachedAuthorizer:
    """`lifetimes` may be replaced: decisions from then on have the new ones.

    The key is the whole question: no two questions share a decision.
    """

    def __init__(self, inner: Authorizer, lifetimes: Lifetimes) -> None:
        self._inner = inner
        self.lifetimes = lifetimes
        self._cache: Cache[Decision] = Cache(self._lifetime)

    def _lifetime(self, decision: Decision) -> float:
        return self.lifetimes.authorized_ttl if decision.allowed else self.lifetimes.unauthorized_ttl

    async def authorize(self, user: User, attributes: Attributes, asker: Asker) -> Decision:
        key = (user, attributes)
        decision = self._cache.get(key)
        if decision is not None:
            return decision
        if sum(map(len, structs.astuple(attributes))) >= LONGEST:
            return await self._inner.authorize(user, attributes, asker)
        try:
            return await self._cache.find(key, partial(self._inner.authorize, user, attributes), asker)
        except TimeoutError as error:
            raise unanswered(AUTHORIZING, error) from error

    def known(self, user: User, attributes: Attributes) -> CachedResult[Decision] | None:
        """The cached decision, and until when; None where there is none."""
        entry = self._cache.entry((user, attributes))
        return CachedResult(entry[0], Validity(until=entry[1])) if entry is not None else None

    def statistics(self) -> CacheStatistics:
        return self._cache.statistics()
