"""One connection of a probe: TCP to the one address, TLS over it, and how long each took."""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass

from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.probe.attempt import Environment
from bastion.probe.tlssettings import TLSConfig

READ = 65536


@dataclass(slots=True)
class Wire:
    """`connect` and `handshake` are seconds; `first_byte` is when the first one of a response came, 0 before;
    `tls` is None where plain text is spoken.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    connect: float
    handshake: float = 0.0
    first_byte: float = 0.0

    @property
    def tls(self) -> ssl.SSLObject | None:
        return self.writer.get_extra_info("ssl_object")  # type: ignore[no-any-return]

    async def read(self) -> bytes:
        """What has come; b"" at the end."""
        data = await self.reader.read(READ)
        self.first_byte = self.first_byte or (time.perf_counter() if data else 0.0)
        return data

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Raises OSError (ssl.SSLError is one)."""
        await self.writer.start_tls(context, server_hostname=server_name)

    def close(self) -> None:
        """At once: what is left unsent no longer matters."""
        self.writer.transport.abort()


async def open_wire(
    environment: Environment,
    endpoint: Endpoint,
    settings: TLSConfig | None,
    server_name: str = "",
    alpn: tuple[str, ...] = (),
) -> Wire:
    """`settings` None: plain text; `server_name` empty: the address.

    Raises NetworkError, and OSError or ValueError where a connection, a handshake or a file
    fails.
    """
    context = None
    if endpoint.tls == KUBELET:
        context = environment.contexts.kubelet()
    elif settings == TLSConfig() and endpoint.tls is not None and endpoint.tls.verified:
        # a module that says nothing of TLS sees what users see
        context = await environment.contexts.backend(endpoint.tls, alpn)
        server_name = endpoint.tls.server_name
    elif settings is not None:
        context = environment.contexts.of(settings, alpn)
    began = time.perf_counter()
    sock = await environment.connect(environment.policy, endpoint)
    connected = time.perf_counter()
    try:
        reader, writer = await asyncio.open_connection(
            sock=sock,
            ssl=context,
            server_hostname=(server_name or endpoint.address) if context is not None else None,
            limit=READ,
        )
    except BaseException:
        sock.close()
        raise
    handshake = time.perf_counter() - connected if context is not None else 0.0
    return Wire(reader, writer, connected - began, handshake)
