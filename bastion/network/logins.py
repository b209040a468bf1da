"""· Does a login hold for the connection it came over, or for its request alone?

After NTLM or Negotiate (RFC 4559) a server takes every later request on the connection for the same user's,
so such a connection is never used for another request.  A scheme that is not listed here is treated the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from bastion.http.fields import Field

# Schemes whose credentials are sent with every request (IANA's registry, and those of the clouds).
PER_REQUEST = frozenset(
    (
        b"basic",
        b"bearer",
        b"digest",
        b"dpop",
        b"gnap",
        b"hoba",
        b"hmac",
        b"mutual",
        b"oauth",
        b"privatetoken",
        b"scram-sha-1",
        b"scram-sha-256",
        b"signature",
        b"token",
        b"apikey",
        b"api-key",
        b"vapid",
        b"aws4-hmac-sha256",
        b"sharedkey",
    )
)
CHALLENGES = frozenset((b"www-authenticate", b"proxy-authenticate"))
# a string that is not closed extends to the end, so that each byte is read once
_QUOTED = re.compile(rb'"(?:[^"\\]++|\\.?)*+("?)', re.DOTALL)
_CREDENTIALS = frozenset((b"authorization", b"proxy-authorization"))


def binds_request(fields: Iterable[Field]) -> bool:
    """Whether an Authorization among a request's fields may log its connection in."""
    return any(lower in _CREDENTIALS and _first_word(value) not in PER_REQUEST for lower, _, value in fields)


def binds_answer(challenges: bytes) -> bool:
    """Whether one of the challenges (a WWW-Authenticate or Proxy-Authenticate field's value) is of such a
    scheme.

    Each scheme stands at the beginning or behind a comma, and so do parameters (RFC 9110, 11.6.1).
    """
    for element in _QUOTED.sub(_unquoted, challenges).split(b","):
        word = _first_word(element)
        if word and word not in PER_REQUEST and not _is_parameter(element):
            return True
    return False


def _unquoted(quoted: re.Match[bytes]) -> bytes:
    """Nothing; but a string that is not closed may hide a scheme, which `?` stands for."""
    return b"" if quoted[1] else b",?"


def _first_word(text: bytes) -> bytes:
    words = text.split(None, 1)
    return words[0].lower() if words else b""


def _is_parameter(element: bytes) -> bool:
    """`name=value`, blanks around the sign allowed."""
    name, sign, _ = element.partition(b"=")
    return bool(sign) and len(name.split()) == 1
