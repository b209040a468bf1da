"""· What stands in a JWT?  A strict reader of the compact form (RFC 7515, 7.1); it verifies nothing.

Strict because readers that differ are an attack: one spelling per token (no padding, no spare bits), each
name once, exactly three parts.
"""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any, NoReturn

import msgspec

MAX_HEADER = 8192  # bytes of the encoded header


class Compact(msgspec.Struct, frozen=True):
    """`header` is None where it cannot be read; `signed` is what the signature is of."""

    header: dict[str, Any] | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes | None

    def __repr__(self) -> str:
        return "Compact(…)"  # a secret is in no log

    @property
    def issuer(self) -> str | None:
        """Who says to have issued it, unverified; None where nobody does."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None


def read_compact(token: str) -> Compact | None:
    """None where it is no JWT, or one whose claims cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, payload, signature = parts
    claims = _read_object(payload)
    if claims is None:
        return None
    read = _read_object(header) if len(header) <= MAX_HEADER else None
    return Compact(read, claims, f"{header}.{payload}".encode(), decoded(signature))


def expiry(token: str) -> float | None:
    """When a JWT says that it expires (seconds since the epoch), unverified; None where it does not.

    A date before the epoch is long over: it must not read as no date at all.
    """
    compact = read_compact(token)
    exp = compact.claims.get("exp") if compact is not None else None
    return 0.0 if isinstance(exp, (int, float)) and exp < 0 else number(exp)


def date(seconds: float) -> str:
    """RFC 3339, in UTC; a year beyond what a calendar has is told as the number that it is."""
    try:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def number(value: object) -> float | None:
    """A NumericDate (RFC 7519, 2): None for whatever is none.

    A date that is a string, a bool, or infinite is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 53:
        return None
    return float(value)


def decoded(segment: str) -> bytes | None:
    """The bytes of unpadded base64url (RFC 7515, 2); None where there is another way to write them."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return None
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == segment else None


def read_json(data: bytes) -> Any:
    """Raises ValueError for what is no JSON, or JSON with more than one reading."""
    try:
        return json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _read_object(segment: str) -> dict[str, Any] | None:
    data = decoded(segment)
    try:
        value = read_json(data) if data is not None else None
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")
