"""· Which user do the claims of a token name?  The OIDC mapping of kube-apiserver, but stricter.

Signatures are verified elsewhere: claims are checked first, because that is cheap and needs no keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bastion.identity.compact import date, number
from bastion.kube.user import User, authenticated
from bastion.settings.issuer import RESERVED, Issuer

MAX_GROUPS = 500
MAX_NAME = 256  # characters, with the prefix

Claims = Mapping[str, Any]


class InvalidToken(Exception):
    """Why, in words for the log that hold nothing of the token."""


def user_of(claims: Claims, issuer: Issuer, now: float, skew: float) -> User:
    """`now` in seconds since the epoch, `skew` those by which clocks may differ.  Raises InvalidToken."""
    if claims.get("iss") != issuer.url:
        raise InvalidToken("another issuer")
    _check_audience(claims.get("aud"), issuer.audiences)
    _check_times(claims, now, skew)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise InvalidToken("no subject")
    for claim, value in issuer.required_claims:
        if claim not in claims or claims[claim] != value:
            raise InvalidToken(f"the claim {claim} is not as required")
    return authenticated(User(_name(claims, issuer), groups=_groups(claims, issuer)))


def _check_audience(audience: object, accepted: tuple[str, ...]) -> None:
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences):
        raise InvalidToken("the audience is neither a string nor a list of them")
    if set(accepted).isdisjoint(audiences):
        raise InvalidToken("for another audience")


def _check_times(claims: Claims, now: float, skew: float) -> None:
    """`iat` and `nbf` may be left out (RFC 7519, 4.1; kube-apiserver takes such tokens), but not lie ahead;
    `exp` may not.
    """
    expires = number(claims.get("exp"))
    if expires is None:
        raise InvalidToken("exp is missing or not a date")
    if now >= expires + skew:
        raise InvalidToken(f"expired at {date(expires)}")
    for claim, why in (("iat", "issued in the future"), ("nbf", "not yet valid")):
        if claim in claims:
            begins = number(claims[claim])
            if begins is None or now < begins - skew:
                raise InvalidToken(why)


def _name(claims: Claims, issuer: Issuer) -> str:
    claim = issuer.username_claim
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise InvalidToken(f"the claim {claim} is not a string that names a user")
    if claim == "email":
        _check_email(value, claims.get("email_verified", True))
    return _prefixed(issuer.username_prefix, value)


def _check_email(address: str, verified: object) -> None:
    """An address marked as not verified is refused: its owner may be anybody.  One without a mark is
    accepted.
    """
    if verified is not True:  # also not a string, a number or null: kube-apiserver refuses these, too
        raise InvalidToken("the e-mail address is not verified")
    if address.count("@") != 1:  # CVE-2026-40574: a@evil@corp is of either domain, depending on who reads it
        raise InvalidToken("the e-mail address is malformed")


def _groups(claims: Claims, issuer: Issuer) -> tuple[str, ...]:
    value = claims.get(issuer.groups_claim) if issuer.groups_claim else None
    if value is None:
        return ()
    groups = value if isinstance(value, list) else [value]
    if not all(isinstance(group, str) for group in groups):
        raise InvalidToken(f"the claim {issuer.groups_claim} is neither a string nor a list of them")
    if len(groups) > MAX_GROUPS:
        raise InvalidToken("too many groups")
    return tuple(_prefixed(issuer.groups_prefix, group) for group in groups)


def _prefixed(prefix: str, value: str) -> str:
    name = prefix + value
    if name.startswith(RESERVED):
        raise InvalidToken("a name that is reserved for Kubernetes")
    if not value or len(name) > MAX_NAME or not name.isprintable():
        raise InvalidToken("a name that is empty, too long, or has control characters")
    return name
