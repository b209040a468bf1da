"""Accepts connections: a TLS handshake has a deadline, and a full process pauses instead of spinning."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial

from bastion.network.sockets import prepare
from bastion.network.tls.layer import SharedBuffers, TLSLayer
from bastion.server import plaintext
from bastion.server.http1.peer import client_address
from bastion.server.http1.protocol import HttpProtocol
from bastion.server.negotiated import Negotiated
from bastion.server.state import ServerState

PAUSE_SECONDS = 0.5  # after running out of descriptors
AT_ONCE = 64  # connections taken in one turn of the loop, at most

_log = logging.getLogger("bastion.server")
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Listener:
    """One listening socket.

    `tls` is called for each connection, so that a renewed certificate counts from the next one on.
    """

    def __init__(
        self, sock: socket.socket, tls: Callable[[], ssl.SSLContext] | None, state: ServerState
    ) -> None:
        self._socket = sock
        self._tls = tls
        self._state = state
        self._door = state.door
        self._buffers = SharedBuffers()
        self._handshakes: set[asyncio.Task[None]] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._accept(), name="accept")

    def stop(self) -> None:
        """Accept no more; handshakes under way go on."""
        if self._task is not None:
            self._task.cancel()
        self._socket.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        # One in each turn, so that workers share the connections; but where turns are long and many clients
        # come, each would wait a turn for every one before it: so twice as many while more are waiting.
        at_once = 1
        while True:
            try:
                while self._door.full:  # noqa: ASYNC110 the door is pure and wakes nobody
                    await asyncio.sleep(PAUSE_SECONDS)
                self._admit(*await loop.sock_accept(self._socket))
                for _ in range(at_once - 1):
                    if not self._door.full:
                        self._admit(*self._socket.accept())
                at_once = min(at_once * 2, AT_ONCE)
            except BlockingIOError:
                at_once = 1  # no more are waiting
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    _log.warning("accept: %s", error.strerror)
                else:
                    _log.error("accept: %s: pausing for %g s", error.strerror, PAUSE_SECONDS)
                await asyncio.sleep(PAUSE_SECONDS)

    def _admit(self, connection: socket.socket, peer: tuple[str, int]) -> None:
        address = client_address(peer[0])
        if not self._door.enter(address):
            connection.close()
            return
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._begin(connection, address))
        self._handshakes.add(task)
        task.add_done_callback(self._handshakes.discard)

    async def _begin(self, connection: socket.socket, address: str) -> None:
        loop = asyncio.get_running_loop()

        lost = partial(self._door.leave, address)
        try:
            prepare(connection)
            if self._tls is None:
                await loop.connect_accepted_socket(lambda: HttpProtocol(self._state, loop, lost), connection)
            else:
                context = self._tls()
                await loop.connect_accepted_socket(
                    lambda: TLSLayer(
                        Negotiated(self._state, loop),
                        context,
                        self._state.deadlines,
                        self._buffers,
                        server_side=True,
                        lost=lost,
                        not_tls=plaintext.answer,
                    ),
                    connection,
                )
        except OSError as error:
            _log.debug("a connection ended before its first request: %s", type(error).__name__)
            connection.close()
            lost()
