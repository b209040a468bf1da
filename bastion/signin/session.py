"""· Sessions: a bearer token sealed into a cookie of one host.

Nothing is stored, so that every worker and replica with the same key can open every session.  Hence a session
cannot be revoked, only its token can.  Pure: the time is an argument.
"""

from __future__ import annotations

import msgspec

from bastion.identity.compact import expiry
from bastion.message.cookies import APPLICATION, RETURN, SESSION
from bastion.signin.sealed import Sealer

SESSION_SECONDS = 8 * 3600
APPLICATION_SECONDS = 3600
SIGN_IN_SECONDS = 15 * 60  # to find the token and paste it
MAX_SEALED = 3584  # bytes; browsers drop cookies of more than 4096, name and attributes included

_SECONDS = {SESSION: SESSION_SECONDS, APPLICATION: APPLICATION_SECONDS}


class TokenTooLong(Exception):
    """Browsers would not keep a cookie of that size."""


class Session(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """`until` in seconds since the epoch."""

    token: str
    until: int

    def __repr__(self) -> str:
        return "Session(…)"  # the token must not appear in a log


_session = msgspec.msgpack.Decoder(Session).decode


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
        """The cookie's value, and the seconds until it expires (below 1: it has).  Raises TokenTooLong."""
        until = min(session.until, int(now) + _SECONDS[kind])
        value = self._sealer.seal(kind.decode(), host, msgspec.msgpack.encode(session), until)
        if len(value) > MAX_SEALED:
            raise TokenTooLong
        return value, until - int(now)

    def open(self, kind: bytes, host: str, value: bytes, now: float) -> Session | None:
        data = self._sealer.open(kind.decode(), host, value, now) if len(value) <= MAX_SEALED else None
        return None if data is None else _session(data)

    def seal_path(self, host: str, path: bytes, now: float) -> bytes | None:
        """Where to go after signing in; None where `path` is not local, or too long for a cookie."""
        if not is_local(path):
            return None
        value = self._sealer.seal(RETURN.decode(), host, path, int(now) + SIGN_IN_SECONDS)
        return value if len(value) <= MAX_SEALED else None

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
