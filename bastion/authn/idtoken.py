"""Is this the ID token of this sign-in?  By the rules for bearer tokens of its issuer, and those of OpenID
Connect Core 1.0, 3.1.3.7 and 12.2, for one that came from the token endpoint.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec

from bastion.authn.claims import Claims, InvalidToken, user_of
from bastion.authn.jwt import key_choice
from bastion.authn.oidc import verified
from bastion.authn.provider import Provider
from bastion.identity.compact import number, read_compact
from bastion.kube.user import User

_DIGESTS = {"256": hashlib.sha256, "384": hashlib.sha384, "512": hashlib.sha512}


class Expected(msgspec.Struct, frozen=True):
    """`nonce` empty: none is compared, as when a token is refreshed.  `access_token` came beside it."""

    client_id: str
    nonce: str = ""
    access_token: str = ""

    def __repr__(self) -> str:
        return "Expected(…)"


async def accept(
    token: str, provider: Provider, expected: Expected, now: float, skew: float
) -> tuple[User, Claims]:
    """Raises InvalidToken, or StatusError 503 where the issuer's keys cannot be fetched."""
    compact = read_compact(token)
    if compact is None:
        raise InvalidToken("no JWT")
    issuer = provider.issuer
    wanted = key_choice(compact, issuer.algorithms)
    if wanted.kid is None:
        raise InvalidToken("the header names no key")
    user = user_of(compact.claims, issuer, now, skew)
    _check(compact.claims, expected, wanted.alg)
    await verified(compact, wanted, provider, direct=True)
    return user, compact.claims


def _check(claims: Claims, expected: Expected, alg: str) -> None:
    """Raises InvalidToken."""
    audience = claims.get("aud")
    if expected.client_id not in (audience if isinstance(audience, list) else [audience]):
        raise InvalidToken("for another client")
    if "azp" in claims and claims["azp"] != expected.client_id:
        raise InvalidToken("azp names another client")
    if number(claims.get("iat")) is None:
        raise InvalidToken("iat is missing or not a date")
    nonce = claims.get("nonce")
    if expected.nonce and not (
        isinstance(nonce, str) and hmac.compare_digest(nonce.encode(), expected.nonce.encode())
    ):
        raise InvalidToken("the nonce is another one's")
    if expected.access_token and "at_hash" in claims:
        digest = _DIGESTS[alg[2:]](expected.access_token.encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
        if claims["at_hash"] != half:
            raise InvalidToken("at_hash is another access token's")
