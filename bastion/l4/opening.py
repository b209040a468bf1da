"""The first bytes of a connection, where they say who the client is, or which server it means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Generic, TypeVar

from bastion.network.tcp.poller import IN, Poller

PATIENCE = 10.0  # seconds for these bytes to come

T = TypeVar("T")


class Opening(Generic[T]):
    """`read` gives None while more must come, and raises one of `bad` where it will never do."""

    __slots__ = ("_bad", "_data", "_done", "_poller", "_read", "_sock", "_timer")

    def __init__(
        self,
        poller: Poller,
        sock: socket.socket,
        data: bytes,
        read: Callable[[bytes], T | None],
        bad: type[Exception],
        done: Callable[[T | None, bytes], None],
    ) -> None:
        """`data` came already; `done` is called once, with what was found and all that came: None where the
        connection means nothing.
        """
        self._poller = poller
        self._sock = sock
        self._data = data
        self._read = read
        self._bad = bad
        self._done = done
        self._timer: asyncio.TimerHandle | None = None
        if not data or not self._look():
            poller.add(sock.fileno(), IN, self._ready)
            self._timer = poller.loop.call_later(PATIENCE, self._end, None)

    def _ready(self, _: int) -> None:
        try:
            size = self._sock.recv_into(self._poller.buffer)
        except BlockingIOError:
            return None
        except OSError:
            size = 0
        if not size:
            return self._end(None)
        self._data += bytes(self._poller.buffer[:size])
        self._look()
        return None

    def _look(self) -> bool:
        try:
            found = self._read(self._data)
        except self._bad:
            self._end(None)
            return True
        if found is not None:
            self._end(found)
        return found is not None

    def _end(self, found: T | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._poller.remove(self._sock.fileno())
        self._done(found, self._data)
