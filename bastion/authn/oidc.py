"""Authenticates tokens of OpenID Connect issuers with the keys that `provider` fetches from them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.authn.claims import InvalidToken, user_of
from bastion.authn.jwt import KeyChoice, key_choice, verify
from bastion.authn.provider import Provider
from bastion.identity.compact import CompactToken, read_compact
from bastion.kube.user import User
from bastion.runtime.turns import Asker

_log = logging.getLogger("bastion.authn")

Clock = Callable[[], float]


class OidcAuthenticator:
    """Tokens of these issuers are decided here alone; all others by `otherwise`.

    `providers` by the issuers' URLs, called for each token; `clock` is seconds since the epoch, and theirs
    may differ by `skew`.
    """

    def __init__(
        self,
        providers: Callable[[], Mapping[str, Provider]],
        otherwise: Authenticator,
        clock: Clock,
        skew: float,
    ) -> None:
        self._providers = providers
        self._otherwise = otherwise
        self._clock = clock
        self._skew = skew

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        compact = read_compact(credentials.token) if credentials.token is not None else None
        provider = self._providers().get(compact.issuer or "") if compact is not None else None
        if compact is None or provider is None:
            return await self._otherwise.authenticate(credentials, asker)
        try:
            return await self._decide(compact, provider)
        except InvalidToken as reason:
            _log.info("a token of %s was refused: %s", provider.issuer.url, reason)
            raise CredentialsRefused(str(reason)) from reason

    async def _decide(self, compact: CompactToken, provider: Provider) -> User:
        issuer = provider.issuer
        wanted = key_choice(compact, issuer.algorithms)
        user = user_of(compact.claims, issuer, self._clock(), self._skew)
        await verified(compact, wanted, provider)
        return user


async def verified(
    compact: CompactToken, wanted: KeyChoice, provider: Provider, *, direct: bool = False
) -> None:
    """Raises InvalidToken, or StatusError 503 where the issuer's keys are not known.

    `direct`: the token came from the issuer itself.
    """
    key = await provider.key(wanted, direct=direct)
    try:
        verify(compact, key)
    except InvalidToken:
        if wanted.kid is not None:
            raise
        verify(compact, await provider.successor(wanted, key, direct=direct))
