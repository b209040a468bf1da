"""Is a request for the bastion itself, or for the gateway?

Decided on the raw path: nothing is decoded or cleaned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import TYPE_CHECKING, Any

from bastion.http.authority import is_authority
from bastion.http.fields import first_value
from bastion.http.ownpaths import (
    METRICS,
    PORTAL,
    PREFIX,
    is_asset,
    is_page,
    is_plain,
    is_reserved,
    is_sign_in,
    short_form,
)
from bastion.kube.errors import overloaded, unreadable
from bastion.kube.hostname import HostNames
from bastion.kube.status import StatusError
from bastion.observe.observer import Observer
from bastion.observe.record import Record
from bastion.proxy.exchange import Exchange
from bastion.proxy.gateway import Gateway
from bastion.proxy.selfreviews import PATHS as SELF_REVIEWS
from bastion.proxy.selfreviews import SelfReviews
from bastion.proxy.signin import is_navigation
from bastion.server.asgi import Application, AsgiExchange, Receive, Scope, Send, run_asgi

if TYPE_CHECKING:
    from bastion.proxy.renewal import Renewals  # it brings the libraries of issuers

MAX_URI = 8192  # bytes of an own path with its query
MAX_PARAMETERS = 64


class App:
    """Serves exchanges of our own server, and is an ASGI application for any other server (without
    upgrades).
    """

    def __init__(
        self,
        gateway: Gateway,
        web: Application,
        crowded: Callable[[], bool],
        hosts: HostNames | None = None,
        pages: Observer | None = None,
        admits: Callable[[Exchange, bytes], Awaitable[Record | None]] | None = None,
        *,
        short_paths: bool = True,
        self_reviews: SelfReviews | None = None,
        handlers: Mapping[bytes, Callable[[Exchange], Awaitable[None]]] | None = None,
        others: Observer | None = None,
        sign_in: bool = False,
        renewals: Renewals | None = None,
    ) -> None:
        """`crowded`: only the bastion's own paths are answered, so that its health stays visible.

        `hosts`: the application hosts.

        `pages` observes what people do on our pages; None where there are none.  `others` observes health and
        metrics requests, which are audited and leave no other record.  `sign_in`: people can sign in.
        `admits`: the record of a client that may read /metrics, None where it may not: then it responds
        itself.  None where every client may.

        `renewals` of sessions that began at an issuer; None where none do.

        `short_paths`: `/readyz` is the bastion's own, as `/.bastion/readyz` is.  `self_reviews`: what kubectl
        asks first; None where calls of the API are passed on.  `handlers` of further own paths, by the short
        form.
        """
        self._gateway = gateway
        self._web = web
        self._crowded = crowded
        self._hosts = hosts
        self._pages = pages
        self._sign_in = sign_in
        self._others = others or Observer(())
        self._admits = admits
        self._short_paths = short_paths
        self._self_reviews = self_reviews
        self._renewals = renewals
        self._handlers = {
            path: handler for short, handler in (handlers or {}).items() for path in (short, PREFIX + short)
        }

    async def serve(self, exchange: Exchange) -> None:
        path, _, query = exchange.target.partition(b"?")
        own = self._own(path, exchange)
        if self._renewals is not None:
            await _renew(self._renewals, exchange, own)
        if own is not None:
            await self._answer(exchange, own, path, query)
        elif self._crowded():
            self._gateway.refuse(exchange, crowded())
        elif self._reviews(path, exchange) and self._self_reviews is not None:
            await self._self_reviews.serve(exchange, path)
        else:
            await self._gateway.serve(exchange)

    def left(self, exchange: Exchange) -> None:
        """Records a request whose client left before it was served."""
        if self._own(exchange.target.partition(b"?")[0], exchange) is None:
            self._gateway.left(exchange)

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        self._gateway.refuse(exchange, error)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _lifespan(scope, receive, send)
            return
        exchange = AsgiExchange(scope, receive, send)
        if not is_authority(exchange.host):  # the other server's parser may take more
            self._gateway.refuse(
                exchange,
                unreadable("malformed request: Host must be given once, as host or host:port"),
            )
            await exchange.drain()
            return
        path, _, query = exchange.target.partition(b"?")
        own = self._own(path, exchange)
        if self._renewals is not None:
            await _renew(self._renewals, exchange, own)
        if own is not None:
            await self._answer(exchange, own, path, query)
            await exchange.drain()
            return
        if self._reviews(path, exchange) and self._self_reviews is not None:
            serving = self._self_reviews.serve(exchange, path)
        else:
            serving = self._gateway.serve(exchange)
        await _unless_left(exchange, serving)
        await exchange.drain()
        if exchange.aborted:
            raise ConnectionAbortedError("the backend's response was cut short")

    async def _answer(self, exchange: Exchange, own: bytes, path: bytes, query: bytes) -> None:
        """One of the bastion's own paths, `own` in the short form where it has one."""
        root = PREFIX if own != path else b""
        if _is_too_long(path, query):
            exchange.send_status(uri_too_long())
            return
        if (handler := self._handlers.get(path)) is not None:
            await handler(exchange)
            return
        record: Record | None = None
        if own == METRICS and self._admits is not None and exchange.method in ("GET", "HEAD"):
            record = await self._admits(exchange, own)
            if record is None:
                return
        admitted = record is not None
        page = self._pages is not None and not is_plain(own)
        observer = self._pages if page and self._pages is not None else self._others
        secret = page and own != PORTAL and not is_page(own)  # signing in, and being handed over
        record = record or self._begun(exchange, path, observer, secret_query=secret)
        try:
            # a page says itself whose visit it is
            if record.trail is not None and not page and not admitted:
                await record.trail.received()
            await run_asgi(self._web, exchange, record if page else None, root=root)
        except asyncio.CancelledError:
            record.outcome = "client-left"
            raise
        finally:
            observer.observe(record, exchange.status, exchange.bytes_in, exchange.bytes_out)

    def _begun(self, exchange: Exchange, path: bytes, observer: Observer, *, secret_query: bool) -> Record:
        record = Record(exchange.method, path, exchange.client, exchange.audit_id)
        record.agent = first_value(exchange.fields, b"user-agent")
        observer.begin(record, exchange, secret_query=secret_query)
        return record

    def _reviews(self, path: bytes, exchange: Exchange) -> bool:
        """Whether it is one of kubectl's questions about itself."""
        return path in SELF_REVIEWS and not exchange.to_proxy and not self._is_application(exchange)

    def _is_application(self, exchange: Exchange) -> bool:
        return self._hosts is not None and self._hosts.covers(exchange.host)

    def _own(self, path: bytes, exchange: Exchange) -> bytes | None:
        """The path in its short form where it has one; None where it is not the bastion's own."""
        if exchange.to_proxy:
            return None
        reserved = is_reserved(path)
        if self._is_application(exchange):
            return (short_form(path) if is_asset(path) else path) if reserved else None
        if reserved:
            return short_form(path) or path
        if path == PORTAL:  # a program gets what an API server says, or that there is nothing
            return path if self._pages is not None and is_navigation(exchange) else None
        if self._short_paths and (
            path in self._handlers
            or is_plain(path)
            or (self._pages is not None and is_page(path))
            or (self._sign_in and is_sign_in(path))
        ):
            return path
        return None


