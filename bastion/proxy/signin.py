"""Who comes with a browser?

A cookie of ours is a credential; who visits a page without one is sent to sign in.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from bastion.authn.authenticator import Credentials
from bastion.authn.bearer import bearer_credentials
from bastion.authn.subprotocol import request_credentials
from bastion.http.fields import Field, values
from bastion.kube.hostname import Application, host_name
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import unauthorized
from bastion.message.cookies import APPLICATION, HANDOFF, RETURN, SESSION, own_cookie, set_own
from bastion.message.ownorigin import DATA, RULES, Kind
from bastion.message.upgrade import Asked
from bastion.proxy.exchange import Exchange
from bastion.proxy.origin import Origins
from bastion.signin.crosssite import credential_counts, provenance
from bastion.signin.handoff import Handoff
from bastion.signin.pairs import PAIR_SECONDS
from bastion.signin.session import SIGN_IN_SECONDS, Sessions

LOGIN = "/login"
HANDOFF_PATH = "/.bastion/handoff"


class NoSignIn:
    """Credentials are in headers, or nowhere (--sign-in=false)."""

    def credentials(
        self, exchange: Exchange, asked: Asked | None, application: Application | None
    ) -> Credentials | None:
        """Those of a cookie, None where it has none that counts; `asked` is the upgrade that is wanted.

        Raises StatusError 400 or 401.
        """
        return None

    def turn_away(
        self, exchange: Exchange, info: RequestInfo | None, application: Application | None
    ) -> None:
        """Nobody is known to be asking: raises StatusError 401, or answers with the way to sign in."""
        raise unauthorized()


class SignIn(NoSignIn):
    """`public_url` is where the main host is reached, scheme and authority; `now` in seconds since the
    epoch.
    """

    def __init__(
        self,
        sessions: Sessions,
        handoff: Handoff,
        origins: Origins,
        public_url: str,
        now: Callable[[], float],
    ) -> None:
        self._sessions = sessions
        self._handoff = handoff
        self._origins = origins
        self._public_url = public_url
        self._now = now

    def credentials(
        self, exchange: Exchange, asked: Asked | None, application: Application | None
    ) -> Credentials | None:
        """What is in headers comes first; but on an application's host Authorization may be its own: its
        scripts log in, too.
        """
        kind = SESSION if application is None else APPLICATION
        value = own_cookie(exchange.fields, kind)
        if not value:
            return None
        if (
            _has_token(exchange, asked)
            if application is None
            else values(exchange.fields, b"x-bastion-authorization")
        ):
            return None
        seen = self._origins.seen(exchange.client, exchange.scheme, exchange.host, exchange.fields)
        said = provenance(exchange.method, exchange.fields, *seen, upgrade=asked is not None)
        if not credential_counts(RULES[Kind.COOKIE].cross_site, said):
            return None
        session = self._sessions.open(kind, host_name(exchange.host), value, self._now())
        return (
            None
            if session is None
            else Credentials(session.token, explicit=application is not None, session=True)
        )

    def turn_away(
        self, exchange: Exchange, info: RequestInfo | None, application: Application | None
    ) -> None:
        if not is_navigation(exchange) or bearer_credentials(exchange.fields).token is not None:
            raise unauthorized()
        if application is not None:
            return self._ask_main_host(exchange)
        # Back to what is proxied only: after signing in nobody wants to see that there is nothing at `/`.
        path = (
            self._sessions.seal_path(host_name(exchange.host), exchange.target, self._now())
            if info is not None
            else None
        )
        return see_other(
            exchange, LOGIN.encode(), set_own(RETURN, path or b"", SIGN_IN_SECONDS if path else 0)
        )

    def _ask_main_host(self, exchange: Exchange) -> None:
        host, known = host_name(exchange.host), own_cookie(exchange.fields, HANDOFF)
        nonce, request = self._handoff.begin(host, exchange.target, known, self._now())
        query = urlencode({"to": host, "request": request.decode()})
        see_other(
            exchange,
            f"{self._public_url}{HANDOFF_PATH}?{query}".encode(),
            set_own(HANDOFF, nonce, PAIR_SECONDS),
        )


def _has_token(exchange: Exchange, asked: Asked | None) -> bool:
    """Raises StatusError."""
    return (
        request_credentials(exchange.fields, websocket=asked is not None and asked.websocket).token
        is not None
    )


def is_navigation(exchange: Exchange) -> bool:
    """A person who opens a page, as far as can be told: everything else is a program, which wants its 401."""
    if exchange.method != "GET" or exchange.upgradable:
        return False
    if any(mode != b"navigate" for mode in values(exchange.fields, b"sec-fetch-mode")):
        return False
    return any(b"text/html" in value.lower() for value in values(exchange.fields, b"accept"))


def see_other(exchange: Exchange, location: bytes, cookie: bytes) -> None:
    fields: list[Field] = [
        (b"location", b"Location", location),
        (b"set-cookie", b"Set-Cookie", cookie),
        (b"cache-control", b"Cache-Control", b"no-store"),
        *DATA,
    ]
    exchange.start(303, b"See Other", fields, 0)
    exchange.finish()
