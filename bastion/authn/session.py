"""Identifies the users of sessions that began at an OpenID Connect issuer."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from bastion.authn.authenticator import NOBODY, Credentials, CredentialsRefused
from bastion.authn.rejection import undecided
from bastion.identity.signedin import SignedIn
from bastion.kube.user import User
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult, Validity


class Standing(msgspec.Struct, frozen=True):
    """What is known now of a session: its newest claims, None where it was ended, and whether it would go on
    but for its issuer, which does not answer.
    """

    newest: SignedIn | None
    waits: bool = False


class SessionAuthenticator:
    """`standing` of a session; `clock` is seconds since the epoch."""

    def __init__(self, standing: Callable[[SignedIn], Standing], clock: Callable[[], float]) -> None:
        self._standing = standing
        self._clock = clock

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        if credentials.signed_in is None:
            return None
        standing = self._standing(credentials.signed_in)
        newest = standing.newest
        if newest is None:
            raise CredentialsRefused("the session was ended")
        if self._clock() < newest.until:
            return newest.user
        if standing.waits:
            raise undecided("whether the session goes on")
        raise CredentialsRefused("the session is over")

    def known(self, credentials: Credentials) -> CachedResult[User | None] | None:
        if credentials.signed_in is None:
            return NOBODY
        newest = self._standing(credentials.signed_in).newest
        if newest is None or self._clock() >= newest.until:
            return None
        return CachedResult(newest.user, Validity(expires=newest.until))
