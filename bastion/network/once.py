"""A socket to exactly one address, for one use: checked as every dial is, never pooled, never tried again."""

from __future__ import annotations

import asyncio
import socket

from bastion.kube.endpoint import KUBELET, Endpoint
from bastion.kube.errorwords import ADDRESS_REFUSED
from bastion.network.addresses import DialPolicy
from bastion.network.errors import NOT_DIALLED, DialError
from bastion.network.sockets import prepare


async def connect_once(policy: DialPolicy, endpoint: Endpoint, *, udp: bool = False) -> socket.socket:
    """Connected.  Raises DialError where the address is not allowed, and OSError."""
    address, port = endpoint.address, endpoint.port
    if not policy.permits(address, port) or (
        endpoint.tls != KUBELET and policy.reaches_kubelet(address, port)
    ):
        raise DialError(NOT_DIALLED, ADDRESS_REFUSED)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    sock = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        if not udp:
            prepare(sock)
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except BaseException:
        sock.close()
        raise
    return sock
