"""· How does a person who signed in on the main host get a session on an application's host?

A browser is sent back and forth, and carries what each host sealed for the other, all of it for that
application's host:

    application  request  a digest of a nonce that this browser has here, as a cookie (after PKCE, RFC 7636)
    main         code     and of the session that this browser has there
    application  proof    the code came to the browser with the nonce
    main         entry    the proof came to the browser with the session: the session, for the browser with
    the nonce
    application           a cookie of its own

A program that sees a code (an application's service worker sees every URL of its host) does not have the
browser's session, and `pairs` detects a program that makes another browser carry the proof.  Code and entry
expire after a minute and work once.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Protocol

import msgspec

from bastion.signin.sealed import Sealer
from bastion.signin.session import SIGN_IN_SECONDS, Session, is_local, pack, unpack

CODE_SECONDS = 60
MAX_PATH = 1536  # bytes of a path to come back to: it travels in a cookie of the main host, too

_NONCE = re.compile(rb"[A-Za-z0-9_-]{22}")


class UsedIds(Protocol):
    def first(self, id: bytes, until: int, now: float) -> bool:
        """Whether this is the first use of `id`.  It may be forgotten after `until`; both are in seconds
        since the epoch.
        """
        ...


class HandoffRequest(msgspec.Struct, frozen=True, array_like=True):
    """`browser`: a digest of its nonce; `path`: the path to continue at on the application's host."""

    browser: bytes
    path: bytes


class HandoffCode(msgspec.Struct, frozen=True, array_like=True):
    """`visitor`: a digest of the session that was seen on the main host."""

    id: bytes
    until: int
    request: HandoffRequest
    visitor: bytes


class HandoffEntry(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    until: int
    request: HandoffRequest
    session: bytes  # packed


_encode = msgspec.msgpack.encode
_request = msgspec.msgpack.Decoder(HandoffRequest).decode
_code = msgspec.msgpack.Decoder(HandoffCode).decode
_entry = msgspec.msgpack.Decoder(HandoffEntry).decode


class Redemption(msgspec.Struct, frozen=True):
    """The content of a valid code or entry.

    `bound`: it belongs to this browser; else only the path is set.  `proof` is for the main host, `session`
    comes from there: one of them is set.
    """

    path: bytes
    bound: bool
    proof: bytes = b""
    session: Session | None = None


class Handoff:
    """Pure but for `used`, which remembers the ids that were used."""

    def __init__(self, sealer: Sealer, used: UsedIds) -> None:
        self._sealer = sealer
        self._used = used

    # --- on the main host

    def open_request(self, host: str, request: bytes, now: float) -> HandoffRequest | None:
        """None where it is not a request of this application's host, or has expired."""
        data = self._sealer.open("request", host, request, now)
        return None if data is None else _request(data)

    def make_code(self, host: str, request: HandoffRequest, session: Session, now: float) -> bytes:
        """The code."""
        until = int(now) + CODE_SECONDS
        return self._sealer.seal(
            "code",
            host,
            _encode(HandoffCode(self._sealer.random_bytes(16), until, request, session.visitor())),
            until,
        )

    def open_proof(self, host: str, proof: bytes, session: Session, now: float) -> HandoffRequest | None:
        """None where it is not a proof, has expired, or is another session's."""
        data = self._sealer.open("proof", host, proof, now)
        granted = None if data is None else _code(data)
        return None if granted is None or granted.visitor != session.visitor() else granted.request

    def make_entry(self, host: str, request: HandoffRequest, session: Session, now: float) -> bytes:
        """The entry."""
        until = int(now) + CODE_SECONDS
        return self._sealer.seal(
            "entry",
            host,
            _encode(
                HandoffEntry(self._sealer.random_bytes(16), until, request, pack(session.for_application()))
            ),
            until,
        )

    # --- on the application's

    def begin(self, host: str, path: bytes, nonce: bytes, now: float) -> tuple[bytes, bytes]:
        """(the nonce for the cookie, the request).

        A `nonce` that the browser already has is used again: it identifies the browser.
        """
        if _NONCE.fullmatch(nonce) is None:
            nonce = base64.urlsafe_b64encode(self._sealer.random_bytes(16)).rstrip(b"=")
        path = path if is_local(path) and len(path) <= MAX_PATH else b"/"
        return nonce, self._sealer.seal(
            "request", host, _encode(HandoffRequest(_digest(nonce), path)), int(now) + SIGN_IN_SECONDS
        )

    def redeem(self, host: str, code: bytes, nonce: bytes, now: float) -> Redemption | None:
        """None where it is not a code of this host, has expired, or was used.

        Another browser does not use it up.
        """
        data = self._sealer.open("code", host, code, now)
        if data is None:
            return None
        granted = _code(data)
        if granted.request.browser != _digest(nonce):
            return Redemption(granted.request.path, bound=False)
        if not self._used.first(granted.id, granted.until, now):
            return None
        return Redemption(
            granted.request.path,
            bound=True,
            proof=self._sealer.seal("proof", host, data, int(now) + CODE_SECONDS),
        )

    def enter(self, host: str, entry: bytes, nonce: bytes, now: float) -> Redemption | None:
        """As `redeem`."""
        data = self._sealer.open("entry", host, entry, now)
        if data is None:
            return None
        opened = _entry(data)
        if opened.request.browser != _digest(nonce):
            return Redemption(opened.request.path, bound=False)
        if not self._used.first(opened.id, opened.until, now):
            return None
        session = unpack(opened.session)
        return None if session is None else Redemption(opened.request.path, bound=True, session=session)


def _digest(nonce: bytes) -> bytes:
    return hashlib.sha256(nonce).digest()
