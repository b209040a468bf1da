"""The bastion that a command asks: its URL, its TLS, and the token, which is read anew for each use."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.commands import TOKEN
from bastion.settings.people import Asked

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Place:
    """`authorization`: the value of the header field, None without credentials; raises
    OSError, StartError.
    """

    url: str
    tls: ssl.SSLContext
    authorization: Callable[[], Awaitable[str | None]]

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or HTTPS

    async def headers(self) -> dict[str, str]:
        shown = await self.authorization()
        return {"Authorization": shown} if shown else {}


def place_of(asked: Asked) -> Place:
    """Raises ConfigError, StartError."""
    from bastion.runtime.trust import client_context

    if not asked.server:
        return _of_kubeconfig(asked)
    url = urlsplit(asked.server)
    if url.scheme != "https" or not url.hostname:
        raise ConfigError([f"--server: {asked.server}: must be a URL such as https://bastion.example.com"])
    authority = asked.certificate_authority
    try:
        pem = authority.read_bytes() if authority is not None else None
        tls = client_context(pem, verify=not asked.insecure_skip_tls_verify)
    except (OSError, ValueError) as error:
        raise StartError(f"--certificate-authority: {authority}: {error}") from error

    async def authorization() -> str | None:
        token = token_of(asked)
        return f"Bearer {token}" if token else None

    return Place(asked.server.rstrip("/"), tls, authorization)


def token_of(asked: Asked) -> str:
    """Empty for none.  Raises StartError."""
    if asked.token:
        return asked.token
    if asked.token_file is None:
        return os.environ.get(TOKEN, "")
    try:
        return asked.token_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise StartError(f"--token-file: {asked.token_file}: {error}") from error


def _of_kubeconfig(asked: Asked) -> Place:
    from bastion.cluster.kubeconfig import load_access

    access = load_access(asked.kubeconfig, asked.context)
    shown = token_of(asked)

    async def authorization() -> str | None:
        return f"Bearer {shown}" if shown else await access.authorization()

    return Place(access.server.rstrip("/"), access.tls, authorization)
