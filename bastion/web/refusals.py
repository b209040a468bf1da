"""What a page says instead, where it cannot be shown: to a person a page, to a program a Status."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response

from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.hostname import host_name
from bastion.kube.status import StatusError
from bastion.message.cookies import RETURN
from bastion.message.ownorigin import own_fields, status_fields
from bastion.message.person import facts_of, is_person
from bastion.proxy.exchange import Exchange
from bastion.proxy.signin import is_navigation
from bastion.signin.session import SIGN_IN_SECONDS, Sessions
from bastion.web.errorpage import Pages
from bastion.web.guarded import headers_of
from bastion.web.reader import exchange_of, record_of
from bastion.web.visit import see_other, with_cookie


class Refusals:
    """`sessions` None: people cannot sign in; `root` is in front of the pages' paths; `pages` are for people
    who are not sent to sign in.
    """

    def __init__(self, sessions: Sessions | None, root: str, pages: Pages, now: Callable[[], float]) -> None:
        self._sessions = sessions
        self._pages = pages
        self._root = root
        self._now = now

    def answer(
        self, request: Request, error: StatusError, away: Callable[[Request], Response] | None = None
    ) -> Response:
        """`away`: what a person sees instead where the API server does not answer."""
        exchange, record = exchange_of(request), record_of(request)
        record.fail(error)
        error.user = record.told
        if error.code == 401 and self._sessions is not None and is_navigation(exchange):
            return self._to_sign_in(exchange, self._sessions)
        if is_person(exchange.method, exchange.fields):
            if away is not None and error.word is API_SERVER_AWAY:
                response = away(request)
                response.headers.update(headers_of(own_fields(error)))
                return response
            page = self._pages(facts_of(error, exchange))
            return Response(page.body, error.code, headers_of((*page.fields, *own_fields(error))))
        return status_response(exchange, error)

    def _to_sign_in(self, exchange: Exchange, sessions: Sessions) -> Response:
        """And back here: where one is going is sealed in a cookie."""
        path = sessions.seal_path(host_name(exchange.host), exchange.target, self._now())
        response = see_other(f"{self._root}/login")
        return with_cookie(response, RETURN, path or b"", SIGN_IN_SECONDS if path else 0)


def status_response(exchange: Exchange, error: StatusError) -> Response:
    headers = headers_of(status_fields(error, exchange.all_fields()))
    return Response(error.body(), error.code, headers)
