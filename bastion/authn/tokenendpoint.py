"""What does an issuer give for a code, a refresh token, a device code?  (RFC 6749, 3.2)"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import msgspec

from bastion.authn.issuerhttp import FAILURES, cause_of, client, post
from bastion.authn.metadata import Metadata
from bastion.identity.compact import read_json

SECONDS = 10.0  # for all of it
REVOKING_SECONDS = 2.0
MAX_TOLD = 200  # characters of an error's description

CODE, REFRESH = "authorization_code", "refresh_token"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Tokens(msgspec.Struct, frozen=True):
    """Empty where there was none."""

    id_token: str
    access_token: str = ""
    refresh_token: str = ""

    def __repr__(self) -> str:
        return "Tokens(…)"


class Refused(Exception):
    """The issuer said no.  `error` is the word (RFC 6749, 5.2), `description` its own, of one line."""

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"{error}: {description}" if description else error)
        self.error = error
        self.description = description


class Away(Exception):
    """It did not answer, or not as an issuer does; why is for the log."""


class Client(msgspec.Struct, frozen=True):
    """`secret_file` is read when it is needed; None for a public client."""

    id: str
    secret_file: Path | None = None

    def secret(self) -> str:
        """Empty for a public client.  Raises Away."""
        if self.secret_file is None:
            return ""
        try:
            return self.secret_file.read_text().strip()
        except (OSError, ValueError) as error:
            raise Away(f"the client's secret cannot be read from {self.secret_file}") from error


class Endpoints(msgspec.Struct, frozen=True):
    metadata: Metadata
    tls: ssl.SSLContext
    client: Client

    async def tokens(self, grant: str, **form: str) -> Tokens:
        """Raises Refused, Away."""
        return read_tokens(await self.ask(self.metadata.token_endpoint, {"grant_type": grant, **form}))

    async def revoke(self, token: str) -> None:
        """As far as it can be done."""
        if self.metadata.revocation_endpoint:
            form = {"token": token, "token_type_hint": "refresh_token"}
            try:
                await self.ask(self.metadata.revocation_endpoint, form, REVOKING_SECONDS)
            except (Refused, Away):
                return

    async def ask(self, url: str, form: Mapping[str, str], seconds: float = SECONDS) -> dict[str, Any]:
        """The object that came, as one of this client.  Raises Refused, Away."""
        if not url:
            raise Away("the issuer has no such endpoint")
        more, headers = self._authentication()
        try:
            async with asyncio.timeout(seconds), client(self.tls, seconds) as http:
                status, body = await post(http, url, {**form, **more}, headers)
        except FAILURES as error:
            raise Away(f"{url}: {cause_of(error)}") from error
        return _read(url, status, body)

    def _authentication(self) -> tuple[dict[str, str], dict[str, str]]:
        """(fields of the form, header fields): RFC 6749, 2.3.1."""
        id, secret = self.client.id, self.client.secret()
        if not secret:
            return {"client_id": id}, {}
        if self.metadata.secret_in_body:
            return {"client_id": id, "client_secret": secret}, {}
        pair = base64.b64encode(f"{quote_plus(id)}:{quote_plus(secret)}".encode()).decode()
        return {}, {"Authorization": f"Basic {pair}"}


def _read(url: str, status: int, body: bytes) -> dict[str, Any]:
    try:
        found = read_json(body) if body or status != 200 else {}
    except ValueError:
        found = None
    if isinstance(found, dict) and 400 <= status < 500 and isinstance(error := found.get("error"), str):
        raise Refused(one_line(error), one_line(found.get("error_description")))
    if status != 200 or not isinstance(found, dict):
        raise Away(f"{url} answered {status}, and not as an issuer does")
    return found


def read_tokens(found: Mapping[str, Any]) -> Tokens:
    """Raises Away."""
    kind = found.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise Away("the token endpoint's token_type is not Bearer")
    texts = [found.get(name, "") for name in ("id_token", "access_token", "refresh_token")]
    if not all(isinstance(text, str) for text in texts):
        raise Away("the token endpoint sent a token that is not a string")
    return Tokens(*texts)


def one_line(text: object) -> str:
    """What an issuer says, fit for a page and a log."""
    if not isinstance(text, str):
        return ""
    plain = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return plain if len(plain) <= MAX_TOLD else plain[: MAX_TOLD - 1] + "…"
