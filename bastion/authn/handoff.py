"""How does somebody who signed in on the main host come to be signed in on an application's?

The application's host sends the browser to the main host with a *request*; the main host sends it back with a *code*,
which is exchanged there for a session of that host alone.  Both are sealed for that host.  The code holds a digest of a
nonce that only the browser which began has, as a cookie (after PKCE, RFC 7636), lives for a minute, and is good once.
"""

from __future__ import annotations

import base64
import hashlib
import re

import msgspec

from bastion.authn.sealed import Sealer
from bastion.authn.session import SIGN_IN_SECONDS, Session, is_local

CODE_SECONDS = 60
MAX_PATH = 1536  # bytes of a path to come back to: it travels in a cookie of the main host, too

_NONCE = re.compile(rb"[A-Za-z0-9_-]{22}")


class _Request(msgspec.Struct, frozen=True, array_like=True):
    digest: bytes
    path: bytes


class _Code(msgspec.Struct, frozen=True, array_like=True):
    id: bytes
    request: _Request
    session: Session


_encode = msgspec.msgpack.encode
_request = msgspec.msgpack.Decoder(_Request).decode
_code = msgspec.msgpack.Decoder(_Code).decode


class Redeemed(msgspec.Struct, frozen=True):
    """What a code that is good says; `bound`: it is this browser's."""

    path: bytes
    session: Session
    bound: bool


class Handoff:
    """Pure but for the codes that were used: it remembers them for as long as they live, and forgets the rest once there are `room`."""

    def __init__(self, sealer: Sealer, room: int = 65536) -> None:
        self._sealer = sealer
        self._room = room
        self._used: dict[bytes, float] = {}

    def begin(self, host: str, path: bytes, nonce: bytes, now: float) -> tuple[bytes, bytes]:
        """(the nonce for the cookie, the request).  A `nonce` that the browser has already serves again: it may have asked in two tabs."""
        if _NONCE.fullmatch(nonce) is None:
            nonce = base64.urlsafe_b64encode(self._sealer.chance(16)).rstrip(b"=")
        path = path if is_local(path) and len(path) <= MAX_PATH else b"/"
        request = _encode(_Request(_digest(nonce), path))
        return nonce, self._sealer.seal("request", host, request, int(now) + SIGN_IN_SECONDS)

    def grant(self, host: str, request: bytes, session: Session, now: float) -> bytes | None:
        """The code; None where there was no such request, or it is too old."""
        asked = self._sealer.open("request", host, request, now)
        if asked is None:
            return None
        code = _encode(_Code(self._sealer.chance(16), _request(asked), session))
        return self._sealer.seal("code", host, code, int(now) + CODE_SECONDS)

    def redeem(self, host: str, code: bytes, nonce: bytes, now: float) -> Redeemed | None:
        """None where it is no code of this host, too old, or used.  One that is not this browser's is not used up by it."""
        data = self._sealer.open("code", host, code, now)
        if data is None:
            return None
        granted = _code(data)
        if granted.id in self._used:
            return None
        bound = granted.request.digest == _digest(nonce)
        if bound:
            self._remember(granted.id, now)
        return Redeemed(granted.request.path, granted.session, bound)

    def _remember(self, id: bytes, now: float) -> None:
        if len(self._used) >= self._room:
            self._used = {used: until for used, until in self._used.items() if until > now}
        self._used[id] = now + CODE_SECONDS

    def __len__(self) -> int:
        return len(self._used)


def _digest(nonce: bytes) -> bytes:
    return hashlib.sha256(nonce).digest()
