"""UDP led to backends: a flow for each client's socket, to one backend until it falls silent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

from bastion.network.tcp.places import Places
from bastion.runtime.deadlines import Deadlines

SILENCE = 60.0  # seconds without a datagram, as the kernel keeps a one-sided flow twice over
MOST_FLOWS = 4096  # of one listener; the one that was idle longest gives way

Peer = tuple[str, int]
Backend = tuple[str, int]
Choose = Callable[[str], Backend | None]  # for a client's address; None: it may not come


class _Flow(asyncio.DatagramProtocol):
    """What a backend says goes back to the client."""

    def __init__(self, listener: UdpListener, client: Peer, backend: Backend) -> None:
        self.backend = backend
        self.deadline: float | None = None
        self.waiting: list[bytes] | None = []  # until there is a socket
        self._listener = listener
        self._client = client
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)
        for data in self.waiting or ():
            self._transport.sendto(data)
        self.waiting = None

    def send(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.sendto(data)
        elif self.waiting is not None and len(self.waiting) < 16:
            self.waiting.append(data)

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        self._listener.back(self, self._client, data)

    def error_received(self, exc: Exception) -> None:
        self._listener.drop(self._client)

    def expired(self) -> None:
        """Of `Deadlines`."""
        self._listener.drop(self._client)

    def close(self) -> None:
        self.waiting = None
        if self._transport is not None:
            self._transport.close()


class UdpListener(asyncio.DatagramProtocol):
    """`serves`: whether flows to a backend go on; `silence` in seconds, see SILENCE."""

    def __init__(
        self,
        places: Places,
        deadlines: Deadlines,
        choose: Choose,
        serves: Callable[[Backend], bool],
        silence: float = SILENCE,
    ) -> None:
        self._places = places
        self._deadlines = deadlines
        self._choose = choose
        self._serves = serves
        self._silence = silence
        self._flows: dict[Peer, _Flow] = {}
        self._transport: asyncio.DatagramTransport | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, sock: socket.socket) -> None:
        await asyncio.get_running_loop().create_datagram_endpoint(lambda: self, sock=sock)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Peer) -> None:
        flow = self._flows.get(addr)
        if flow is not None and not self._serves(flow.backend):
            self.drop(addr)
            flow = None
        if flow is None:
            backend = self._choose(addr[0])
            if backend is None:
                return
            if len(self._flows) >= MOST_FLOWS:
                self.drop(next(iter(self._flows)))
            if not self._places.enter(addr[0]):
                return
            flow = self._flows[addr] = _Flow(self, addr, backend)
            self._deadlines.add(flow)
            task = asyncio.ensure_future(self._open(flow))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        self._touch(addr, flow)
        flow.send(data)

    def back(self, flow: _Flow, client: Peer, data: bytes) -> None:
        if self._transport is not None and self._flows.get(client) is flow:
            self._touch(client, flow)
            self._transport.sendto(data, client)

    def drop(self, client: Peer) -> None:
        flow = self._flows.pop(client, None)
        if flow is not None:
            self._deadlines.discard(flow)
            self._places.leave(client[0])
            flow.close()

    def close(self) -> None:
        for client in list(self._flows):
            self.drop(client)
        if self._transport is not None:
            self._transport.close()

    def _touch(self, client: Peer, flow: _Flow) -> None:
        flow.deadline = asyncio.get_running_loop().time() + self._silence
        self._flows[client] = self._flows.pop(client)  # the one used last comes last

    async def _open(self, flow: _Flow) -> None:
        loop = asyncio.get_running_loop()
        try:
            transport, _ = await loop.create_datagram_endpoint(lambda: flow, remote_addr=flow.backend)
        except OSError:  # no way there, or no descriptor: the next datagram tries anew
            if self._flows.get(flow._client) is flow:
                self.drop(flow._client)
            return
        if flow.waiting is None and self._flows.get(flow._client) is not flow:
            transport.close()
