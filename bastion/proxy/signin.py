"""Where does a browser go whose user is not known?  To sign in."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

from bastion.http.fields import Field, values
from bastion.http.ownpaths import LOGIN, PREFIX
from bastion.kube.hostname import HostNames, host_name
from bastion.kube.requestinfo import parse_proxied
from bastion.kube.status import StatusError
from bastion.message.cookies import HANDOFF, RETURN, own_cookie, set_own
from bastion.message.ownorigin import DATA
from bastion.proxy.exchange import Exchange
from bastion.signin.handoff import Handoff
from bastion.signin.pairs import PAIR_SECONDS
from bastion.signin.session import SIGN_IN_SECONDS, Sessions

HANDOFF_PATH = "/.bastion/handoff"


class NoSignIn:
    """Credentials are in headers, or nowhere (--sign-in=false)."""

    def turn_away(self, exchange: Exchange, error: StatusError) -> None:
        """Nobody is known to be asking: raises `error`, or answers with the way to sign in."""
        raise error


class SignIn(NoSignIn):
    """`public_url` is where the main host is reached, scheme and authority; `hosts` those of applications,
    None where there are none; `now` in seconds since the epoch; `short_paths` as the server has them.
    """

    def __init__(
        self,
        sessions: Sessions,
        handoff: Handoff,
        hosts: HostNames | None,
        public_url: str,
        now: Callable[[], float],
        *,
        short_paths: bool = True,
    ) -> None:
        self._sessions = sessions
        self._handoff = handoff
        self._hosts = hosts
        self._public_url = public_url
        self._login = LOGIN if short_paths else PREFIX + LOGIN
        self._now = now

    def turn_away(self, exchange: Exchange, error: StatusError) -> None:
        if not is_navigation(exchange):
            raise error
        if self._hosts is not None and self._hosts.covers(exchange.host):
            return self._ask_main_host(exchange)
        # Back to what is proxied only: after signing in nobody wants to see that there is nothing at `/`.
        path = (
            self._sessions.seal_path(host_name(exchange.host), exchange.target, self._now())
            if parse_proxied(exchange.method, exchange.target) is not None
            else None
        )
        return see_other(exchange, self._login, set_own(RETURN, path or b"", SIGN_IN_SECONDS if path else 0))

    def _ask_main_host(self, exchange: Exchange) -> None:
        host, known = host_name(exchange.host), own_cookie(exchange.fields, HANDOFF)
        nonce, request = self._handoff.begin(host, exchange.target, known, self._now())
        query = urlencode({"to": host, "request": request.decode()})
        see_other(
            exchange,
            f"{self._public_url}{HANDOFF_PATH}?{query}".encode(),
            set_own(HANDOFF, nonce, PAIR_SECONDS),
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
