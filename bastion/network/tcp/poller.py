"""Which of many sockets can be read or written now?

One epoll of our own, which the loop watches as a single descriptor.  A transport of the loop costs some KiB
for each socket and allocates what it reads; here a socket is an entry of a dictionary, and all are read into
one buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import select
import socket
from collections.abc import Callable

IN, OUT, ERR, HUP = select.EPOLLIN, select.EPOLLOUT, select.EPOLLERR, select.EPOLLHUP
READ = 1 << 18  # bytes that one read may bring
MOST = 128  # sockets in one turn: the loop's other work waits no longer

Handler = Callable[[int], None]  # with the events


class Poller:
    """Level-triggered: a handler that leaves something unread is called again.  ERR and HUP always come."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.buffer = memoryview(bytearray(READ))  # what was read is good until the next read of any socket
        self.pipe = _pipe()
        self._epoll = select.epoll()
        self._handlers: dict[int, Handler] = {}
        self._closing: list[socket.socket] | None = None
        self.loop.add_reader(self._epoll.fileno(), self._turn)

    def __len__(self) -> int:
        return len(self._handlers)

    def add(self, fd: int, events: int, handler: Handler) -> None:
        self._handlers[fd] = handler
        self._epoll.register(fd, events)

    def change(self, fd: int, events: int, handler: Handler | None = None) -> None:
        if handler is not None:
            self._handlers[fd] = handler
        self._epoll.modify(fd, events)

    def remove(self, fd: int) -> None:
        """Whether or not it is there."""
        if self._handlers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def close(self, sock: socket.socket) -> None:
        """The kernel forgets a closed socket by itself.

        Within a turn it is closed at the end: another socket with its number would get its events.
        """
        self._handlers.pop(sock.fileno(), None)
        if self._closing is None:
            sock.close()
        else:
            self._closing.append(sock)

    def end(self) -> None:
        """No handler is called any more."""
        self.loop.remove_reader(self._epoll.fileno())
        self._handlers.clear()
        self._epoll.close()
        for fd in self.pipe or ():
            os.close(fd)

    def _turn(self) -> None:
        self._closing = []
        try:
            for fd, events in self._epoll.poll(0, MOST):
                handler = self._handlers.get(fd)
                if handler is not None:
                    handler(events)
        finally:
            closing, self._closing = self._closing, None
            for sock in closing:
                with contextlib.suppress(OSError):
                    sock.close()


def _pipe() -> tuple[int, int] | None:
    """Through which the kernel moves what comes in bulk (splice(2)); empty whenever a handler returns.

    None where the system has no such thing.
    """
    if not hasattr(os, "splice"):
        return None
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    with contextlib.suppress(OSError):  # a limit of the user: it is smaller then
        fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, READ)
    return ends
