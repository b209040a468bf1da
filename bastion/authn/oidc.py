"""Authenticates tokens of OpenID Connect providers with the keys that it fetches from them.

Keys are fetched when a token needs them, and kept: an unknown `kid` fetches again at most every 30 s, and a
provider that is down refuses only tokens whose key was not fetched before.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import httpx

from bastion.authn.authenticator import Authenticator, Credentials, CredentialsRefused
from bastion.authn.claims import InvalidToken, user_of
from bastion.authn.jwt import KeyChoice, Keys, key_choice, read_keys, verify
from bastion.identity.compact import CompactToken, read_compact, read_json
from bastion.kube.errors import error_of
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.runtime.trust import client_context
from bastion.runtime.turns import Asker
from bastion.settings.issuer import Issuer, wrong_url

RETRY = 30.0  # seconds between two attempts to fetch
# seconds after which keys are fetched again behind the scenes: one that was withdrawn is gone then
REFRESH = 3600.0
KEEP = 86400.0  # seconds for which keys are good without having been fetched again
FETCH_SECONDS = 5.0  # for both documents
MAX_DOCUMENT = 262144  # bytes

_log = logging.getLogger("bastion.authn")

Clock = Callable[[], float]


class OidcAuthenticator:
    """TokenTable of these issuers are decided here alone; all others by `otherwise`.

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
        key = await provider.key(wanted)
        try:
            verify(compact, key)
        except InvalidToken:
            if wanted.kid is not None:
                raise
            verify(compact, await provider.successor(wanted, key))
        return user


class Providers:
    """A provider for each issuer in `describe()`.  `now` as for a Provider."""

    def __init__(self, describe: Callable[[], Iterable[Issuer]], now: Clock) -> None:
        self._describe = describe
        self._now = now
        self._known: dict[str, Provider] = {}

    def read(self) -> Mapping[str, Provider]:
        """The providers as described now; one that was there before keeps its keys.

        Raises what `describe` raises, or ValueError.
        """
        # make all before any of them is used
        described = [Provider(issuer, self._now) for issuer in self._describe()]
        self._known = {one.issuer.url: self._renewed(one) for one in described}
        return self._known

    def _renewed(self, described: Provider) -> Provider:
        known = self._known.get(described.issuer.url)
        if known is None:
            return described
        known.follow(described)
        return known

    def close(self) -> None:
        for provider in self._known.values():
            provider.close()


class Provider:
    """An issuer and its keys.  `now` is the seconds of a clock that is never set."""

    def __init__(self, issuer: Issuer, now: Clock) -> None:
        """Raises ValueError where the issuer's authority is not a certificate."""
        self.issuer = issuer
        self._now = now
        self._tls = _tls_context(issuer)
        self._keys: Keys = {}
        self._asked: float | None = None  # when the last attempt began
        self._answered: float | None = None  # when the last one that succeeded did
        self._due = False  # whether to ask again although the keys are not old
        self._failing = False
        self._flight: asyncio.Task[None] | None = None

    def follow(self, described: Provider) -> None:
        """Takes over the settings of the same issuer.  After a change of its authority the keys from before
        serve until they were fetched with the new one.
        """
        if described.issuer.certificate_authority != self.issuer.certificate_authority:
            self._tls, self._asked, self._due = described._tls, None, True
        self.issuer = described.issuer

    def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()

    async def key(self, wanted: KeyChoice) -> Any:
        """Raises InvalidToken where the provider has no such key, StatusError 503 where it is unreachable."""
        key = self._known(wanted)
        if key is None:
            return await self.successor(wanted, None)
        if (self._due or self._age(self._answered) >= REFRESH) and self._may_ask():
            self._begin()  # without waiting for it
        return key

    async def successor(self, wanted: KeyChoice, old: Any) -> Any:
        """The key that replaced `old`, which did not verify a token without `kid`.

        Raises as `key` does.
        """
        if self._flight is not None or self._may_ask():
            await asyncio.shield(self._flight or self._begin())
        key = self._known(wanted)
        if key is not None and key is not old:
            return key
        if self._failing:
            raise undecided()
        raise InvalidToken("the issuer has no such key")

    def _known(self, wanted: KeyChoice) -> Any | None:
        return self._keys.get((wanted.kid, wanted.alg)) if self._age(self._answered) < KEEP else None

    def _may_ask(self) -> bool:
        return self._flight is None and self._age(self._asked) >= RETRY

    def _age(self, then: float | None) -> float:
        return float("inf") if then is None else self._now() - then

    # --- fetching

    def _begin(self) -> asyncio.Task[None]:
        self._asked = self._now()
        self._flight = asyncio.create_task(self._fetch(), name="oidc-keys")
        return self._flight

    async def _fetch(self) -> None:
        tls = self._tls
        try:
            async with asyncio.timeout(FETCH_SECONDS), _client(tls) as http:
                self._keys = read_keys(await _get(http, await self._keys_url(http)))
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            self._failing = True
            cause = " ".join(str(error).split()) or type(error).__name__
            _log.warning("the keys of %s could not be fetched: %s", self.issuer.url, cause)
        else:
            self._failing = False
            self._answered = self._now()
            self._due = self._tls is not tls
        finally:
            self._flight = None

    async def _keys_url(self, http: httpx.AsyncClient) -> str:
        """As the discovery document has it (OpenID Connect Discovery 1.0, 4)."""
        document = read_json(
            await _get(http, self.issuer.url.rstrip("/") + "/.well-known/openid-configuration")
        )
        if not isinstance(document, dict) or document.get("issuer") != self.issuer.url:
            raise ValueError("the discovery document names another issuer")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or wrong_url(url.partition("?")[0]):
            raise ValueError("the discovery document has no usable jwks_uri")
        if url.startswith("http:") and self.issuer.url.startswith("https:"):
            raise ValueError("the jwks_uri is not https")
        return url


def _tls_context(issuer: Issuer) -> ssl.SSLContext:
    try:
        return client_context(issuer.certificate_authority.encode() or None)
    except ValueError as error:
        raise ValueError(f"the authority for {issuer.url} is not a PEM certificate") from error


def _client(tls: ssl.SSLContext) -> httpx.AsyncClient:
    """For one fetch: the next one is an hour later."""
    return httpx.AsyncClient(
        verify=tls,
        timeout=httpx.Timeout(FETCH_SECONDS),
        trust_env=False,
        follow_redirects=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "bastion"},
    )


async def _get(http: httpx.AsyncClient, url: str) -> bytes:
    """Redirects are not followed (CVE-2020-8561)."""
    async with http.stream("GET", url) as response:
        if response.status_code != 200:
            raise ValueError(f"{url} answered {response.status_code}")
        pieces, size = [], 0
        async for piece in response.aiter_raw():
            pieces.append(piece)
            size += len(piece)
            if size > MAX_DOCUMENT:
                raise ValueError(f"{url} is larger than {MAX_DOCUMENT} bytes")
        return b"".join(pieces)


def undecided() -> StatusError:
    message = (
        "cannot authenticate the request: the keys of its token's issuer could not be fetched; try again"
        " shortly"
    )
    return error_of(API_SERVER_AWAY, message, retry_after=5)
