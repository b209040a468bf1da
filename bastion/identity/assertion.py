"""· What does the bastion assert to a backend about a user?  A short-lived JWT, for one service."""

from __future__ import annotations

import json
from typing import Any

from bastion.identity.signing import SigningKey, encoded
from bastion.kube.user import User


def assertion(key: SigningKey, user: User, *, issuer: str, audience: str, now: float, lifetime: float) -> str:
    """In the compact form.  `now` in seconds since the epoch."""
    header = {"alg": key.alg, "kid": key.kid, "typ": "JWT"}
    signed = f"{_part(header)}.{_part(_claims(user, issuer, audience, int(now), int(lifetime)))}"
    return f"{signed}.{encoded(key.sign(signed.encode()))}"


def _claims(user: User, issuer: str, audience: str, now: int, lifetime: int) -> dict[str, Any]:
    claims: dict[str, Any] = {
        "iss": issuer,
        "sub": user.name,
        "aud": audience,
        "iat": now,
        "nbf": now,
        "exp": now + lifetime,
        "groups": user.groups,
    }
    if user.uid:
        claims["uid"] = user.uid
    if user.extra:
        claims["extra"] = {name: list(values) for name, values in user.extra}
    return claims


def _part(value: dict[str, Any]) -> str:
    return encoded(json.dumps(value, separators=(",", ":")).encode())
