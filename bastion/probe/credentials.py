"""The header fields of a probe's request, with the credentials that its module names."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path

from bastion import __version__
from bastion.kube.endpoint import Endpoint
from bastion.probe.attempt import Attempt
from bastion.probe.modules import Http
from bastion.probe.oauth import Tokens


async def header_fields(module: Http, attempt: Attempt) -> dict[str, str]:
    """By lower-case name; `host` is there always.  Raises OSError or ValueError."""
    endpoint: Endpoint = attempt.candidates[0]
    fields = {"host": attempt.hostname or str(endpoint), "user-agent": f"bastion-probe/{__version__}"}
    fields |= {name.lower(): value for name, value in module.headers}
    for name, given in module.http_headers:
        files = [await asyncio.to_thread(_content, file) for file in given.files]
        fields[name.lower()] = ", ".join((*given.values, *given.secrets, *files))
    authorization = await _authorization(module, attempt.environment.tokens)
    if authorization:
        fields["authorization"] = authorization
    if any(char in value for value in fields.values() for char in "\r\n\0"):
        raise ValueError("a header field has a line break")
    return fields


async def _authorization(module: Http, tokens: Tokens) -> str:
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
    if (oauth2 := module.oauth2) is not None:
        secret = oauth2.client_secret or await asyncio.to_thread(_content, oauth2.client_secret_file)
        return f"Bearer {await tokens.of(oauth2, secret)}"
    return ""


def _content(file: str) -> str:
    return Path(file).read_text().strip() if file else ""
