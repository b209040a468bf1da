"""What is set on a connection in the kernel, and what does the kernel know of one whose reading is paused?

A paused transport sees neither FIN nor RST; the state of the socket shows them.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import socket
import struct

UNSENT = 131072  # bytes that wait in the kernel behind those under way: more would gain no speed

# Seconds and counts; the last, in milliseconds, is for what was sent and is not acknowledged.
_WATCHED = {"TCP_KEEPIDLE": 15, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 20000}
_ATTACH_FILTER, _DETACH_FILTER = 26, 27  # of asm-generic/socket.h
_ESTABLISHED = 1
_CLOSE = 7  # of include/net/tcp_states.h: reset, or closed on both sides


def prepare(sock: socket.socket) -> None:
    """Small writes go out at once; of large ones the kernel takes a little at a time (otherwise 2.5 MiB, even
    where the peer does not read).
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT)


def prepare_watched(sock: socket.socket) -> None:
    """`prepare`; and a peer that is gone without a word is noticed, also where nothing is sent for hours."""
    prepare(sock)
    _watch(sock)


def prepare_relayed(sock: socket.socket) -> None:
    """Of a relay of plain TCP: the kernel takes as much as it would of the peer itself, and a peer that is
    gone without a word is noticed.

    Not by TCP_USER_TIMEOUT: it would end connections of readers that pause for longer, as `less` does.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _watch(sock, but="TCP_USER_TIMEOUT")


def _watch(sock: socket.socket, but: str = "") -> None:
    for name, value in _WATCHED.items():
        if hasattr(socket, name) and name != but:
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


class CutTransport(asyncio.Transport):
    """One whose orderly end is a message of its own, as close_notify is of TLS."""

    def cut(self) -> None:
        """Close without it, after what is written has gone out."""
        raise NotImplementedError


def _state(transport: asyncio.BaseTransport) -> int:
    sock = transport.get_extra_info("socket")
    try:
        return int(sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0])
    except (OSError, AttributeError):
        return _CLOSE if sock is None else _ESTABLISHED  # not Linux, or not TCP: unknown


def linger_none(sock: socket.socket) -> None:
    """Make the close of this socket a RST."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def reset_on_close(transport: asyncio.BaseTransport) -> None:
    """Make the close of this connection a RST."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        linger_none(sock)


def is_reset(transport: asyncio.BaseTransport) -> bool:
    """The connection is gone in both directions."""
    return _state(transport) == _CLOSE


def peer_has_left(transport: asyncio.BaseTransport) -> bool:
    """The peer has closed at least its own direction."""
    return _state(transport) != _ESTABLISHED


def is_local(address: str) -> bool:
    """Whether the address is one of this machine's."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((address, 0))
        except OSError:
            return False
    return True


def admit(sock: socket.socket, program: bytes) -> None:
    """Of what comes to a listening socket the kernel drops what the program returns 0 for; empty: nothing.

    In instructions of classic BPF.  Raises OSError.
    """
    if program:
        steps = ctypes.create_string_buffer(program, len(program))
        told = struct.pack("@HP", len(program) // 8, ctypes.addressof(steps))
        sock.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, told)
    else:
        with contextlib.suppress(FileNotFoundError):  # there was none
            sock.setsockopt(socket.SOL_SOCKET, _DETACH_FILTER, 0)
