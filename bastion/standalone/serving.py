"""How the embedded API listens: HTTPS by uvicorn, inside a process and a loop that are not its own."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Iterator

import uvicorn

from bastion.runtime import listening
from bastion.standalone.app import StandaloneApi

# seconds, kube-apiserver's; uvicorn's own 5 would close connections under a client's next request
KEEP_ALIVE = 90
GRACE = 1.0  # seconds for requests under way when the server stops


@contextlib.asynccontextmanager
async def serving(api: StandaloneApi, tls: ssl.SSLContext, listener: socket.socket) -> AsyncIterator[None]:
    """Serves from when it listens until the block ends.  `api.close` ends its watches first."""
    server = _Server(_config(api, tls))
    task = asyncio.create_task(server.serve(sockets=[listener]), name="standalone: serve")
    task.add_done_callback(lambda _: server.listening.set())
    try:
        await server.listening.wait()
        if task.done():
            await task  # it could not listen, and raises why
        yield
    finally:
        api.close()
        server.should_exit = True
        await task


class _Server(uvicorn.Server):
    """Leaves the process's signal handlers alone, and sets `listening` once it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but silent, and connections still open after GRACE are aborted.

        uvicorn would wait for half a minute for a peer that does not answer the end of TLS.
        """
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(GRACE):
                while self.server_state.connections:  # noqa: ASYNC110 uvicorn has no event for it
                    await asyncio.sleep(0.02)
        for connection in list(self.server_state.connections):
            if connection.transport is not None:
                connection.transport.abort()
        for task in list(self.server_state.tasks):
            task.cancel()


def _config(api: StandaloneApi, tls: ssl.SSLContext) -> uvicorn.Config:
    return uvicorn.Config(
        api,
        http="httptools",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        ssl_context_factory=lambda *_: tls,
    )


def listen(address: str, port: int) -> socket.socket:
    """A listening socket.  Raises OSError that names the address."""
    try:
        family, _, _, _, target = socket.getaddrinfo(
            address, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        return listening.listen(target, family)
    except socket.gaierror as error:
        raise OSError(error.errno, f"cannot listen at {address}: {error.strerror}") from error
    except OSError as error:
        raise OSError(error.errno, f"cannot listen at {address} port {port}: {error.strerror}") from error


def host_and_port(listener: socket.socket, address: str) -> str:
    """host:port for clients on this machine."""
    port = listener.getsockname()[1]
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"{address}:{port}"
    if ip.is_unspecified:
        ip = ipaddress.ip_address("::1" if ip.version == 6 else "127.0.0.1")
    return f"[{ip}]:{port}" if ip.version == 6 else f"{ip}:{port}"
