"""How does a terminal come by an ID token?  From its cache, by a refresh token, or by the person."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from bastion.authn.claims import Claims, InvalidToken
from bastion.authn.idtoken import Expected, accept
from bastion.authn.provider import Provider
from bastion.authn.tokenendpoint import REFRESH, Away, Client, Endpoints, Refused, Tokens
from bastion.cli.login.cache import Kept, TokenCache
from bastion.cli.login.device import by_device
from bastion.cli.login.loopback import by_browser
from bastion.identity.compact import expiry, number, read_compact
from bastion.settings.issuer import Issuer, authority_text
from bastion.settings.login import Login

SKEW = 30.0  # seconds by which clocks may differ
LEAST, PART = 30.0, 0.25  # seconds, and of its life, that a token must still be good for


class SigningIn:
    """`clock` is seconds since the epoch."""

    def __init__(self, asked: Login, cache: TokenCache, clock: Callable[[], float]) -> None:
        """Raises OSError, ValueError where the authority cannot be read."""
        authority = authority_text(asked.certificate_authority) if asked.certificate_authority else ""
        issuer = Issuer(asked.issuer_url, (asked.client_id,), "", certificate_authority=authority)
        self._asked = asked
        self._cache = cache
        self._clock = clock
        self._provider = Provider(issuer, time.monotonic)

    async def token(self) -> tuple[str, float]:
        """(the ID token, when it expires).  Raises Refused, Away, InvalidToken, StatusError, TimeoutError."""
        kept = self._cache.read()
        if kept is not None and self._is_good(kept.id_token):
            return kept.id_token, expiry(kept.id_token) or 0.0
        endpoints = Endpoints(
            await self._provider.metadata(),
            self._provider.tls,
            Client(self._asked.client_id, self._asked.client_secret_file),
        )
        if kept is not None and kept.refresh_token:
            try:
                return await self._refreshed(endpoints, kept)
            except (Refused, InvalidToken) as no:
                sys.stderr.write(f"signing in again: {no}\n")
        return await self._signed_in(endpoints)

    def _is_good(self, token: str) -> bool:
        compact = read_compact(token)
        ends = number(compact.claims.get("exp")) if compact is not None else None
        issued = number(compact.claims.get("iat")) if compact is not None else None
        if ends is None or issued is None:
            return False
        return ends - self._clock() > min(LEAST, (ends - issued) * PART)

    async def _refreshed(self, endpoints: Endpoints, kept: Kept) -> tuple[str, float]:
        tokens = await endpoints.tokens(REFRESH, refresh_token=kept.refresh_token)
        claims = await self._accepted(tokens, "")
        before = read_compact(kept.id_token)
        if before is not None and before.claims.get("sub") != claims["sub"]:
            raise InvalidToken("the refreshed token is another user's")
        return self._keep(tokens, claims, tokens.refresh_token or kept.refresh_token)

    async def _signed_in(self, endpoints: Endpoints) -> tuple[str, float]:
        asked = self._asked
        if asked.device:
            tokens, nonce = await by_device(endpoints, asked, _say), ""
        else:
            tokens, nonce = await by_browser(endpoints, asked, _say, os.urandom)
        claims = await self._accepted(tokens, nonce)
        return self._keep(tokens, claims, tokens.refresh_token)

    async def _accepted(self, tokens: Tokens, nonce: str) -> Claims:
        if not tokens.id_token:
            raise Away("the issuer sent no ID token")
        expected = Expected(self._asked.client_id, nonce, tokens.access_token)
        _, claims = await accept(tokens.id_token, self._provider, expected, self._clock(), SKEW)
        return claims

    def _keep(self, tokens: Tokens, claims: Claims, refresh_token: str) -> tuple[str, float]:
        self._cache.write(Kept(tokens.id_token, refresh_token))
        return tokens.id_token, number(claims["exp"]) or 0.0


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()
