"""· How do sessions that began at an issuer stand now: refreshed, ended, or waiting for the issuer?"""

from __future__ import annotations

from collections.abc import Collection

from bastion.authn.session import Standing
from bastion.identity.signedin import SignedIn
from bastion.signin.newest import NewestSessions
from bastion.signin.revoked import SESSION as WHOLE
from bastion.signin.revoked import Revocations, digest
from bastion.signin.session import Session


class Standings:
    """What is known of sessions beside their cookies; `providers`: the names of the configured ones."""

    def __init__(self, providers: Collection[str], newest: NewestSessions, revocations: Revocations) -> None:
        self._providers = frozenset(providers)
        self.newest = newest
        self.revocations = revocations

    def end(self, session: Session) -> Session:
        """Its newest form; from now on it counts nowhere."""
        signed_in = session.signed_in
        if signed_in is None:
            return session
        known = self.newest.find(signed_in)
        self.revocations.end([digest(WHOLE, signed_in.provider, signed_in.id)])
        return known.session if known is not None else session

    def of(self, signed_in: SignedIn) -> Standing:
        """As `authn.session` asks for it."""
        if signed_in.provider not in self._providers or self.revocations.ended(signed_in):
            return Standing(None)
        known = self.newest.find(signed_in)
        newest = known.session.signed_in if known is not None else signed_in
        return Standing(newest, waits=known is not None and known.retry_at > 0)
