"""The header fields of a probe's request, with the credentials that its module names."""

from __future__ import annotations

import asyncio
import base64
import time
from pathlib import Path

import httpx

from bastion import __version__
from bastion.kube.endpoint import Endpoint
from bastion.probe.attempt import Attempt
from bastion.probe.modules import Http
from bastion.probe.tlssettings import OAuth2

EARLY = 30.0  # seconds before its end that a token is no longer used
_tokens: dict[OAuth2, tuple[str, float]] = {}


async def header_fields(module: Http, attempt: Attempt) -> dict[str, str]:
    """By lower-case name; `host` is there always.  Raises OSError or ValueError."""
    endpoint: Endpoint = attempt.candidates[0]
    fields = {"host": attempt.hostname or str(endpoint), "user-agent": f"bastion-probe/{__version__}"}
    fields |= {name.lower(): value for name, value in module.headers}
    for name, given in module.http_headers:
        files = [await asyncio.to_thread(_content, file) for file in given.files]
        fields[name.lower()] = ", ".join((*given.values, *given.secrets, *files))
    authorization = await _authorization(module)
    if authorization:
        fields["authorization"] = authorization
    if any(char in value for value in fields.values() for char in "\r\n\0"):
        raise ValueError("a header field has a line break")
    return fields


async def _authorization(module: Http) -> str:
    if (basic := module.basic_auth) is not None:
        user = basic.username or (await asyncio.to_thread(_content, basic.username_file))
        password = basic.password or (await asyncio.to_thread(_content, basic.password_file))
        return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"
    if (given := module.authorization) is not None:
        credentials = given.credentials or await asyncio.to_thread(_content, given.credentials_file)
        return f"{given.type or 'Bearer'} {credentials}"
    if module.bearer_token or module.bearer_token_file:
        token = module.bearer_token or await asyncio.to_thread(_content, module.bearer_token_file)
        return f"Bearer {token}"
    return f"Bearer {await _token(module.oauth2)}" if module.oauth2 is not None else ""


async def _token(settings: OAuth2) -> str:
    """By client credentials (RFC 6749, 4.4).  Raises ValueError."""
    known, until = _tokens.get(settings, ("", 0.0))
    if known and time.monotonic() < until:
        return known
    secret = settings.client_secret or await asyncio.to_thread(_content, settings.client_secret_file)
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
        token, lasts = str(found["access_token"]), float(found.get("expires_in") or 60)
    except (httpx.HTTPError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"no token from {settings.token_url}: {type(error).__name__}") from error
    _tokens[settings] = (token, time.monotonic() + max(lasts - EARLY, lasts / 2))
    return token


def _content(file: str) -> str:
    return Path(file).read_text().strip() if file else ""
