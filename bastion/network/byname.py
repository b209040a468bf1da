"""A TCP connection to a name: to the first of its addresses that takes one (RFC 8305)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

DELAY = 0.25  # seconds after which the next address is tried beside the ones before


async def connect(host: str, port: int, prepare: Callable[[socket.socket], None]) -> socket.socket:
    """`prepare` sets a socket's options.  Raises OSError."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):
        raise OSError(f"lookup {host}: no such host") from None
    left = [(family, address) for family, _, _, _, address in found]
    running: set[asyncio.Task[socket.socket]] = set()
    failure: BaseException | None = None
    try:
        while left or running:
            if left:
                running.add(asyncio.create_task(_connect(*left.pop(0), prepare)))
            done, running = await asyncio.wait(
                running, timeout=DELAY if left else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                failure = task.exception()
                if failure is None:
                    return task.result()
    finally:
        for task in running:
            task.cancel()
    raise failure or OSError(f"lookup {host}: no such host")


async def _connect(
    family: socket.AddressFamily, address: Any, prepare: Callable[[socket.socket], None]
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
