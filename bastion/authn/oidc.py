"""Asks OpenID Connect providers for their keys, and decides about the tokens that say to be theirs.

Keys are fetched when a token needs them, and kept: an unknown `kid` asks again at most every 30 s, and a provider that
is away costs only those whom its last answer does not tell about.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable
from typing import Any

import httpx

from bastion.authentication import Issuer, wrong_url
from bastion.authn.authenticator import Authenticator, Credentials
from bastion.authn.claims import BadToken, user_of
from bastion.authn.compact import Compact, read_compact, read_json
from bastion.authn.jwt import Keys, Wanted, read_keys, verify, wanted_key
from bastion.kube.status import StatusError, service_unavailable
from bastion.kube.user import User

RETRY = 30.0  # seconds between two attempts to fetch
REFRESH = 3600.0  # seconds after which keys are fetched again behind the scenes: one that was withdrawn is gone then
KEEP = 86400.0  # seconds for which keys are good without having been fetched again
FETCH_SECONDS = 5.0  # for both documents
MAX_DOCUMENT = 262144  # bytes

_log = logging.getLogger("bastion.authn")

Clock = Callable[[], float]


class OidcAuthenticator:
    """A token of one of these issuers is decided here and nowhere else; any other is asked of `otherwise`.

    `clock` is seconds since the epoch.
    """

    def __init__(self, providers: Iterable[Provider], otherwise: Authenticator, clock: Clock) -> None:
        self._providers = {provider.issuer.url: provider for provider in providers}
        self._otherwise = otherwise
        self._clock = clock

    async def authenticate(self, credentials: Credentials) -> User | None:
        compact = read_compact(credentials.token) if credentials.token is not None else None
        provider = self._providers.get(compact.issuer or "") if compact is not None else None
        if compact is None or provider is None:
            return await self._otherwise.authenticate(credentials)
        try:
            return await self._decide(compact, provider)
        except BadToken as reason:
            _log.info("a token of %s was refused: %s", provider.issuer.url, reason)
            return None

    async def _decide(self, compact: Compact, provider: Provider) -> User:
        issuer = provider.issuer
        wanted = wanted_key(compact, issuer.algorithms)
        user = user_of(compact.claims, issuer, self._clock())
        verify(compact, await provider.key(wanted))
        return user


class Provider:
    """An issuer and its keys.  `now` is the seconds of a clock that is never set.  Use as an asynchronous context manager."""

    def __init__(self, issuer: Issuer, now: Clock) -> None:
        """Raises ssl.SSLError where the issuer's authority is none."""
        self.issuer = issuer
        self.fetches = 0  # attempts
        self._now = now
        self._keys: Keys = {}
        self._asked: float | None = None  # when the last attempt began
        self._answered: float | None = None  # when the last one that succeeded did
        self._failing = False
        self._flight: asyncio.Task[None] | None = None
        self._http = httpx.AsyncClient(
            verify=ssl.create_default_context(cadata=issuer.certificate_authority or None),
            timeout=httpx.Timeout(FETCH_SECONDS),
            trust_env=False,
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "bastion"},
        )

    async def __aenter__(self) -> Provider:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._flight is not None:
            self._flight.cancel()
        await self._http.aclose()

    async def key(self, wanted: Wanted) -> Any:
        """Raises BadToken where the provider has none of this name, StatusError 503 where it could not be asked."""
        key = self._known(wanted)
        if key is not None:
            if self._age(self._answered) >= REFRESH and self._may_ask():
                self._begin()  # nobody waits for it
            return key
        if self._flight is not None or self._may_ask():
            await asyncio.shield(self._flight or self._begin())
            key = self._known(wanted)
        if key is not None:
            return key
        if self._failing:
            raise undecided()
        raise BadToken("the issuer has no such key")

    def _known(self, wanted: Wanted) -> Any | None:
        return self._keys.get((wanted.kid, wanted.alg)) if self._age(self._answered) < KEEP else None

    def _may_ask(self) -> bool:
        return self._flight is None and self._age(self._asked) >= RETRY

    def _age(self, then: float | None) -> float:
        return float("inf") if then is None else self._now() - then

    # --- fetching

    def _begin(self) -> asyncio.Task[None]:
        self._asked = self._now()
        self.fetches += 1
        self._flight = asyncio.create_task(self._fetch(), name="oidc-keys")
        return self._flight

    async def _fetch(self) -> None:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = read_keys(await self._get(await self._keys_url()))
        except (OSError, ValueError, httpx.HTTPError, httpx.InvalidURL) as error:
            self._failing = True
            cause = " ".join(str(error).split()) or type(error).__name__
            _log.warning("the keys of %s could not be fetched: %s", self.issuer.url, cause)
        else:
            self._failing = False
            self._answered = self._now()
        finally:
            self._flight = None

    async def _keys_url(self) -> str:
        """As the discovery document has it (OpenID Connect Discovery 1.0, 4)."""
        document = read_json(await self._get(self.issuer.url.rstrip("/") + "/.well-known/openid-configuration"))
        if not isinstance(document, dict) or document.get("issuer") != self.issuer.url:
            raise ValueError("the discovery document is another issuer's")
        url = document.get("jwks_uri")
        if not isinstance(url, str) or wrong_url(url.partition("?")[0]):
            raise ValueError("the discovery document has no jwks_uri that may be asked")
        if url.startswith("http:") and self.issuer.url.startswith("https:"):
            raise ValueError("the jwks_uri is not https")
        return url

    async def _get(self, url: str) -> bytes:
        """A redirect is no answer (CVE-2020-8561)."""
        async with self._http.stream("GET", url) as response:
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
    message = "cannot authenticate the request: the keys of its token's issuer could not be fetched; try again shortly"
    return service_unavailable(message, retry_after=5)
