"""A connection to one endpoint: the address checked, the deadline kept, TLS spoken where the endpoint says
so.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

import msgspec

from bastion.kube.endpoint import KUBELET, Endpoint, TLSProfile
from bastion.kube.errorword import Word
from bastion.kube.errorwords import (
    ADDRESS_REFUSED,
    CERTIFICATE_NOT_TRUSTED,
    CLOSED_BEFORE_ANSWER,
    CONNECT_TIMEOUT,
    CONNECTION_REFUSED,
)
from bastion.network.addresses import DialPolicy
from bastion.network.errors import NOT_DIALLED, DialError
from bastion.network.sockets import prepare
from bastion.network.tls.contexts import Contexts
from bastion.network.tls.failures import cause_of, word_of
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.runtime.deadlines import Deadlines

P = TypeVar("P", bound=asyncio.Protocol)

# What the system says where no way leads to an address: also where it has none of that family itself.
_NO_WAY = (
    errno.ENETUNREACH,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.EHOSTDOWN,
    errno.ETIMEDOUT,
    errno.EADDRNOTAVAIL,
    errno.EAFNOSUPPORT,
)

_CLOSED = (None, errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED)
UNTRUSTED = TLSProfile()  # to look at a certificate that is not trusted

_log = logging.getLogger("bastion.network")


class _Peer(asyncio.Protocol):
    """Takes the certificate, and leaves."""

    certificate = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        tls = transport.get_extra_info("ssl_object")
        self.certificate = tls.getpeercert(binary_form=True) or b""
        transport.close()


class Dialer:
    """`connect_timeout` in seconds covers TCP and TLS together."""

    def __init__(
        self,
        policy: DialPolicy,
        tls: Contexts,
        deadlines: Deadlines,
        connect_timeout: float,
        prepare: Callable[[socket.socket], None] = prepare,
    ) -> None:
        """`prepare` sets a socket's options."""
        self._policy = policy
        self._tls = tls
        self._prepare = prepare
        self._deadlines = deadlines
        self._buffers = SharedBuffers()
        self.connect_timeout = connect_timeout
        self._unverified: set[str] = set()  # addresses

    async def dial(self, endpoint: Endpoint, factory: Callable[[], P], patience: float | None = None) -> P:
        """The protocol, connected.

        `patience` in seconds is for TCP alone, where that is to take less.  Raises DialError.
        """
        if not self._may_dial(endpoint):
            raise DialError(NOT_DIALLED, ADDRESS_REFUSED)
        patience = min(patience or self.connect_timeout, self.connect_timeout)
        reached = False

        def protocol() -> P:
            nonlocal reached
            reached = True
            return factory()

        try:
            async with asyncio.timeout(self.connect_timeout):
                return await self._connect(endpoint, protocol, patience)
        except TimeoutError as error:
            raise DialError(
                f"dial {endpoint}: timed out after {self.connect_timeout if reached else patience:g} s",
                CONNECT_TIMEOUT,
                silent=not reached,
            ) from error
        except ssl.SSLError as error:
            wanted = endpoint.tls.server_name or endpoint.address if endpoint.tls is not None else ""
            shown = b""
            if isinstance(error, ssl.SSLCertVerificationError):
                shown = await self._certificate(endpoint)
            cause = cause_of(error, wanted, shown)
            raise DialError(f"dial {endpoint}: TLS handshake failed: {cause}", word_of(error)) from error
        except ValueError as error:
            raise DialError(f"dial {endpoint}: TLS: {error}", CERTIFICATE_NOT_TRUSTED) from error
        except (OSError, ConnectionError) as error:
            raise DialError(
                f"dial {endpoint}: {_cause(error)}", _word(error), silent=error.errno in _NO_WAY
            ) from error

    def _may_dial(self, endpoint: Endpoint) -> bool:
        """A kubelet is spoken to as such alone: as a pod it would be without the rule for kubelets."""
        address, port = endpoint.address, endpoint.port
        return self._policy.permits(address, port) and (
            endpoint.tls == KUBELET or not self._policy.reaches_kubelet(address, port)
        )

    async def _certificate(self, endpoint: Endpoint) -> bytes:
        """What it shows, in DER; empty where it shows it no more."""
        plain = msgspec.structs.replace(endpoint, tls=UNTRUSTED)
        try:
            async with asyncio.timeout(self.connect_timeout):
                peer = await self._connect(plain, _Peer, self.connect_timeout)
        except (OSError, TimeoutError):
            return b""
        return peer.certificate

    async def _connect(self, endpoint: Endpoint, factory: Callable[[], P], patience: float) -> P:
        loop = asyncio.get_running_loop()
        # A socket of ours, so that the address connected is the one checked and nothing is ever resolved.
        family = socket.AF_INET6 if ":" in endpoint.address else socket.AF_INET
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            self._prepare(sock)
            async with asyncio.timeout(patience):
                await loop.sock_connect(sock, (endpoint.address, endpoint.port))
            if endpoint.tls is None:
                _, protocol = await loop.create_connection(factory, sock=sock)
                return protocol
            context = await self._tls.context(endpoint.tls)
            if context.verify_mode == ssl.CERT_NONE and endpoint.tls is not UNTRUSTED:
                self._say_unverified(endpoint)
            protocol = factory()
            layer = TLSLayer(
                protocol,
                context,
                self._deadlines,
                self._buffers,
                server_hostname=endpoint.tls.server_name or endpoint.address,
            )
            try:
                await loop.create_connection(lambda: layer, sock=sock)
                await layer.established
            except BaseException:
                layer.abandon()
                raise
            return protocol
        except BaseException:
            sock.close()
            raise

    def _say_unverified(self, endpoint: Endpoint) -> None:
        # not per port: one pod may have them all
        if endpoint.address in self._unverified or len(self._unverified) >= 65536:
            return
        self._unverified.add(endpoint.address)
        _log.warning("TLS to %s is not verified: the backend's certificate is taken as it is", endpoint)


def _cause(error: OSError) -> str:
    if error.errno is None or error.errno not in errno.errorcode:
        return "the connection was closed"
    return os.strerror(error.errno).lower()


def _word(error: OSError) -> Word:
    if error.errno == errno.ECONNREFUSED:
        return CONNECTION_REFUSED
    # it listens, and leaves in the handshake
    return CLOSED_BEFORE_ANSWER if error.errno in _CLOSED else CONNECT_TIMEOUT
