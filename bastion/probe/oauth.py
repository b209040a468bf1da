"""Tokens by client credentials (RFC 6749, 4.4), each fetched once for as long as it lasts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import httpx

from bastion.probe.tlssettings import OAuth2

EARLY = 30.0  # seconds before its end that a token is no longer used
MOST = 1024


class Tokens:
    """`clock` in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[OAuth2, tuple[str, float]] = {}
        self._fetching: dict[OAuth2, asyncio.Lock] = {}

    async def of(self, settings: OAuth2, secret: str) -> str:
        """Raises ValueError."""
        async with self._fetching.setdefault(settings, asyncio.Lock()):
            known, until = self._known.get(settings, ("", 0.0))
            if known and self._clock() < until:
                return known
            token, lasts = await _fetched(settings, secret)
            if len(self._known) >= MOST:  # of modules that were changed again and again
                self._known.clear()
                self._fetching.clear()
            self._known[settings] = token, self._clock() + max(lasts - EARLY, lasts / 2)
            return token


async def _fetched(settings: OAuth2, secret: str) -> tuple[str, float]:
    """The token, and the seconds it lasts."""
    form = {"grant_type": "client_credentials", **dict(settings.endpoint_params)}
    if settings.scopes:
        form["scope"] = " ".join(settings.scopes)
    tls = settings.tls_config
    verify = False if tls.insecure_skip_verify else tls.ca_file or True
    try:
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, verify=verify) as client:
            answer = await client.post(settings.token_url, data=form, auth=(settings.client_id, secret))
            answer.raise_for_status()
            found = answer.json()
        return str(found["access_token"]), float(found.get("expires_in") or 60)
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no token from {settings.token_url}: {type(error).__name__}") from error
