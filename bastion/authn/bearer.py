"""· Which bearer token does a request carry?

`Authorization` is read as by kube-apiserver (`authentication/request/bearertoken`), but stricter: two of them
are 400, a token is visible ASCII and nothing follows it (CVE-2023-48312).
"""

from __future__ import annotations

import base64
import binascii

from bastion.authn.authenticator import Credentials
from bastion.http.fields import Field
from bastion.kube.errors import unauthorized, unreadable
from bastion.kube.status import StatusError

MAX_TOKEN = 16384  # bytes; the largest service account tokens are a tenth of it

_NONE = Credentials()
_VISIBLE = bytes(range(0x21, 0x7F))
# IANA's registry of HTTP authentication schemes, and two that clouds and old clients use.
_SCHEMES = {
    name.lower().encode(): name
    for name in [
        "Basic",
        "Concealed",
        "Digest",
        "DPoP",
        "GNAP",
        "HOBA",
        "Mutual",
        "Negotiate",
        "NTLM",
        "OAuth",
        "PrivateToken",
        "Token",
        "AWS4-HMAC-SHA256",
        "vapid",
    ]
}


def bearer_credentials(fields: list[Field]) -> Credentials:
    """Raises StatusError: 400 for two credentials, 401 for a malformed bearer token: it is never
    anonymous.
    """
    own: bytes | None = None
    explicit: bytes | None = None
    for lower, _, value in fields:
        if lower == b"authorization":
            if own is not None:
                raise _twice("Authorization")
            own = value
        elif lower == b"x-bastion-authorization":
            if explicit is not None:
                raise _twice("X-Bastion-Authorization")
            explicit = value
    if explicit is not None:
        token = bearer_token(explicit)
        if token is None:
            raise unauthorized(cause=f"X-Bastion-Authorization: {_note(explicit)}")
        return Credentials(token, explicit=True)
    if own is None:
        return _NONE
    token = bearer_token(own)
    return Credentials(token, note=_note(own) if token is None else "")


def proxy_credentials(fields: list[Field]) -> Credentials:
    """What is shown to a proxy: Authorization is for the other end.  Raises StatusError as above."""
    own = _only(fields, b"proxy-authorization", "Proxy-Authorization")
    explicit = _only(fields, b"x-bastion-authorization", "X-Bastion-Authorization")
    if explicit is not None:
        token = bearer_token(explicit)
        if token is None:
            raise unauthorized(cause=f"X-Bastion-Authorization: {_note(explicit)}")
    elif own is None:
        return _NONE
    else:
        token = bearer_token(own)
        if token is None:
            token = _password(own)
        if token is None:
            raise unauthorized(cause=f"Proxy-Authorization: {_note(own)}")
    return Credentials(token, explicit=True)


def _only(fields: list[Field], name: bytes, shown: str) -> bytes | None:
    found = [value for lower, _, value in fields if lower == name]
    if len(found) > 1:
        raise _twice(shown)
    return found[0] if found else None


def _password(value: bytes) -> str | None:
    """The token that is the password of Basic (RFC 7617); the user name is never it: it ends up in logs."""
    scheme, _, encoded = value.partition(b" ")
    if scheme.lower() != b"basic" or len(encoded) > MAX_TOKEN * 2:
        return None
    try:
        _, _, password = base64.b64decode(encoded.strip(), validate=True).partition(b":")
    except binascii.Error:
        return None
    return bearer_token(b"Bearer " + password)


def bearer_token(value: bytes) -> str | None:
    """The token; None where `value` is not `Bearer <token>`.

    Raises StatusError 401 where the token is malformed.
    """
    scheme, _, token = value.partition(b" ")
    if scheme.lower() != b"bearer" or not token or token[:1] == b" ":
        return None
    if len(token) > MAX_TOKEN or token.translate(None, _VISIBLE):
        raise unauthorized(cause="the bearer token is malformed: too long, or not visible ASCII")
    return token.decode("ascii")


def _note(value: bytes) -> str:
    """What the value is instead, for the log.

    Only known schemes are named: a value without one may be the secret itself.
    """
    scheme, separator, _ = value.partition(b" ")
    if scheme.lower() == b"bearer":
        return "scheme Bearer without a token"
    known = _SCHEMES.get(scheme.lower()) if separator else None
    return f"scheme {known}" if known is not None else "no bearer token"


def _twice(name: str) -> StatusError:
    return unreadable(f"more than one {name} header", close=True)
