"""One connection to an API server, for one call after the other, by what speaks HTTP/1.1 to backends.

A transport of httpx's, so that who makes a call need not know which it takes: httpx's own costs three times
as much, and most calls are reviews that somebody waits for.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator

import httpx

from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.network.byname import connect
from bastion.network.errors import NetworkError
from bastion.network.http1.connection import Connection
from bastion.network.http1.response import Response
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.runtime.deadlines import Deadlines

API_SERVER = TLSProfile("apiserver")
FOREVER = float("inf")  # each call has a deadline of its own
# A peer that is gone without a word is noticed within half a minute, whatever is waited for.
KEEPALIVE = [
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 10),
    (socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 5),
    (socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 4),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
]


class Lane(httpx.AsyncBaseTransport):
    """`buffers` are shared by all of them."""

    def __init__(self, tls: ssl.SSLContext, buffers: SharedBuffers) -> None:
        self._tls = tls
        self._buffers = buffers
        self._connection: Connection | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Raises httpx.HTTPError.  The response is read to its end, or closed, before the next request."""
        head = _head(request)
        connection = self._kept(request.url) or await self._dialled(request.url)
        self._connection = connection
        try:
            connection.begin(
                head + request.content,
                to_head=request.method == "HEAD",
                answer_within=FOREVER,
                body_idle=FOREVER,
            )
            response = await connection.answer()
        except NetworkError as error:
            self._close()
            raise httpx.ReadError(str(error)) from error
        except BaseException:
            self._close()
            raise
        headers = [(name, value) for _, name, value in response.fields]
        return httpx.Response(response.status, headers=headers, stream=_Body(self, connection, response))

    async def aclose(self) -> None:
        self._close()

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _kept(self, url: httpx.URL) -> Connection | None:
        """To this server, which may close what it kept at any moment."""
        connection = self._connection
        if connection is not None and (
            connection.endpoint != _endpoint(url) or not connection.alive or connection.has_ended()
        ):
            self._close()
        return self._connection

    async def _dialled(self, url: httpx.URL) -> Connection:
        endpoint, loop = _endpoint(url), asyncio.get_running_loop()
        connection = Connection(endpoint, loop, _lost)
        try:
            sock = await connect(endpoint.address, endpoint.port, _prepare)
            try:
                if endpoint.tls is None:
                    await loop.create_connection(lambda: connection, sock=sock)
                else:
                    await self._shake_hands(sock, connection, endpoint.address)
            except BaseException:
                sock.close()
                raise
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(str(error), request=None) from error
        return connection

    async def _shake_hands(self, sock: socket.socket, connection: Connection, host: str) -> None:
        # nothing sweeps its deadlines: the call has one
        layer = TLSLayer(connection, self._tls, Deadlines(), self._buffers, server_hostname=host)
        try:
            await asyncio.get_running_loop().create_connection(lambda: layer, sock=sock)
            await layer.established
        except BaseException:
            layer.abandon()
            raise


class _Body(httpx.AsyncByteStream):
    def __init__(self, lane: Lane, connection: Connection, response: Response) -> None:
        self._lane = lane
        self._connection = connection
        self._response = response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            while piece := await self._response.read():
                yield piece
        except NetworkError as error:
            raise httpx.ReadError(str(error)) from error

    async def aclose(self) -> None:
        if self._connection.reusable:
            self._connection.rest()
        else:
            await self._lane.aclose()


def _endpoint(url: httpx.URL) -> Endpoint:
    secure = url.scheme == "https"
    return Endpoint(url.host, url.port or (443 if secure else 80), API_SERVER if secure else None)


def _head(request: httpx.Request) -> bytes:
    """Raises httpx.LocalProtocolError."""
    fields = request.headers.raw
    head = b"".join(
        (
            b"%b %b HTTP/1.1\r\n" % (request.method.encode(), request.url.raw_path),
            *(b"%b: %b\r\n" % field for field in fields),
            b"\r\n",
        )
    )
    lines = len(fields) + 2
    if head.count(b"\n") != lines or head.count(b"\r") != lines or b"\0" in head:
        raise httpx.LocalProtocolError("a header field has a line's end in it")
    return head


def _prepare(sock: socket.socket) -> None:
    for option in KEEPALIVE:
        sock.setsockopt(*option)


def _lost(connection: Connection) -> None:
    """It is looked at before it is used."""
