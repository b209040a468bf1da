"""Over which connections is the API server called?  New ones are made with the certificates of the moment.

Calls over connections made with older certificates go on to their end.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections import deque
from collections.abc import AsyncIterator, Callable

import httpx

from bastion.cluster.access import Access
from bastion.cluster.errors import ApiError
from bastion.cluster.lane import KEEPALIVE, Lane
from bastion.cluster.queue import Gate
from bastion.network.tls.layer import SharedBuffers
from bastion.runtime.turns import BACKGROUND, Asker

REVIEWS = 100  # connections for calls that a user waits for
KEPT_SECONDS = 60.0  # unused


class _Lanes:
    """Transports of one connection each, the one used last taken first.

    httpcore looks at every connection and every waiting request of a pool whenever one of them comes or goes:
    half the cost of a review with 32 under way in one pool.
    """

    def __init__(self, make: Callable[[], httpx.AsyncBaseTransport], most: int) -> None:
        self._make = make
        self._gate = Gate(most)
        self._free: deque[tuple[httpx.AsyncBaseTransport, float]] = deque()  # and since when
        self._now = asyncio.get_running_loop().time

    @contextlib.asynccontextmanager
    async def transport(self, asker: Asker) -> AsyncIterator[httpx.AsyncBaseTransport]:
        async with self._gate.inside(asker):
            lane = self._free.pop()[0] if self._free else self._make()
            try:
                yield lane
            except ApiError:  # an answer that says no is one
                self._free.append((lane, self._now()))
                raise
            except BaseException:  # httpcore may never give back a connection whose request was cancelled
                await asyncio.shield(lane.aclose())
                raise
            self._free.append((lane, self._now()))
            if self._free[0][1] < self._now() - KEPT_SECONDS:
                await self._free.popleft()[0].aclose()

    @property
    def waiting(self) -> int:
        return len(self._gate)

    async def close(self) -> None:
        for lane, _ in self._free:
            await lane.aclose()


class _Generation:
    """The transports that use one TLS context, and one proxy or none.

    Background reads take no connection from calls that a user waits for.
    """

    def __init__(self, tls: ssl.SSLContext, proxy: httpx.Proxy | None) -> None:
        self.tls = tls
        self.calls = 0
        buffers = SharedBuffers()
        self._waited_for = _Lanes(
            lambda: Lane(tls, buffers) if proxy is None else _transport(tls, proxy, 1), REVIEWS
        )
        self._background = _transport(tls, proxy, None)

    def transport(self, asker: Asker) -> contextlib.AbstractAsyncContextManager[httpx.AsyncBaseTransport]:
        return (
            contextlib.nullcontext(self._background)
            if asker == BACKGROUND
            else self._waited_for.transport(asker)
        )

    @property
    def waiting(self) -> int:
        return self._waited_for.waiting

    async def close(self) -> None:
        await self._waited_for.close()
        await self._background.aclose()


class Connections:
    def __init__(self, access: Access) -> None:
        self._access = access
        # by the API server's URL; those with the same proxy are one
        self._newest: dict[str, _Generation] = {}
        self._older: set[_Generation] = set()

    @contextlib.asynccontextmanager
    async def transport(self, server: str, asker: Asker) -> AsyncIterator[httpx.AsyncBaseTransport]:
        generation = self._of_now(server)
        generation.calls += 1
        try:
            async with generation.transport(asker) as transport:
                yield transport
        finally:
            generation.calls -= 1
            for unused in [older for older in self._older if not older.calls]:
                self._older.discard(unused)
                await unused.close()

    @property
    def waiting(self) -> int:
        """Calls for which no connection is free."""
        return sum(generation.waiting for generation in {*self._newest.values(), *self._older})

    async def close(self) -> None:
        for generation in {*self._newest.values(), *self._older}:
            await generation.close()

    def __len__(self) -> int:
        """Generations in use."""
        return len({*self._newest.values(), *self._older})

    def _of_now(self, server: str) -> _Generation:
        generation = self._newest.get(server)
        if generation is None or generation.tls is not self._access.tls:
            if generation is not None:
                self._older.update(self._newest.values())
                self._newest.clear()
            generation = self._newest[server] = self._made(server)
        return generation

    def _made(self, server: str) -> _Generation:
        access, proxy = self._access, self._access.proxies.of(server)
        for other, generation in self._newest.items():
            if access.proxies.of(other) == proxy:
                return generation
        tls = access.proxy_tls if proxy.startswith("https:") else None
        return _Generation(access.tls, httpx.Proxy(proxy, ssl_context=tls) if proxy else None)


class _OverSocks(httpx.AsyncHTTPTransport):
    """httpcore asserts that a SOCKS proxy speaks SOCKS."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            return await super().handle_async_request(request)
        except httpx.HTTPError:
            raise
        except Exception as error:
            raise httpx.ProxyError("the proxy does not speak SOCKS 5") from error


def _transport(tls: ssl.SSLContext, proxy: httpx.Proxy | None, most: int | None) -> httpx.AsyncHTTPTransport:
    limits = httpx.Limits(max_connections=most, max_keepalive_connections=20, keepalive_expiry=60.0)
    made = (
        _OverSocks if proxy is not None and proxy.url.scheme.startswith("socks") else httpx.AsyncHTTPTransport
    )
    return made(verify=tls, limits=limits, trust_env=False, socket_options=KEEPALIVE, proxy=proxy)
