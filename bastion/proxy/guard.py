"""Who may ask, how often, and how much at once?  Limits per client address and per user; nobody pays for another's failures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType

from bastion.authn.authenticator import Authenticator, Credentials
from bastion.config import Limits
from bastion.kube.status import too_many_requests
from bastion.kube.user import User
from bastion.limits import Concurrency, Rate


class Place:
    """One of a user's places, held while the exchange lasts."""

    __slots__ = ("_places", "_user")

    def __init__(self, places: Concurrency, user: str) -> None:
        self._places = places
        self._user = user

    def __enter__(self) -> None:
        if not self._places.enter(self._user):
            raise too_many_requests("too many requests or streams of this user are under way; try again shortly")

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._places.leave(self._user)


class Guard:
    """`remembers` tells at once whether credentials are known to belong to somebody: those are never limited."""

    def __init__(self, authenticator: Authenticator, remembers: Callable[[Credentials], bool], limits: Limits) -> None:
        self._authenticator = authenticator
        self._remembers = remembers
        self._failures = Rate(limits.authentication_failure_qps, limits.authentication_failure_burst)
        self._exchanges = Concurrency(limits.exchanges_per_user)
        self._tunnels = Concurrency(limits.tunnels_per_user)
        self._now = asyncio.get_running_loop().time

    async def identify(self, credentials: Credentials, client: str) -> User | None:
        """Raises StatusError 429 where too many from this address failed lately."""
        if self._failures.exhausted(client, self._now()) and not self._remembers(credentials):
            raise too_many_requests("too many failed authentications from this address; try again shortly")
        user = await self._authenticator.authenticate(credentials)
        if user is None and credentials.token is not None:
            self._failures.spend(client, self._now())
        return user

    def place(self, user: User, *, tunnel: bool) -> Place:
        """`with guard.place(user, …):` raises StatusError 429 where the user has no place left."""
        return Place(self._tunnels if tunnel else self._exchanges, user.name)
