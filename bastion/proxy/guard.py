"""Who may ask, how often, and how much at once?

Limits per client address and per user; nobody pays for another's failures.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.kube.errors import overloaded, unauthorized
from bastion.kube.status import StatusError
from bastion.kube.user import ANONYMOUS, User
from bastion.network.addresses import client_of
from bastion.proxy.exchange import Request
from bastion.runtime.limits import Concurrency, Rate, RetryAllowance
from bastion.runtime.turns import ADDRESS, USER, Key
from bastion.settings.sections import Limits

SECOND_TRIES = 5.0  # a second, of one address that is over its limit
REFUSALS = 50.0  # a second, told one address at once; those beyond after
EXCHANGES, TUNNELS = "max-exchanges-per-user", "max-tunnels-per-user"  # flags
HELD_BACK = 1.0  # second, which is what Retry-After says


class Place:
    """One of a user's places, held while the exchange lasts."""

    __slots__ = ("_asker", "_flag", "_places")

    def __init__(self, places: Concurrency, flag: str, asker: Key) -> None:
        self._places = places
        self._flag = flag
        self._asker = asker

    def __enter__(self) -> None:
        if not self._places.enter(self._asker):
            raise no_place(self._places.most, self._flag)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._places.leave(self._asker)


class Failures(Rate):
    """Of client addresses.

    One that is over its limit is refused what is not known, but for what comes a second time.

    Whoever has a good token comes again with it (client-go does so after the Retry-After of a 429); whoever
    guesses has another guess, and to make each of them twice brings a few more a second.
    """

    def __init__(self, limits: Limits) -> None:
        super().__init__(limits.authentication_failure_qps, limits.authentication_failure_burst)
        self._again = RetryAllowance()
        self._tries = Rate(SECOND_TRIES, SECOND_TRIES)

    def second_try(self, client: str, token: str, now: float) -> bool:
        """Whether this one may be looked at all the same."""
        this = (client, hash(token))
        if not self._again.due(this) or self._tries.exhausted(client, now):
            return False
        self._tries.spend(client, now)
        self._again.use(this)
        return True

    def good(self, client: str, token: str) -> None:
        """It was somebody's."""
        self._again.forget((client, hash(token)))


class GuardStatistics(NamedTuple):
    """Of the user who has the most: requests and streams under way."""

    most_exchanges: int
    most_tunnels: int


class Guard:
    """`remembers` tells at once whether credentials are known to belong to somebody: those are never limited.

    `foreign` tells whether a page of another site made a browser send a request: its failures are not those
    of the browser's owner, and have a budget of their own, as any program can say so.

    `rejected`: the 401 for credentials that identify no user, and for the log the cause.

    `exchanges`: the places of each user.
    """

    def __init__(
        self,
        authenticator: Authenticator,
        remembers: Callable[[Credentials], bool],
        limits: Limits,
        foreign: Callable[[Request], bool],
        rejected: Callable[[Credentials, str], StatusError] = lambda credentials, cause: unauthorized(
            cause=cause
        ),
    ) -> None:
        self._authenticator = authenticator
        self.rejected = rejected
        self._remembers = remembers
        self._is_foreign = foreign
        self._own = Failures(limits)
        self._foreign = Failures(limits)
        self.exchanges = Concurrency(limits.exchanges_per_user)
        self._tunnels = Concurrency(limits.tunnels_per_user)
        self._refusals = Rate(REFUSALS, REFUSALS)
        self._now = asyncio.get_running_loop().time

    def limit(self, limits: Limits) -> None:
        """From now on."""
        for failures in (self._own, self._foreign):
            failures.per_second = limits.authentication_failure_qps
            failures.burst = limits.authentication_failure_burst
        self.exchanges.most = limits.exchanges_per_user
        self._tunnels.most = limits.tunnels_per_user

    async def identify(
        self, credentials: Credentials, client: str, request: Request | None = None
    ) -> User | None:
        """Raises CredentialsRefused, and StatusError 429 where too many from this address failed lately.

        `request` None: of one of the bastion's own pages.
        """
        client = client_of(client)
        if credentials.token is None:  # nothing that could be guessed
            return await self._authenticator.authenticate(credentials, (ADDRESS, client))
        now = self._now()
        noisy = self._own.exhausted(client, now) or self._foreign.exhausted(client, now)
        if noisy and not self._remembers(credentials):
            failures = self._failures(request)
            if failures.exhausted(client, now) and not failures.second_try(client, credentials.token, now):
                raise too_many_failures()
        try:
            user = await self._authenticator.authenticate(credentials, (ADDRESS, client))
        except CredentialsRefused:
            self._failures(request).spend(client, self._now())
            raise
        if user is None:
            self._failures(request).spend(client, self._now())
        elif noisy:
            self._own.good(client, credentials.token)
            self._foreign.good(client, credentials.token)
        return user

    def _failures(self, request: Request | None) -> Failures:
        return self._foreign if request is not None and self._is_foreign(request) else self._own

    def statistics(self) -> GuardStatistics:
        return GuardStatistics(self.exchanges.largest, self._tunnels.largest)

    async def hold_back(self, client: str) -> None:
        """Before a 429 is told: hundreds of connections that ask again at once cost everybody more than what
        was refused.
        """
        client = client_of(client)
        if self._refusals.exhausted(client, self._now()):
            await asyncio.sleep(HELD_BACK)
        else:
            self._refusals.spend(client, self._now())

    def check_place(self, asker: Key, *, tunnel: bool) -> None:
        """Raises StatusError 429 where no place is left."""
        places, flag = self._places(tunnel=tunnel)
        if places.is_full(asker):
            raise no_place(places.most, flag)

    def place(self, asker: Key, *, tunnel: bool) -> Place:
        """`with guard.place(asker, …):` raises StatusError 429 where no place is left."""
        return Place(*self._places(tunnel=tunnel), asker)

    def _places(self, *, tunnel: bool) -> tuple[Concurrency, str]:
        """With the flag that sets how many there are."""
        return (self._tunnels, TUNNELS) if tunnel else (self.exchanges, EXCHANGES)


def too_many_failures() -> StatusError:
    return overloaded(
        "too many failed authentications from this address (--max-authentication-failure-qps);"
        " try again shortly"
    )


def no_place(most: int, flag: str) -> StatusError:
    what = "streams" if flag == TUNNELS else "exchanges"
    return overloaded(f"{most} {what} of this user are under way (--{flag}); try again shortly")


def asker_of(user: User, client: str) -> Key:
    """Whose share of what all share a request takes.

    Nobody in particular is many: each address has its own.
    """
    return (USER, user.name) if user.name != ANONYMOUS else (ADDRESS, client_of(client))
