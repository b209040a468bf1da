"""A connection to the API server: directly, or through the proxy that the kubeconfig or the environment
names.

Upgrades take the same way as everything else; kubectl dials those directly, which fails where the proxy is
the only way out.
"""

from __future__ import annotations

import asyncio
import base64
import errno
import os
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from bastion.cluster.access import Trust
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.localproxy.opening import Opening, ask_http, ask_socks
from bastion.network.byname import connect
from bastion.network.errors import DialError
from bastion.network.sockets import prepare
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.runtime.deadlines import Deadlines

P = TypeVar("P", bound=asyncio.Protocol)

CONNECT_SECONDS = 30.0  # for names, TCP, proxies and TLS together, as in client-go's dialer
KEEPALIVE_SECONDS = 30.0  # Go's default period
KEEPALIVE_PROBES = 4
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class _NestedTLS(TLSLayer, asyncio.Protocol):
    """TLS inside of TLS: what comes is handed over, not read into buffers."""

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            buffer = self.get_buffer(len(view))
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            self.buffer_updated(count)
            view = view[count:]


class ApiDialer:
    """Dials what the endpoint says, with the trust that belongs to its TLS profile."""

    def __init__(
        self, trusts: dict[TLSProfile | None, Trust], deadlines: Deadlines, keepalive: float
    ) -> None:
        self._trusts = trusts
        self._deadlines = deadlines
        self._buffers = SharedBuffers()
        self._keepalive = max(1, round(keepalive)) if keepalive > 0 else round(KEEPALIVE_SECONDS)

    async def dial(self, endpoint: Endpoint, factory: Callable[[], P], patience: float | None = None) -> P:
        """Raises DialError."""
        trust = self._trusts[endpoint.tls]
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                return await self._connect(endpoint, trust, factory)
        except TimeoutError as error:
            raise DialError(f"dial {endpoint}: timed out after {CONNECT_SECONDS:g} s") from error
        except ssl.SSLError as error:
            raise DialError(f"dial {endpoint}: TLS handshake failed: {_tls_cause(error)}") from error
        except (OSError, ValueError, OverflowError) as error:
            raise DialError(f"dial {endpoint}: {_cause(error)}") from error

    async def _connect(self, endpoint: Endpoint, trust: Trust, factory: Callable[[], P]) -> P:
        _check_names(endpoint)
        scheme = "http" if endpoint.tls is None else "https"
        proxy = trust.proxies.of(f"{scheme}://{endpoint}")
        protocol = factory()
        top: asyncio.BaseProtocol = protocol
        layer: TLSLayer | None = None
        if endpoint.tls is not None:
            kind = _NestedTLS if proxy.startswith("https:") else TLSLayer
            layer = kind(
                protocol, trust.context, self._deadlines, self._buffers, server_hostname=endpoint.address
            )
            top = layer
        try:
            if proxy:
                await self._through(urlsplit(proxy), endpoint, trust, top)
            else:
                sock = await self._tcp(endpoint.address, endpoint.port)
                await _joined(sock, top)
            if layer is not None:
                await layer.established
        except BaseException:
            if layer is not None:
                layer.abandon()
            raise
        return protocol

    async def _through(
        self, proxy: SplitResult, endpoint: Endpoint, trust: Trust, top: asyncio.BaseProtocol
    ) -> None:
        """Asks a proxy for the way, and lets `top` speak on it."""
        host = proxy.hostname or ""
        sock = await self._tcp(host, proxy.port or _PORTS[proxy.scheme])
        opening = Opening()
        if proxy.scheme == "https":
            assert trust.to_proxy is not None
            outer = TLSLayer(opening, trust.to_proxy, self._deadlines, self._buffers, server_hostname=host)
            await _joined(sock, outer)
            await outer.established
        else:
            await _joined(sock, opening)
        try:
            login = (unquote(proxy.username or ""), unquote(proxy.password or ""))
            if proxy.scheme.startswith("socks"):
                await ask_socks(opening, endpoint.address, endpoint.port, *login)
            else:
                pair = base64.b64encode(":".join(login).encode()) if proxy.username else b""
                await ask_http(opening, str(endpoint).encode(), pair)
        except BaseException:
            opening.abandon()
            raise
        opening.hand_over(top)

    async def _tcp(self, host: str, port: int) -> socket.socket:
        """Raises OSError."""

        def prepared(sock: socket.socket) -> None:
            prepare(sock)
            keep_alive(sock, self._keepalive)

        return await connect(host, port, prepared)


def _check_names(endpoint: Endpoint) -> None:
    """Raises OSError for what could not even be asked for."""
    if not 0 < endpoint.port < 65536:
        raise OSError(f"address {endpoint.port}: invalid port")
    try:
        endpoint.address.encode("idna")
    except UnicodeError:
        raise OSError(f"lookup {endpoint.address}: no such host") from None


async def _joined(sock: socket.socket, protocol: asyncio.BaseProtocol) -> None:
    try:
        await asyncio.get_running_loop().create_connection(lambda: protocol, sock=sock)
    except BaseException:
        sock.close()
        raise


def keep_alive(sock: socket.socket, seconds: int) -> None:
    """An idle stream is not cut by what lies in between, and a peer that is gone is noticed."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (
        ("TCP_KEEPIDLE", seconds),
        ("TCP_KEEPINTVL", seconds),
        ("TCP_KEEPCNT", KEEPALIVE_PROBES),
    ):
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _cause(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None and error.errno in errno.errorcode:
        return os.strerror(error.errno).lower()
    return str(error) or "the connection was closed"


def _tls_cause(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    return (error.reason or "protocol error").lower().replace("_", " ")
