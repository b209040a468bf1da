"""· How does somebody who signed in on the main host come to be signed in on an application's?

A browser is sent back and forth, and carries what each host sealed for the other, all of it for that
application's host:

    application  request  a digest of a nonce that this browser has here, as a cookie (after PKCE, RFC 7636)
    main         code     and of the session that this browser has there
    application  proof    the code came to the browser with the nonce
    main         entry    the proof came to the browser with the session: the session, for the browser with
    the nonce
    application           a cookie of its own

Whoever sees a code (an application's service worker sees every URL of its host) is not the browser with the
session, and one who asks others to bring the proof there is found out by `pairs`.  Code and entry live for a
minute and are good once.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Protocol

import msgspec

from bastion.signin.sealed import Sealer
from bastion.signin.session import SIGN_IN_SECONDS, Session, is_local

CODE_SECONDS = 60
MAX_PATH = 1536  # bytes of a path to come back to: it travels in a cookie of the main host, too

_NONCE = re.compile(rb"[A-Za-z0-9_-]{22}")


class Once(Protocol):
    def first(self, id: bytes, until: int, now: float) -> bool:
        """Whether nobody had this before; it need not be known any more after `until`, in seconds since the
        epoch as `now` is.
        """
        ...


class Asked(msgspec.Struct, frozen=True, array_like=True):
    """`browser`: a digest of its nonce; `path`: where to go on at the application's host."""

    browser: bytes
    path: bytes


class Granted(msgspec.Struct, frozen=True, array_like=True):
    """`visitor`: a digest of the session that was seen on the main host."""

    id: bytes
    until: int
    asked: Asked
    visitor: bytes


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    until: int
    asked: Asked
    session: Session


_encode = msgspec.msgpack.encode
_asked = msgspec.msgpack.Decoder(Asked).decode
_granted = msgspec.msgpack.Decoder(Granted).decode
_entry = msgspec.msgpack.Decoder(_Entry).decode


class Redeemed(msgspec.Struct, frozen=True):
    """What a code or an entry that is good says.

    `bound`: it is this browser's; else nothing more is told than the path.

    `proof` is what to show on the main host, `session` what was shown there: one of them.
    """

    path: bytes
    bound: bool
    proof: bytes = b""
    session: Session | None = None


class Handoff:
    """Pure but for `once`, which knows what was used."""

    def __init__(self, sealer: Sealer, once: Once) -> None:
        self._sealer = sealer
        self._once = once

    # --- on the main host

    def asked(self, host: str, request: bytes, now: float) -> Asked | None:
        """None where this application's host asked for nothing, or too long ago."""
        data = self._sealer.open("request", host, request, now)
        return None if data is None else _asked(data)

    def grant(self, host: str, asked: Asked, session: Session, now: float) -> bytes:
        """The code."""
        until = int(now) + CODE_SECONDS
        return self._sealer.seal(
            "code", host, _encode(Granted(self._sealer.chance(16), until, asked, _visitor(session))), until
        )

    def proved(self, host: str, proof: bytes, session: Session, now: float) -> Asked | None:
        """None where it is no proof, too old, or another session's."""
        data = self._sealer.open("proof", host, proof, now)
        granted = None if data is None else _granted(data)
        return None if granted is None or granted.visitor != _visitor(session) else granted.asked

    def admit(self, host: str, asked: Asked, session: Session, now: float) -> bytes:
        """The entry."""
        until = int(now) + CODE_SECONDS
        return self._sealer.seal(
            "entry", host, _encode(_Entry(self._sealer.chance(16), until, asked, session)), until
        )

    # --- on the application's

    def begin(self, host: str, path: bytes, nonce: bytes, now: float) -> tuple[bytes, bytes]:
        """(the nonce for the cookie, the request).

        A `nonce` that the browser has already serves again: it is known by that.
        """
        if _NONCE.fullmatch(nonce) is None:
            nonce = base64.urlsafe_b64encode(self._sealer.chance(16)).rstrip(b"=")
        path = path if is_local(path) and len(path) <= MAX_PATH else b"/"
        return nonce, self._sealer.seal(
            "request", host, _encode(Asked(_digest(nonce), path)), int(now) + SIGN_IN_SECONDS
        )

    def redeem(self, host: str, code: bytes, nonce: bytes, now: float) -> Redeemed | None:
        """None where it is no code of this host, too old, or used.

        One that is not this browser's is not used up by it.
        """
        data = self._sealer.open("code", host, code, now)
        if data is None:
            return None
        granted = _granted(data)
        if granted.asked.browser != _digest(nonce):
            return Redeemed(granted.asked.path, bound=False)
        if not self._once.first(granted.id, granted.until, now):
            return None
        return Redeemed(
            granted.asked.path,
            bound=True,
            proof=self._sealer.seal("proof", host, data, int(now) + CODE_SECONDS),
        )

    def enter(self, host: str, entry: bytes, nonce: bytes, now: float) -> Redeemed | None:
        """As `redeem`."""
        data = self._sealer.open("entry", host, entry, now)
        if data is None:
            return None
        opened = _entry(data)
        if opened.asked.browser != _digest(nonce):
            return Redeemed(opened.asked.path, bound=False)
        if not self._once.first(opened.id, opened.until, now):
            return None
        return Redeemed(opened.asked.path, bound=True, session=opened.session)


def _digest(nonce: bytes) -> bytes:
    return hashlib.sha256(nonce).digest()


def _visitor(session: Session) -> bytes:
    return hashlib.sha256(_encode(session)).digest()
