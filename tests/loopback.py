"""Which addresses and ports of loopback are this process's own?

Several test runs, each in several processes, share one machine.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
import random
import socket

_KEEPER = 1097  # a port where nothing listens; below those of `free_port`
# the claims, which the kernel takes back when this process ends, however it does
_held: list[socket.socket] = []


@functools.cache
def own_network(second: int) -> str:
    """`127.SECOND.x`: 256 addresses that no other process takes while this one lives.

    What cannot be claimed is used all the same: not every system has all of 127.0.0.0/8, and then those who
    need it see it themselves.
    """
    first = os.getpid()  # not always the same ones: the last run's connections may linger there
    for number in range(256):
        network = f"127.{second}.{(first + number) % 256}"
        try:
            _claim(socket.SOCK_STREAM, f"{network}.254", _KEEPER)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                continue
        return network
    raise AssertionError(f"somebody has all of 127.{second}.0.0/16")


def free_port() -> int:
    """One that no other process of tests takes, for a program that is about to listen there.

    Below the range that the kernel gives to connections, so that none of them takes it before we do.
    """
    while True:
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("0.0.0.0", port))
            _claim(socket.SOCK_DGRAM, "127.0.0.1", port)  # of UDP's ports, so that it is in nobody's way
            return port


def _claim(kind: socket.SocketKind, address: str, port: int) -> None:
    """Raises OSError."""
    sock = socket.socket(type=kind)
    try:
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    _held.append(sock)
