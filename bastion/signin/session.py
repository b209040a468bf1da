"""· Sessions: a bearer token, or what an issuer said of a person, sealed into cookies of one host.

Nothing is stored, so that every worker and replica with the same key can open every session.  Hence a session
cannot be taken back where it was not heard of its end (`signin.revoked`): a token can be revoked, and what an
issuer said is believed until the next refresh.  Pure: the time is an argument.
"""

from __future__ import annotations

import hashlib
import zlib

import msgspec

from bastion.identity.compact import expiry
from bastion.identity.signedin import SignedIn
from bastion.message.cookies import APPLICATION, MAX_PIECE, MOST_PIECES, RETURN, SESSION
from bastion.signin.sealed import Sealer

SESSION_SECONDS = 8 * 3600
APPLICATION_SECONDS = 3600
SIGN_IN_SECONDS = 15 * 60  # to find the token and paste it
MAX_SEALED = MAX_PIECE * MOST_PIECES  # bytes
MAX_UNPACKED = 1 << 20  # bytes

_SECONDS = {SESSION: SESSION_SECONDS, APPLICATION: APPLICATION_SECONDS}


class SessionTooLarge(Exception):
    """Browsers, or proxies in front, would not keep cookies of that size."""


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`until` in seconds since the epoch.  `token` is empty where the person `signed_in` at an issuer: then
    `refresh` is the refresh token, empty where there is none, and `hint` the ID token where the issuer wants
    to see it again at the end.
    """

    token: str
    until: int
    signed_in: SignedIn | None = None
    refresh: str = ""
    hint: str = ""

    def __repr__(self) -> str:
        return "Session(…)"  # the token must not appear in a log

    def for_application(self) -> Session:
        """Without what a host of an application has no use for."""
        if self.signed_in is None:
            return self
        return Session("", min(self.until, self.signed_in.until), self.signed_in)

    def visitor(self) -> bytes:
        """A digest; the same through all refreshes."""
        known = self.signed_in.id if self.signed_in is not None else msgspec.msgpack.encode(self)
        return hashlib.sha256(known).digest()


_session = msgspec.msgpack.Decoder(Session).decode


def pack(session: Session) -> bytes:
    """Hundreds of groups are much alike."""
    return zlib.compress(msgspec.msgpack.encode(session), 9)


def unpack(data: bytes) -> Session | None:
    """None where another version packed it."""
    try:
        return _session(zlib.decompressobj().decompress(data, MAX_UNPACKED))
    except (zlib.error, msgspec.DecodeError):
        return None


class Sessions:
    """`kind` is the name of the cookie: a value sealed for one does not open as another."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def begin(self, token: str, now: float) -> Session:
        """Expires no later than the token's own `exp`."""
        end = expiry(token)
        until = now + SESSION_SECONDS
        return Session(token, int(until if end is None else max(0.0, min(until, end))))

    def seal(self, kind: bytes, host: str, session: Session, now: float) -> tuple[bytes, int]:
        """The cookie's value, and the seconds until it expires (below 1: it has).  Raises SessionTooLarge."""
        until = min(session.until, int(now) + _SECONDS[kind])
        value = self._sealer.seal(kind.decode(), host, pack(session), until)
        if len(value) > MAX_SEALED:
            raise SessionTooLarge
        return value, until - int(now)

    def open(self, kind: bytes, host: str, value: bytes, now: float) -> Session | None:
        data = self._sealer.open(kind.decode(), host, value, now) if len(value) <= MAX_SEALED else None
        return None if data is None else unpack(data)

    def seal_path(self, host: str, path: bytes, now: float) -> bytes | None:
        """Where to go after signing in; None where `path` is not local, or too long for a cookie."""
        if not is_local(path):
            return None
        value = self._sealer.seal(RETURN.decode(), host, path, int(now) + SIGN_IN_SECONDS)
        return value if len(value) <= MAX_PIECE else None

    def open_path(self, host: str, value: bytes, now: float) -> bytes | None:
        path = self._sealer.open(RETURN.decode(), host, value, now)
        return path if path is not None and is_local(path) else None


def is_local(path: bytes) -> bool:
    """Whether every browser takes this as a path on the same host (CVE-2021-21291 and its kin: `//host` and
    `/\\host` are other hosts).
    """
    return (
        path[:1] == b"/" and path[1:2] not in (b"/", b"\\") and path.isascii() and path.decode().isprintable()
    )
