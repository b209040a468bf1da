"""The device flow (RFC 8628): a person enters a code on another device, while this one asks repeatedly."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bastion.authn.tokenendpoint import DEVICE, Away, Endpoints, Refused, Tokens, one_line
from bastion.settings.issuer import wrong_url
from bastion.settings.login import Login

INTERVAL, SLOWER = 5.0, 5.0  # seconds (3.2, 3.5)


async def by_device(endpoints: Endpoints, asked: Login, say: Callable[[str], None]) -> Tokens:
    """Raises Refused, Away, TimeoutError."""
    form = {"client_id": asked.client_id, "scope": " ".join(asked.scopes)}
    begun = await endpoints.ask(endpoints.metadata.device_authorization_endpoint, form)
    code, user_code = begun.get("device_code"), one_line(begun.get("user_code"))
    url, whole = one_line(begun.get("verification_uri")), one_line(begun.get("verification_uri_complete"))
    if not isinstance(code, str) or not code or not user_code or wrong_url(url.partition("?")[0]):
        raise Away("the issuer's device authorization cannot be read")
    say(f"To sign in, open {url} and enter the code {user_code}")
    if whole and not wrong_url(whole.partition("?")[0]):
        say(f"or open {whole}")
    async with asyncio.timeout(min(_seconds(begun.get("expires_in"), asked.timeout), asked.timeout)):
        return await _asked_until_done(endpoints, code, _seconds(begun.get("interval"), INTERVAL))


async def _asked_until_done(endpoints: Endpoints, code: str, interval: float) -> Tokens:
    while True:
        await asyncio.sleep(interval)
        try:
            return await endpoints.tokens(DEVICE, device_code=code)
        except Refused as no:
            if no.error not in ("authorization_pending", "slow_down"):
                raise
            interval += SLOWER if no.error == "slow_down" else 0.0


def _seconds(value: Any, otherwise: float) -> float:
    return float(value) if isinstance(value, int | float) and 0 < value < 86400 else otherwise
