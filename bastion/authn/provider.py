"""OpenID Connect issuers, with what is fetched from them: what they say of themselves, and their keys.

Keys are fetched when a token needs them, and kept: an unknown `kid` fetches again at most every 30 s, and a
provider that is down refuses only tokens whose key was not fetched before.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from bastion.authn.claims import InvalidToken
from bastion.authn.issuerhttp import FAILURES, cause_of, client, get
from bastion.authn.jwt import KeyChoice, Keys, read_keys
from bastion.authn.metadata import Metadata, read_metadata
from bastion.authn.rejection import undecided
from bastion.runtime.trust import client_context
from bastion.settings.issuer import Issuer

RETRY = 30.0  # seconds between two attempts to fetch
# seconds after which keys are fetched again behind the scenes: one that was withdrawn is gone then
REFRESH = 3600.0
KEEP = 86400.0  # seconds for which keys are good without having been fetched again
FETCH_SECONDS = 5.0  # for both documents
SOON = 1.0  # seconds between two attempts where a person waits, who signs in

_log = logging.getLogger("bastion.authn")

Clock = Callable[[], float]


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
        self.tls = tls_context(issuer)
        self._metadata: Metadata | None = None
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
            self.tls, self._asked, self._due = described.tls, None, True
        self.issuer = described.issuer

    def close(self) -> None:
        if self._flight is not None:
            self._flight.cancel()

    async def metadata(self) -> Metadata:
        """For a person who signs in.  Raises StatusError 503 where it cannot be fetched."""
        if self._metadata is None:
            if self._flight is not None or self._age(self._asked) >= SOON:
                await asyncio.shield(self._flight or self._begin())
            if self._metadata is None:
                raise undecided("what its issuer says of itself")
        elif self._age(self._answered) >= REFRESH and self._may_ask():
            self._begin()
        return self._metadata

    async def key(self, wanted: KeyChoice, *, direct: bool = False) -> Any:
        """Raises InvalidToken where the provider has no such key, StatusError 503 where it is unreachable.

        `direct`: the token came from the provider itself, in return for a code that is worth one try: no
        stranger can have its keys fetched so.
        """
        key = self._known(wanted)
        if key is None:
            return await self.successor(wanted, None, direct=direct)
        if (self._due or self._age(self._answered) >= REFRESH) and self._may_ask():
            self._begin()  # without waiting for it
        return key

    async def successor(self, wanted: KeyChoice, old: Any, *, direct: bool = False) -> Any:
        """The key that replaced `old`, which did not verify a token without `kid`.

        Raises as `key` does.
        """
        if self._flight is not None or self._may_ask() or direct:
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
        tls = self.tls
        try:
            async with asyncio.timeout(FETCH_SECONDS), client(tls, FETCH_SECONDS) as http:
                url = self.issuer.url.rstrip("/") + "/.well-known/openid-configuration"
                self._metadata = read_metadata(await get(http, url), self.issuer.url)
                self._keys = read_keys(await get(http, self._metadata.jwks_uri))
        except FAILURES as error:
            self._failing = True
            _log.warning("the keys of %s could not be fetched: %s", self.issuer.url, cause_of(error))
        else:
            self._failing = False
            self._answered = self._now()
            self._due = self.tls is not tls
        finally:
            self._flight = None


def tls_context(issuer: Issuer) -> ssl.SSLContext:
    try:
        return client_context(issuer.certificate_authority.encode() or None)
    except ValueError as error:
        raise ValueError(f"the authority for {issuer.url} is not a PEM certificate") from error
