"""Calls to the API server over httpx: get, list, watch, create.

No redirects (CVE-2020-8561), answers bounded, each call with a deadline.  Every call can
be made again: reviews change nothing.  So one that broke is, once, and of several API servers on another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from typing import NamedTuple

import httpx

from bastion.cluster import calls
from bastion.cluster.access import Access
from bastion.cluster.apiservers import ApiServer, ApiServers
from bastion.cluster.calls import Call
from bastion.cluster.connections import Connections
from bastion.cluster.errors import ApiError
from bastion.cluster.refusals import cause_of, drained, refused
from bastion.cluster.throttle import Throttle
from bastion.runtime.turns import BACKGROUND, Asker

# seconds without a byte before a watch is given up: a little longer than a watch is asked to last
WATCH_SILENCE = 35.0
# seconds for a call: less than a cache waits for it, else its cause is never reported, and less than an
# operator waits
TIMEOUT = 8.0
BUSY_PAUSE = 1.0  # seconds after a 429 that does not say how long
LIST_TIMEOUT = 60.0  # seconds for a page
_ALWAYS = {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "bastion"}

_log = logging.getLogger("bastion.cluster")


class _Turn:
    """Whether a call was sent: one that timed out while it waited says nothing about the API server."""

    taken = False


class ClientStatistics(NamedTuple):
    """`waiting`: calls that wait for their turn, or for a connection."""

    waiting: int


class ApiClient:
    """Use as an asynchronous context manager.

    Everything raises ApiError.  `timeout` in seconds, for a whole call. `observe` is called for each: verb,
    resource, code (0: no answer), seconds to its head.

    A call on behalf of an asker also raises StatusError 429 where too many of that asker wait already.
    """

    def __init__(
        self,
        access: Access,
        servers: ApiServers | None = None,
        throttle: Throttle | None = None,
        *,
        observe: Callable[[str, str, int, float], None] = lambda verb, resource, code, seconds: None,
        timeout: float = TIMEOUT,
        watch_silence: float = WATCH_SILENCE,
    ) -> None:
        self._access = access
        self._servers = servers or ApiServers([access.server])
        # one without waiting calls has no length, and is false
        self._throttle = throttle if throttle is not None else Throttle()
        self._connections = Connections(access)
        self._observe = observe
        self._timeout = timeout
        self._watch_silence = watch_silence
        self._probing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> ApiClient:
        if len(self._servers) > 1:
            self._probing = asyncio.create_task(self._servers.watch(self._ready), name="probe API servers")
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._probing is not None:
            self._probing.cancel()
            await asyncio.gather(self._probing, return_exceptions=True)
        await self._connections.close()

    def statistics(self) -> ClientStatistics:
        return ClientStatistics(len(self._throttle) + self._connections.waiting)

    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes:
        return await self._call(calls.get(path, query, self._timeout, asker))

    async def list(self, path: str, query: dict[str, str]) -> bytes:
        """A page of what is read in the background."""
        return await self._call(calls.get(path, query, LIST_TIMEOUT))

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        return await self._call(calls.create(path, body, self._timeout, asker))

    async def update(self, path: str, body: bytes, asker: Asker) -> bytes:
        return await self._call(calls.update(path, body, self._timeout, asker))

    async def patch(self, path: str, body: bytes, asker: Asker) -> bytes:
        return await self._call(calls.patch(path, body, self._timeout, asker))

    async def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]:
        """An empty line once it has begun, then the events, a line each."""
        server = self._servers.current
        call = calls.watch(path, query, self._timeout)
        async with contextlib.AsyncExitStack() as stack:
            with self._as_api_errors(server):
                async with server.call(self._timeout):
                    await self._throttle.turn(BACKGROUND)
                    response = await stack.enter_async_context(
                        self._begun(server, call, await self._headers(call))
                    )
            yield b""
            pieces, pending = response.aiter_raw(), b""
            while True:
                with self._as_api_errors(server):
                    async with server.call(self._watch_silence):
                        piece = await anext(pieces, b"")
                if not piece:
                    return  # a line without its end is not a line
                *lines, pending = (pending + piece).split(b"\n")
                for line in lines:
                    if line:
                        yield line
                if len(pending) > call.limit:
                    raise ApiError(f"a watch event is larger than {call.limit} bytes")

    async def _call(self, call: Call) -> bytes:
        turn = _Turn()
        try:
            async with asyncio.timeout(call.timeout) as deadline:
                while True:
                    try:
                        return await self._attempt(call, turn)
                    except ApiError as error:
                        pause = self._until_less_busy(call, error)
                        if pause is None or asyncio.get_running_loop().time() + pause >= (
                            deadline.when() or 0.0
                        ):
                            raise
                    await asyncio.sleep(pause)
        except TimeoutError as error:
            if not turn.taken:
                raise ApiError(
                    f"no turn within {call.timeout:g} s: more calls are made than --kube-api-qps allows"
                ) from error
            self._servers.doubt()
            raise ApiError(f"no answer within {call.timeout:g} s", within=call.timeout) from error

    async def _attempt(self, call: Call, turn: _Turn) -> bytes:
        server = self._servers.current
        await self._throttle.turn(call.asker)
        turn.taken = True
        headers = await self._headers(call)
        try:
            return await self._made(server, call, headers)
        except ApiError as error:
            if error.status == 401 and await self._access.refused(headers.get("Authorization")):
                return await self._made(server, call, await self._headers(call))
            again = self._once_more(server, error)
            if again is None:
                raise
            return await self._made(again, call, headers)

    def _until_less_busy(self, call: Call, error: ApiError) -> float | None:
        """Seconds to wait, None where the call has failed: background reads have their own delays."""
        if error.status != 429 or call.asker == BACKGROUND:
            return None
        # all calls get the same answer, and should not be repeated together
        return (error.retry_after or BUSY_PAUSE) * (1 + random.random() / 4)

    def _once_more(self, server: ApiServer, error: ApiError) -> ApiServer | None:
        """Where to repeat a call that failed, None where that makes no sense."""
        if error.status and error.status < 500:
            return None
        return self._servers.other_than(server) or (server if error.broken else None)

    async def _made(self, server: ApiServer, call: Call, headers: dict[str, str]) -> bytes:
        with self._as_api_errors(server):
            async with server.call(None), self._begun(server, call, headers) as response:
                pieces, size = [], 0
                async for piece in response.aiter_raw():
                    pieces.append(piece)
                    size += len(piece)
                    if size > call.limit:
                        raise ApiError(f"the answer is larger than {call.limit} bytes")
                return b"".join(pieces)

    @contextlib.asynccontextmanager
    async def _begun(
        self, server: ApiServer, call: Call, headers: dict[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """Yields once the head of a successful response has come."""
        # A transport and no client: no cookies, no redirects, nothing that speaks unasked.
        async with self._connections.transport(server.url, call.asker) as http:
            url, query = _url(server.url + call.path), call.query or None
            request = httpx.Request(call.method, url, params=query, headers=headers, content=call.body)
            if self._access.impersonation:
                request.headers = httpx.Headers([*request.headers.raw, *self._access.impersonation])
            began, code = time.perf_counter(), 0
            try:
                response = await http.handle_async_request(request)
                code = response.status_code
            finally:
                self._observe(call.verb, call.resource, code, time.perf_counter() - began)
            _log.debug("%s %s: %d", call.method, call.path, response.status_code)
            try:
                if response.status_code not in (200, 201):
                    raise refused(response, await drained(response))
                yield response
            finally:
                await response.aclose()

    @contextlib.contextmanager
    def _as_api_errors(self, server: ApiServer) -> Iterator[None]:
        try:
            yield
        except httpx.ConnectError as error:
            self._servers.refused(server)
            raise ApiError(cause_of(error)) from error
        except httpx.HTTPError as error:
            self._servers.doubt()
            raise ApiError(cause_of(error), broken=True) from error
        except TimeoutError as error:
            raise ApiError("it fell silent, or is no longer healthy") from error

    async def _headers(self, call: Call) -> dict[str, str]:
        headers = {**_ALWAYS, "Content-Type": call.content_type} if call.body is not None else _ALWAYS
        try:
            authorization = await self._access.authorization()
        except OSError as error:
            raise ApiError(
                f"the bastion's own credentials cannot be read: {error.strerror or type(error).__name__}",
                401,
                answered=False,
            ) from error
        return headers | ({"Authorization": authorization} if authorization else {})

    async def _ready(self, url: str) -> bool:
        """A server that forbids the bastion to ask is healthy, too."""
        call = calls.probe()
        try:
            async with self._begun(ApiServer(url), call, await self._headers(call)):
                return True
        except ApiError as error:
            return 0 < error.status < 500
        except httpx.HTTPError:
            return False


@functools.lru_cache(256)
def _url(text: str) -> httpx.URL:
    """Reviews go to the same two again and again, and parsing is a tenth of their cost."""
    return httpx.URL(text)
