"""· The content of a JWT: a strict reader of the compact form (RFC 7515, 7.1); it verifies nothing.

Strict, because attacks use readers that differ: one spelling per token (no padding, no spare bits), each name
once, exactly three parts.
"""

from __future__ import annotations

import base64
import datetime
import json
from typing import Any, NoReturn

import msgspec

MAX_HEADER = 8192  # bytes of the encoded header


class CompactToken(msgspec.Struct, frozen=True):
    """`header` is None where it cannot be read; `signed` is what the signature is of."""

    header: dict[str, Any] | None
    claims: dict[str, Any]
    signed: bytes
    signature: bytes | None

    def __repr__(self) -> str:
        return "CompactToken(…)"  # a secret is in no log

    @property
    def issuer(self) -> str | None:
        """The issuer that the token names, unverified; None where it names none."""
        issuer = self.claims.get("iss")
        return issuer if isinstance(issuer, str) else None


def read_compact(token: str) -> CompactToken | None:
    """None where it is not a JWT, or its claims cannot be read."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    header, payload, signature = parts
    claims = _read_object(payload)
    if claims is None:
        return None
    read = _read_object(header) if len(header) <= MAX_HEADER else None
    return CompactToken(read, claims, f"{header}.{payload}".encode(), decoded(signature))


def expiry(token: str) -> float | None:
    """The expiry in a JWT (seconds since the epoch), unverified; None where it has none.

    A date before the epoch has passed: it must not read as no expiry.
    """
    compact = read_compact(token)
    exp = compact.claims.get("exp") if compact is not None else None
    return 0.0 if isinstance(exp, (int, float)) and exp < 0 else number(exp)


def date(seconds: float) -> str:
    """RFC 3339, in UTC; a year beyond the calendar's is written as the number."""
    try:
        return datetime.datetime.fromtimestamp(int(seconds), datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:.0f}"


def number(value: object) -> float | None:
    """A NumericDate (RFC 7519, 2); None for a string, a bool, an infinite or a negative number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1 << 53:
        return None
    return float(value)


def decoded(segment: str) -> bytes | None:
    """The bytes of unpadded base64url (RFC 7515, 2); None where it is not the only spelling."""
    try:
        raw = base64.urlsafe_b64decode(segment + "=" * (-len(segment) % 4))
    except ValueError:
        return None
    return raw if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == segment else None


def read_json(data: bytes) -> Any:
    """Raises ValueError for what is not JSON, or is ambiguous."""
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
        raise ValueError("a name is repeated")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
