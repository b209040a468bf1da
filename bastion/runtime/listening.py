"""Listening sockets."""

from __future__ import annotations

import socket
from typing import Any

BACKLOG = 4096  # connections that wait to be accepted; the kernel takes the less of this and somaxconn


def listen(
    address: Any, family: int | None = None, *, both: bool = False, shared: bool = False
) -> socket.socket:
    """A listening TCP socket at (host, port) or what getaddrinfo returned; the family is the host's.

    `both`: one of IPv6 takes IPv4 as well; `shared`: other processes may listen there (SO_REUSEPORT).
    Raises OSError.
    """
    if family is None:
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, int(not both))
        sock.bind(address)
        sock.listen(BACKLOG)
        sock.setblocking(False)
    except OSError:
        sock.close()
        raise
    return sock
