"""The bastion that a command asks: its URL, its TLS, and the token, which is read anew for each use."""

from __future__ import annotations

import os
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bastion.runtime.errors import ConfigError, StartError
from bastion.settings.commands import TOKEN
from bastion.settings.people import Asked

if TYPE_CHECKING:
    from bastion.runtime.certificates import CertificatePair

HTTPS = 443


@dataclass(frozen=True, slots=True)
class Place:
    """`authorization`: the value of the header field, None without credentials; raises
    OSError, StartError.

    `shown`: the certificate that `tls` shows.  `impersonation`: header fields of every request.
    """

    url: str
    tls: ssl.SSLContext
    authorization: Callable[[], Awaitable[str | None]]
    shown: CertificatePair | None = None
    impersonation: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or HTTPS

    async def headers(self) -> list[tuple[str, str]]:
        shown = await self.authorization()
        assumed = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.impersonation]
        return [("Authorization", shown), *assumed] if shown else assumed


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
    shown = _certificate(asked, tls)

    async def authorization() -> str | None:
        token = token_of(asked)
        return f"Bearer {token}" if token else None

    return Place(asked.server.rstrip("/"), tls, authorization, shown)


def _certificate(asked: Asked, tls: ssl.SSLContext) -> CertificatePair | None:
    """Makes `tls` show it.  Raises ConfigError, StartError."""
    if asked.client_certificate is None and asked.client_key is None:
        return None
    if asked.client_certificate is None or asked.client_key is None:
        raise ConfigError(["--client-certificate and --client-key belong together"])
    from bastion.runtime.certificates import CertificatePair
    from bastion.runtime.trust import show

    try:
        pair = CertificatePair(asked.client_certificate.read_bytes(), asked.client_key.read_bytes())
        show(tls, pair.certificate, pair.key)
    except (OSError, ValueError) as error:
        raise StartError(f"--client-certificate: {asked.client_certificate}: {error}") from error
    return pair


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

    return Place(
        access.server.rstrip("/"), access.tls, authorization, access.trust.shown, access.impersonation
    )
