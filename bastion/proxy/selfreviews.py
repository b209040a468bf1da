"""What kubectl needs of a server before anything else, where calls of the API are not passed on.

Discovery, `auth whoami`, `auth can-i` and `version`: of the little that this program serves, the answers are
the cluster's own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from bastion.authn.authenticator import CredentialsRefused
from bastion.authz.authorizer import Authorizer
from bastion.cluster.errors import ApiError
from bastion.http.fields import first_value
from bastion.kube.errors import error_of, method_not_allowed, unreadable
from bastion.kube.errorwords import API_SERVER_AWAY
from bastion.kube.requestinfo import api_call
from bastion.kube.review import OWN_REVIEWS
from bastion.kube.selfreview import KINDS, answered, asked_about, documents, read_review, who
from bastion.kube.status import CONTENT_TYPE
from bastion.kube.user import User
from bastion.message.ownorigin import data_fields
from bastion.observe.record import Record
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.exchange import Exchange
from bastion.proxy.guard import Guard, asker_of
from bastion.proxy.ownanswer import OwnAnswers

VERSION = b"/version"
MAX_REVIEW = 65536  # bytes
# for which the cluster's version is remembered, or that it could not be read
KEPT_SECONDS, FAILED_SECONDS = 60.0, 1.0

_DOCUMENTS = documents()
PATHS = frozenset((VERSION, *_DOCUMENTS, *(path.encode() for path in KINDS)))


class SelfReviews:
    """`version` reads the cluster's; `now` is a clock in seconds."""

    def __init__(
        self,
        *,
        credentials: CredentialReader,
        guard: Guard,
        authorizer: Authorizer,
        answers: OwnAnswers,
        version: Callable[[], Awaitable[bytes]],
        now: Callable[[], float],
    ) -> None:
        self._credentials = credentials
        self._guard = guard
        self._authorizer = authorizer
        self._answers = answers
        self._read_version = version
        self._now = now
        self._version: tuple[float, asyncio.Task[bytes]] | None = None

    async def serve(self, exchange: Exchange, path: bytes) -> None:
        async def answer(client: str, record: Record) -> None:
            code, body = await self._answer(exchange, path, client, record)
            _send(exchange, code, body)

        await self._answers.serve(exchange, path, answer, api_call(exchange.method, exchange.target))

    async def _answer(
        self, exchange: Exchange, path: bytes, client: str, record: Record
    ) -> tuple[int, bytes]:
        """Raises StatusError."""
        allowed = ("POST",) if path.decode() in KINDS else ("GET", "HEAD")
        if path == VERSION:
            if record.trail is not None:
                await record.trail.received()
            _check_method(exchange, *allowed)
            return 200, await self._cluster_version()
        record.user = record.acting_as = user = await self._user(exchange, client, record)
        if record.trail is not None:
            await record.trail.received()
        _check_method(exchange, *allowed)
        if path in _DOCUMENTS:
            return 200, _DOCUMENTS[path]
        review = read_review(
            path.decode(),
            await _body(exchange),
            first_value(exchange.all_fields(), b"content-type").decode("latin-1"),
        )
        if path.decode() == OWN_REVIEWS:
            return 201, answered(review, who(user))
        decision = await self._authorizer.authorize(user, asked_about(review), asker_of(user, client))
        reason = {"reason": decision.reason} if decision.reason else {}
        return 201, answered(review, {"allowed": decision.allowed, **reason})

    async def _user(self, exchange: Exchange, client: str, record: Record) -> User:
        """Raises StatusError."""
        if any(lower.startswith(b"impersonate-") for lower, _, _ in exchange.fields):
            raise unreadable("a review of oneself cannot be asked for as somebody else here")
        credentials = self._credentials.read(exchange, None, None)
        try:
            user = await self._guard.identify(credentials, client, exchange)
        except CredentialsRefused as refused:
            record.cause, user = refused.cause, None
        if user is None:
            raise self._guard.rejected(credentials, record.cause or credentials.unknown)
        return user

    async def _cluster_version(self) -> bytes:
        """Anybody may ask, so the cluster is asked once a minute.  Raises StatusError."""
        known = self._version
        failed = known is not None and known[1].done() and known[1].exception() is not None
        if known is None or self._now() - known[0] >= (FAILED_SECONDS if failed else KEPT_SECONDS):
            known = self._version = (self._now(), asyncio.ensure_future(self._read_version()))
        try:
            return await asyncio.shield(known[1])
        except ApiError as error:
            raise error_of(
                API_SERVER_AWAY, "the API server's version cannot be read", retry_after=1
            ) from error


def _check_method(exchange: Exchange, *allowed: str) -> None:
    if exchange.method not in allowed:
        raise method_not_allowed(*allowed, method=exchange.method)


async def _body(exchange: Exchange) -> bytes:
    """Raises StatusError."""
    body = bytearray()
    while exchange.body is not None and (piece := await exchange.body.read()):
        body += piece
        if len(body) > MAX_REVIEW:
            raise unreadable(f"a review has at most {MAX_REVIEW} bytes", code=413, close=True)
    return bytes(body)


def _send(exchange: Exchange, code: int, body: bytes) -> None:
    fields = [
        (b"content-type", b"Content-Type", CONTENT_TYPE),
        (b"cache-control", b"Cache-Control", b"no-cache, private"),
        *data_fields(exchange.fields),
    ]
    exchange.start(code, b"", fields, len(body), bodiless=exchange.method == "HEAD")
    exchange.finish(body if exchange.method != "HEAD" else b"")
