"""Connections are accepted: many in one turn, and with a pause where descriptors have run out."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from bastion.network.tcp.poller import IN, Poller
from bastion.runtime.listening import listen

AT_ONCE = 32  # accepted in one turn
PAUSE = 0.2  # seconds, without descriptors or memory
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

_log = logging.getLogger("bastion.network")

Accepted = Callable[[socket.socket, Any], None]  # with the peer's address as the socket has it


class Listener:
    """`sock` listens; options set on it count for what it accepts."""

    def __init__(self, poller: Poller, sock: socket.socket, accepted: Accepted) -> None:
        self._poller = poller
        self._sock = sock
        self._accepted = accepted
        self._open = True
        sock.setblocking(False)
        poller.add(sock.fileno(), IN, self._ready)

    def close(self) -> None:
        """No more connections; those that are there go on."""
        if self._open:
            self._open = False
            self._poller.close(self._sock)

    def _ready(self, _: int) -> None:
        for _ in range(AT_ONCE):
            try:
                sock, peer = self._sock.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._pause(error)
                    return
                continue  # that connection was gone already
            sock.setblocking(False)
            self._accepted(sock, peer)

    def _pause(self, error: OSError) -> None:
        _log.error("no connection can be accepted: %s", error.strerror)
        self._poller.change(self._sock.fileno(), 0)
        self._poller.loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if self._open:
            self._poller.change(self._sock.fileno(), IN)


def listening_socket(address: str, port: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """Of a port that others may open beside this one (SO_REUSEPORT): the next process, and other workers.

    Raises OSError.
    """
    if kind == socket.SOCK_STREAM:
        return listen((address, port), shared=True)
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if ":" in address:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    return sock
