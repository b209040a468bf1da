"""· Sign-ins at issuers that are under way in one browser: sealed in a cookie, each good once.

What the issuer is given (`state`, `nonce`, the challenge) is random and means nothing; which provider was
asked and where to go afterwards stands here alone, so that no URL can change it.
"""

from __future__ import annotations

import base64
import hashlib

import msgspec

from bastion.message.cookies import MAX_PIECE, SIGNING_IN
from bastion.signin.sealed import Sealer
from bastion.signin.session import SIGN_IN_SECONDS

MOST = 5  # tabs

_RANDOM = 32  # bytes: 43 characters, the least of a code verifier (RFC 7636, 4.1)


class Pending(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One of them.  `path`: where to go then, empty for nowhere in particular; `until` as of a cookie."""

    state: str
    provider: str
    nonce: str
    verifier: str
    path: str
    until: int

    def __repr__(self) -> str:
        return f"Pending({self.provider!r})"

    @property
    def challenge(self) -> str:
        """S256 (RFC 7636, 4.2)."""
        return _text(hashlib.sha256(self.verifier.encode()).digest())


_decode = msgspec.msgpack.Decoder(tuple[Pending, ...]).decode


class SignInsUnderWay:
    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    def begin(self, provider: str, path: bytes, now: float) -> Pending:
        state, nonce, verifier = (_text(self._sealer.random_bytes(_RANDOM)) for _ in range(3))
        return Pending(state, provider, nonce, verifier, path.decode(), int(now) + SIGN_IN_SECONDS)

    def open(self, host: str, cookie: bytes, now: float) -> tuple[Pending, ...]:
        """Those that are not too old, the latest last."""
        data = self._sealer.open(SIGNING_IN.decode(), host, cookie, now) if cookie else None
        try:
            found = _decode(data) if data is not None else ()
        except msgspec.DecodeError:
            return ()
        return tuple(one for one in found if now < one.until)

    def seal(self, host: str, pending: tuple[Pending, ...], now: float) -> bytes:
        """The cookie's value, empty for none: as many of the latest as it has room for."""
        kept = pending[-MOST:]
        while kept:
            until = int(now) + SIGN_IN_SECONDS
            value = self._sealer.seal(SIGNING_IN.decode(), host, msgspec.msgpack.encode(kept), until)
            if len(value) <= MAX_PIECE:
                return value
            kept = kept[1:]
        return b""


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
