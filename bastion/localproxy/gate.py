"""Does a request show the token that was printed at the start?"""

from __future__ import annotations

import hmac

from bastion.localproxy.answer import Refusal
from bastion.localproxy.request import COOKIE, TOKEN_FIELD
from bastion.localproxy.spelling import escaped
from bastion.message.cookies import own_cookie
from bastion.proxy.exchange import Exchange

PARAMETER = b"bastion-token="
_BEARER = b"Bearer "


def admit_all(exchange: Exchange) -> bool:
    return False


class Gate:
    """Taken from a cookie, `X-Bastion-Token`, or `Authorization: Bearer`; the printed URL sets the cookie."""

    def __init__(self, token: str, *, secure: bool, required: bool = True) -> None:
        """`required`: who does not show it is refused."""
        self._token = token.encode()
        self._required = required
        self._secure = secure

    def admit(self, exchange: Exchange) -> bool:
        """Whether the client's Authorization was this token, and is for nobody else.  Raises Refusal."""
        if PARAMETER in exchange.target:  # also where the cookie is there: the token goes no further
            self._open(exchange)
        if self._is_token(own_cookie(exchange.fields, COOKIE)):
            return False
        for lower, _, value in exchange.fields:
            if lower == TOKEN_FIELD and self._is_token(value):
                return False
            if lower == b"authorization" and value[:7] == _BEARER and self._is_token(value[7:].strip()):
                return True
        if not self._required:
            return False
        raise Refusal(
            401,
            "Unauthorized: open the URL that was printed at the start, or send its token as a"
            " Bearer token or in"
            " X-Bastion-Token",
        )

    def _open(self, exchange: Exchange) -> None:
        """Answers the printed URL: with the cookie, and without the token in the address.  Raises Refusal."""
        path, _, query = exchange.target.partition(b"?")
        parts = query.split(b"&")
        given = [part for part in parts if part.startswith(PARAMETER)]
        if len(given) != 1 or not self._is_token(given[0][len(PARAMETER) :]):
            return
        rest = b"&".join(part for part in parts if part not in given)
        cookie = b"%b=%b; Path=/; HttpOnly; SameSite=Strict%b" % (
            COOKIE,
            self._token,
            b"; Secure" if self._secure else b"",
        )
        # a path that begins with two slashes would be another host's
        location = b"/" + escaped(path.lstrip(b"/")) + (b"?" + rest if rest else b"")
        raise Refusal(
            303,
            "See Other",
            (
                (b"location", b"Location", location),
                (b"set-cookie", b"Set-Cookie", cookie),
                (b"cache-control", b"Cache-Control", b"no-store"),
                (b"referrer-policy", b"Referrer-Policy", b"no-referrer"),
            ),
        )

    def _is_token(self, text: bytes) -> bool:
        return hmac.compare_digest(text, self._token)
