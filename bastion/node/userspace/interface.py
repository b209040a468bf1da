"""Service addresses on this host: an interface of our own that carries them, made over netlink."""

from __future__ import annotations

import os
import socket
import struct

NAME = "bastion-node"
_NEW_LINK, _DELETE_LINK, _NEW_ADDRESS, _DELETE_ADDRESS = 16, 17, 20, 21
_REQUEST, _ACK, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x400, 0x200
_ERROR = 2
_IFLA_IFNAME, _IFLA_LINKINFO, _IFLA_INFO_KIND = 3, 18, 1
_IFA_ADDRESS, _IFA_LOCAL, _IFA_FLAGS = 1, 2, 8
_NODAD = 0x02
_EEXIST, _ENODEV, _EADDRNOTAVAIL = 17, 19, 99
_UP = 1
KINDS = (b"dummy", b"bridge")


class Interface:
    """Raises OSError where CAP_NET_ADMIN is missing.

    A dummy interface, or a bridge without ports where the kernel has none.  Without either it is loopback,
    which keeps its addresses where this program is killed.
    """

    def __init__(self, called: str = NAME) -> None:
        remove_interface(called)  # that of an earlier run, with addresses of Services that may be gone
        self._index = socket.if_nametoindex(called if any(_made(called, kind) for kind in KINDS) else "lo")

    def add(self, address: str) -> None:
        _ask(_NEW_ADDRESS, _CREATE | _EXCLUSIVE, self._address(address), allowed=_EEXIST)

    def remove(self, address: str) -> None:
        _ask(_DELETE_ADDRESS, 0, self._address(address), allowed=_EADDRNOTAVAIL)

    def _address(self, address: str) -> bytes:
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        packed = socket.inet_pton(family, address)
        body = struct.pack("=BBBBI", family, len(packed) * 8, 0, 0, self._index)
        body += _attribute(_IFA_LOCAL, packed) + _attribute(_IFA_ADDRESS, packed)
        return body + (
            _attribute(_IFA_FLAGS, struct.pack("=I", _NODAD)) if family == socket.AF_INET6 else b""
        )


def _made(called: str, kind: bytes) -> bool:
    name = _attribute(_IFLA_IFNAME, called.encode() + b"\0")
    link = _attribute(_IFLA_LINKINFO, _attribute(_IFLA_INFO_KIND, kind + b"\0"))
    body = struct.pack("=BxHiII", 0, 0, 0, _UP, _UP) + name + link
    try:
        _ask(_NEW_LINK, _CREATE | _EXCLUSIVE, body, allowed=_EEXIST)
    except OSError as error:
        if error.errno == 1:  # EPERM
            raise
        return False
    return True


def remove_interface(called: str = NAME) -> None:
    """Whether or not it is there.  Raises OSError where CAP_NET_ADMIN is missing."""
    name = _attribute(_IFLA_IFNAME, called.encode() + b"\0")
    _ask(_DELETE_LINK, 0, struct.pack("=BxHiII", 0, 0, 0, 0, 0) + name, allowed=_ENODEV)


def _attribute(kind: int, value: bytes) -> bytes:
    padded = value + b"\0" * (-len(value) % 4)
    return struct.pack("=HH", len(value) + 4, kind) + padded


def _ask(kind: int, flags: int, body: bytes, allowed: int) -> None:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(5.0)
        netlink.send(struct.pack("=IHHII", 16 + len(body), kind, _REQUEST | _ACK | flags, 1, 0) + body)
        said, answered = struct.unpack_from("=4xH10xi", netlink.recv(65536))
        if said == _ERROR and answered and -answered != allowed:
            raise OSError(-answered, os.strerror(-answered))
