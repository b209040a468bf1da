"""· Whose is a token with these claims, by the rules of its issuer?  kube-apiserver's OIDC mapping, stricter
(spec A-4).

Nothing here looks at a signature: claims are checked first, because that is cheap, and fetches nothing.
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


class BadToken(Exception):
    """Why, in words for the log that hold nothing of the token."""


def user_of(claims: Claims, issuer: Issuer, now: float, skew: float) -> User:
    """`now` in seconds since the epoch, `skew` those by which clocks may differ.  Raises BadToken."""
    if claims.get("iss") != issuer.url:
        raise BadToken("another issuer")
    _check_audience(claims.get("aud"), issuer.audiences)
    _check_times(claims, now, skew)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise BadToken("no subject")
    for claim, value in issuer.required_claims:
        if claim not in claims or claims[claim] != value:
            raise BadToken(f"the claim {claim} is not as required")
    return authenticated(User(_name(claims, issuer), groups=_groups(claims, issuer)))


def _check_audience(audience: object, accepted: tuple[str, ...]) -> None:
    audiences = audience if isinstance(audience, list) else [audience]
    if not all(isinstance(one, str) for one in audiences):
        raise BadToken("the audience is neither a string nor a list of them")
    if set(accepted).isdisjoint(audiences):
        raise BadToken("for another audience")


def _check_times(claims: Claims, now: float, skew: float) -> None:
    """`iat` and `nbf` may be left out (RFC 7519, 4.1; kube-apiserver takes such tokens), but not lie ahead;
    `exp` may not.
    """
    expires = number(claims.get("exp"))
    if expires is None:
        raise BadToken("exp is missing or not a date")
    if now >= expires + skew:
        raise BadToken(f"expired at {date(expires)}")
    for claim, why in (("iat", "issued in the future"), ("nbf", "not yet valid")):
        if claim in claims:
            begins = number(claims[claim])
            if begins is None or now < begins - skew:
                raise BadToken(why)


def _name(claims: Claims, issuer: Issuer) -> str:
    claim = issuer.username_claim
    value = claims.get(claim)
    if not isinstance(value, str) or not value:
        raise BadToken(f"the claim {claim} is not a string that names a user")
    if claim == "email":
        _check_email(value, claims.get("email_verified", True))
    return _prefixed(issuer.username_prefix, value)


def _check_email(address: str, verified: object) -> None:
    """An address that the issuer says it did not verify is whatever somebody typed in; one of which it says
    nothing is believed.
    """
    if verified is not True:  # nor a string, a number or null: kube-apiserver refuses these as well
        raise BadToken("the e-mail address is not verified")
    if address.count("@") != 1:  # CVE-2026-40574: a@evil@corp is of either domain, depending on who reads it
        raise BadToken("the e-mail address is malformed")


def _groups(claims: Claims, issuer: Issuer) -> tuple[str, ...]:
    value = claims.get(issuer.groups_claim) if issuer.groups_claim else None
    if value is None:
        return ()
    groups = value if isinstance(value, list) else [value]
    if not all(isinstance(group, str) for group in groups):
        raise BadToken(f"the claim {issuer.groups_claim} is neither a string nor a list of them")
    if len(groups) > MAX_GROUPS:
        raise BadToken("too many groups")
    return tuple(_prefixed(issuer.groups_prefix, group) for group in groups)


def _prefixed(prefix: str, value: str) -> str:
    name = prefix + value
    if name.startswith(RESERVED):
        raise BadToken("a name that is reserved for Kubernetes")
    if not value or len(name) > MAX_NAME or not name.isprintable():
        raise BadToken("a name that is empty, too long, or has control characters")
    return name
