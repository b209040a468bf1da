"""Standard input and output as one end of a tunnel: what ssh's ProxyCommand talks to."""

from __future__ import annotations

import asyncio
import os
import threading

from bastion.cli.tunnel.connecting import Conversation

SIZE = 65536


class Carrier(asyncio.Protocol):
    """What comes is written to standard output at once: a reader that is slow holds all of it up."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._may_write = threading.Event()
        self._may_write.set()
        self._loop = asyncio.get_running_loop()
        self.over: asyncio.Future[None] = self._loop.create_future()

    def data_received(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(1, view) :]

    def eof_received(self) -> bool:
        self._end()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _end(self) -> None:
        if not self.over.done():
            self.over.set_result(None)

    def pump(self) -> None:
        """In a thread of its own: standard input may be a file, a pipe or a socket."""
        while data := os.read(0, SIZE):
            self._may_write.wait()
            self._loop.call_soon_threadsafe(self._transport.write, data)
        self._loop.call_soon_threadsafe(self._transport.write_eof)


async def carry(tunnel: Conversation) -> None:
    stream = tunnel.take_over()
    carrier = Carrier(stream.transport)
    stream.transport.set_protocol(carrier)
    if stream.early:
        carrier.data_received(stream.early)
    if stream.ended:
        return
    stream.transport.resume_reading()
    threading.Thread(target=carrier.pump, daemon=True).start()
    await carrier.over
