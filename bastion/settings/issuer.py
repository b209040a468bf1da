"""· What is an OpenID Connect issuer, and which values are allowed for it?"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

SIGNING_ALGORITHMS = ("RS256", "RS384", "RS512", "ES256", "ES384", "ES512")
RESERVED = "system:"  # the prefix of Kubernetes' own users and groups


@dataclass(frozen=True, slots=True)
class Issuer:
    """An OpenID Connect issuer, and how the claims of its tokens name a user.

    `certificate_authority` in PEM, empty for the system's.

    `groups_claim` empty: no groups.
    """

    url: str
    audiences: tuple[str, ...]
    username_prefix: str
    username_claim: str = "sub"
    groups_claim: str = ""
    groups_prefix: str = ""
    required_claims: tuple[tuple[str, str], ...] = ()
    certificate_authority: str = ""
    algorithms: frozenset[str] = frozenset(SIGNING_ALGORITHMS)


def authority_text(file: Path) -> str:
    """Raises OSError; ValueError also where there is none: an authority that is empty would mean all that the
    system trusts.
    """
    text = file.read_text()
    if not text.strip():
        raise ValueError("empty")
    return text


def wrong_url(url: str) -> str:
    """Empty where nothing is."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return f"{url!r} is not a URL"
    if not host or parts.username is not None or "?" in url or "#" in url:
        return f"{url!r} is not scheme, host and path alone"
    if parts.scheme != "https" and not (parts.scheme == "http" and is_loopback(host)):
        return f"{url!r} is not https"
    return ""


def is_loopback(host: str) -> bool:
    """Plain text to it stays on this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def wrong_prefix(prefix: str, kind: str) -> str:
    if kind == "username" and prefix == "-":
        return "a prefix is mandatory here, `-` (none) is not allowed"
    return f"{prefix!r} is reserved for Kubernetes" if prefix.startswith(RESERVED) else ""