async def _renew(renewals: Renewals, exchange: Exchange, own: bytes | None) -> None:
    """Not where it makes no difference, nor where the response sets the session itself."""
    if own is None or not (is_plain(own) or is_sign_in(own)):
        await renewals.look(exchange)


def _is_too_long(path: bytes, query: bytes) -> bool:
    """Own paths need no credentials, and one is read in one turn of the loop."""
    return len(path) + len(query) > MAX_URI or query.count(b"&") >= MAX_PARAMETERS


def uri_too_long() -> StatusError:
    message = f"a URL of the bastion itself has at most {MAX_URI} bytes and {MAX_PARAMETERS} parameters"
    return unreadable(message, code=414)


async def _unless_left(exchange: AsgiExchange, serving: Coroutine[Any, Any, None]) -> None:
    """Serve it; when the client leaves, the backend is freed at once."""
    task, left = asyncio.ensure_future(serving), asyncio.ensure_future(exchange.left())
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        if not task.done():
            task.cancel()
        await asyncio.wait((task,))


def crowded() -> StatusError:
    error = overloaded(
        "this bastion is close to its limit of open files, and of connections; try again shortly",
        retry_after=5,
        code=503,
    )
    error.close = True
    return error


async def _lifespan(scope: Scope, receive: Receive, send: Send) -> None:
    """The application was opened when it was wired."""
    if scope["type"] != "lifespan":
        return
    while True:
        message = await receive()
        kind = message["type"].removeprefix("lifespan.")
        await send({"type": f"lifespan.{kind}.complete"})
        if kind == "shutdown":
            return
