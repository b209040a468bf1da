"""A bastion whose event loop notes how long each of its turns took, and what to throw at it.

Its own thread's CPU time counts: whatever else the machine does, and whoever talks to it from other threads,
is not in it.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import threading
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from bastion.runtime.listening import listen
from bastion.server.listener import Listener
from bastion.settings.config import serve_config
from bastion.wiring.bastion import Bastion, open_bastion
from tests.e2e.harness import ALLOWED, PORT, Cluster
from tests.fakes import LOOPBACK

T = TypeVar("T")

PATIENCE = 20.0  # seconds


class Timed:
    """A handle of the loop, as it sees it."""

    __slots__ = ("_handle", "_turns")

    def __init__(self, handle: asyncio.Handle, turns: Turns) -> None:
        self._handle, self._turns = handle, turns

    @property
    def _cancelled(self) -> bool:
        return self._handle.cancelled()

    def _run(self) -> None:
        began = time.thread_time()
        self._handle._run()
        took = time.thread_time() - began
        if took > self._turns.longest:
            self._turns.longest, self._turns.what = took, repr(self._handle)


class Turns(deque[Any]):
    """What is ready to run; `longest` in seconds, of the turns since `begin`, and `what` it was."""

    longest = 0.0
    what = ""

    def begin(self) -> None:
        self.longest, self.what = 0.0, ""

    def popleft(self) -> Any:
        return Timed(super().popleft(), self)


class WatchedLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self.turns = self._ready = Turns()


class Backend:
    """At each connection: reads a request's head, sends `answer` and, where it is to, ends."""

    def __init__(self, address: str) -> None:
        self.answer = b""
        self._listener = listen((address, PORT))
        self._listener.setblocking(True)
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head and (piece := connection.recv(1 << 18)):
                head += piece
            connection.sendall(self.answer)
            connection.shutdown(socket.SHUT_WR)
            while connection.recv(1 << 18):
                pass

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # or the thread that accepts would keep it open
        self._listener.close()


@dataclass(slots=True)
class Watched:
    loop: WatchedLoop
    bastion: Bastion
    port: int
    backend: Backend
    path: str

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """On its loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE)

    def send(self, data: bytes, answer: bytes = b"", *, pieces: int = 0) -> bytes:
        """Everything that comes back until the connection ends; `answer` is the backend's.

        `pieces`: sent in so many bytes at once.
        """
        self.backend.answer = answer
        with socket.create_connection((LOOPBACK, self.port)) as client, contextlib.suppress(ConnectionError):
            client.settimeout(PATIENCE)
            sender = threading.Thread(target=_send, args=(client, data, pieces or len(data)), daemon=True)
            sender.start()
            came = bytearray()
            with contextlib.suppress(ConnectionError):
                while piece := client.recv(1 << 18):
                    came += piece
            return bytes(came)
        return b""


def _send(client: socket.socket, data: bytes, step: int) -> None:
    with contextlib.suppress(OSError):
        for at in range(0, len(data), step):
            client.sendall(data[at : at + step])


@contextlib.contextmanager
def watched(folder: Path, *flags: str) -> Iterator[Watched]:
    cluster = Cluster(folder)
    place = cluster.pod()
    source = ["--manifests", str(cluster.manifests), "--token-auth-file", str(cluster.tokens)]
    config = serve_config([*source, "--allow-target-cidr", ALLOWED, *flags])
    loop = WatchedLoop()
    running: asyncio.Future[tuple[Bastion, int, asyncio.Event]] = loop.create_future()

    async def main() -> None:
        log = os.open(folder / "access.log", os.O_WRONLY | os.O_CREAT)
        sock = listen((LOOPBACK, 0))
        port = sock.getsockname()[1]
        over = asyncio.Event()
        async with open_bastion(config, log) as bastion:
            await bastion.synced()
            listener = Listener(sock, None, bastion.state)
            listener.start()
            running.set_result((bastion, port, over))
            await over.wait()
            listener.stop()
        os.close(log)

    async def begun() -> tuple[Bastion, int, asyncio.Event]:
        return await running

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(main())

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    bastion, port, over = asyncio.run_coroutine_threadsafe(begun(), loop).result(PATIENCE)
    backend = Backend(place.address)
    gc.collect()
    gc.disable()  # its turns are apart
    try:
        yield Watched(loop, bastion, port, backend, place.path(""))
    finally:
        gc.enable()
        backend.close()
        loop.call_soon_threadsafe(over.set)
        thread.join(PATIENCE)
        loop.close()
