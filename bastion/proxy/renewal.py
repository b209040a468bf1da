"""Renews sessions that began at an issuer, shortly before what it said of their users is out of date.

A request that comes with such a session waits for the refresh, one for all requests of the session: many
issuers take a refresh token once, and end all sessions of one that comes twice.  Its response carries the new
cookie.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress

from msgspec import structs

from bastion.authn.claims import InvalidToken
from bastion.authn.tokenendpoint import Away, Refused
from bastion.http.fields import Field
from bastion.identity.signedin import SignedIn
from bastion.kube.hostname import host_name
from bastion.kube.status import StatusError
from bastion.message.cookies import SESSION, own_pieces, set_pieces
from bastion.proxy.exchange import Exchange
from bastion.proxy.identityprovider import AnotherSubject, IdentityProvider
from bastion.proxy.standing import Standings
from bastion.signin.handoff import UsedIds
from bastion.signin.newest import Known
from bastion.signin.notes import Notes
from bastion.signin.revoked import SESSION as WHOLE
from bastion.signin.revoked import digest
from bastion.signin.session import Session, Sessions, SessionTooLarge

PART, LEAST = 0.1, 30.0  # of its life, and seconds, before the end
OF_SHORT = 0.25  # the most of a life that LEAST may take
PAUSE = 2.0  # seconds before an issuer that did not answer is asked again
PATIENCE, LOOK_EVERY = 5.0, 0.05  # seconds, for what another worker hears from the issuer
REFUSED = b"refused"  # a note, where the issuer ended the session

_log = logging.getLogger("bastion.signin")


class Renewals:
    """`providers` by their names; `used`: what a worker refreshes no other one does, and what comes of it the
    others hear by `notes`; `now` in seconds since the epoch.
    """

    def __init__(
        self,
        providers: Mapping[str, IdentityProvider],
        sessions: Sessions,
        standings: Standings,
        used: UsedIds,
        notes: Notes,
        now: Callable[[], float],
    ) -> None:
        self._providers = providers
        self._sessions = sessions
        self._newest = standings.newest
        self._revocations = standings.revocations
        self._used = used
        self._notes = notes
        self._own: set[bytes] = set()  # refreshes that are this process's to make
        self._now = now
        self._flights: dict[bytes, asyncio.Task[None]] = {}

    async def look(self, exchange: Exchange) -> None:
        """At the session in the request's cookies.  Raises nothing but CancelledError."""
        value = own_pieces(exchange.fields, SESSION)
        if not value:
            return
        host = host_name(exchange.host)
        shown = self._sessions.open(SESSION, host, value, self._now())
        signed_in = shown.signed_in if shown is not None else None
        if shown is None or signed_in is None or self._revocations.ended(signed_in):
            return
        if self._is_due(shown):
            flight = self._flights.get(signed_in.id)
            if flight is None:
                flight = asyncio.create_task(self._renew(shown, signed_in), name="sign-in refresh")
                self._flights[signed_in.id] = flight
            await asyncio.shield(flight)  # the refresh token is spent, whether or not this client stays
        known = self._newest.find(signed_in)
        if known is not None and known.session != shown and not known.retry_at:
            exchange.added = self._cookies(exchange, host, known.session)

    def _is_due(self, shown: Session) -> bool:
        known = self._known(shown)
        session, now = known.session, self._now()
        signed_in = session.signed_in
        if not session.refresh or signed_in is None or now < known.retry_at:
            return False
        life = signed_in.until - signed_in.issued
        return now >= signed_in.until - max(life * PART, min(LEAST, life * OF_SHORT))

    def _known(self, shown: Session) -> Known:
        newer = self._newest.find(shown.signed_in) if shown.signed_in is not None else None
        return newer if newer is not None else Known(shown)

    async def _renew(self, shown: Session, signed_in: SignedIn) -> None:
        """What came of it is in `newest`."""
        session = self._known(shown).session
        provider = self._providers.get(signed_in.provider)
        this = _refresh_id(session)
        if this not in self._own and not self._used.first(this, session.until, self._now()):
            try:
                await self._by_another_worker(this, session)
            finally:
                del self._flights[signed_in.id]
            return
        self._own.add(this)
        try:
            if provider is not None:
                self._tell(this, session, await provider.refresh(session))
        except (Refused, InvalidToken) as no:
            # Another replica may have used it just now: what was said before is believed to its end.
            self._own.discard(this)
            _log.info("the session of %s is not renewed: %s", signed_in.name, no)
            self._newest.put(_to_its_end(session))
            self._notes.leave(this, session.until, REFUSED)
        except AnotherSubject:
            _log.warning("the session of %s is ended: its refresh was somebody else's", signed_in.name)
            self._revocations.end([digest(WHOLE, signed_in.provider, signed_in.id)])
        except (Away, StatusError) as error:
            _log.warning("the session of %s waits for its issuer: %s", signed_in.name, error)
            self._newest.put(session, self._now() + PAUSE)
        else:
            self._own.discard(this)
        finally:
            del self._flights[signed_in.id]

    def _tell(self, this: bytes, session: Session, renewed: Session) -> None:
        """Here, and to the other workers."""
        self._newest.put(renewed)
        with suppress(SessionTooLarge):
            self._notes.leave(this, session.until, self._sessions.seal(SESSION, "", renewed, self._now())[0])

    async def _by_another_worker(self, this: bytes, session: Session) -> None:
        """What comes of it there; where that is not heard of in time the browser has its cookie soon."""
        end = self._now() + PATIENCE
        while self._now() < end:
            note = self._notes.find(this, session.until)
            if note == REFUSED:
                return self._newest.put(_to_its_end(session))
            found = self._sessions.open(SESSION, "", note, self._now()) if note else None
            if found is not None:
                return self._newest.put(found)
            await asyncio.sleep(LOOK_EVERY)
        return self._newest.put(session, self._now() + PAUSE)

    def _cookies(self, exchange: Exchange, host: str, session: Session) -> tuple[Field, ...]:
        try:
            value, seconds = self._sessions.seal(SESSION, host, session, self._now())
        except SessionTooLarge:  # the person is in more groups than before
            value, seconds = b"", 0
        value = value if seconds > 0 else b""
        return tuple(
            (b"set-cookie", b"Set-Cookie", line)
            for line in set_pieces(exchange.fields, SESSION, value, max(seconds, 0))
        )


def _to_its_end(session: Session) -> Session:
    """No longer refreshed."""
    until = session.signed_in.until if session.signed_in is not None else 0
    return structs.replace(session, refresh="", until=min(until, session.until))


def _refresh_id(session: Session) -> bytes:
    """Of one refresh; issuers may give the same refresh token again."""
    issued = session.signed_in.issued if session.signed_in is not None else 0
    return hashlib.sha256(f"{issued} {session.refresh}".encode()).digest()[:16]
