"""What a page says instead, where it cannot be shown: to a person a page, to a program a Status."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request, Response

from bastion.kube.hostname import host_name
from bastion.kube.status import StatusError
from bastion.message.cookies import RETURN
from bastion.message.ownorigin import status_fields
from bastion.proxy.exchange import Exchange
from bastion.proxy.signin import is_navigation
from bastion.signin.session import SIGN_IN_SECONDS, Sessions
from bastion.web.guarded import headers_of
from bastion.web.reader import exchange_of, record_of
from bastion.web.visit import see_other, with_cookie


class Refusals:
    """`sessions` None: people cannot sign in; `root` is in front of the pages' paths."""

    def __init__(self, sessions: Sessions | None, root: str, now: Callable[[], float]) -> None:
        self._sessions = sessions
        self._root = root
        self._now = now

    def answer(self, request: Request, error: StatusError) -> Response:
        exchange, record = exchange_of(request), record_of(request)
        record.fail(error)
        if error.code == 401 and self._sessions is not None and is_navigation(exchange):
            return self._to_sign_in(exchange, self._sessions)
        return status_response(exchange, error)

    def _to_sign_in(self, exchange: Exchange, sessions: Sessions) -> Response:
        """And back here: where one is going is sealed in a cookie."""
        path = sessions.seal_path(host_name(exchange.host), exchange.target, self._now())
        response = see_other(f"{self._root}/login")
        return with_cookie(response, RETURN, path or b"", SIGN_IN_SECONDS if path else 0)


def status_response(exchange: Exchange, error: StatusError) -> Response:
    headers = headers_of(status_fields(error, exchange.all_fields()))
    return Response(error.body(), error.code, headers)
