"""One interface on which addresses are claimed: what is asked there, and what is said."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import logging
import socket
import struct
from collections.abc import Callable

from bastion.node.balancers import packets
from bastion.node.balancers.packets import Asked

AT_ONCE = 64  # packets in one turn of the loop
_SO_ATTACH_FILTER = 26
_SIOCGIFHWADDR = 0x8927
_ETHERNET = 1  # ARPHRD_ETHER

# Berkeley packet filter: the kernel wakes us for these alone.
_LOAD_HALF, _LOAD_BYTE, _EQUAL, _RETURN = 0x28, 0x30, 0x15, 0x06
_FILTERS = {
    packets.ARP: (  # operation: request
        (_LOAD_HALF, 0, 0, 20),
        (_EQUAL, 0, 1, packets.REQUEST),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ),
    packets.IPV6: (  # next header: ICMPv6, and its type: neighbour solicitation
        (_LOAD_BYTE, 0, 0, 20),
        (_EQUAL, 0, 3, packets.ICMPV6),
        (_LOAD_BYTE, 0, 0, 54),
        (_EQUAL, 0, 1, packets.SOLICITATION),
        (_RETURN, 0, 0, 0xFFFF),
        (_RETURN, 0, 0, 0),
    ),
}
_READ: dict[int, Callable[[bytes], Asked | None]] = {
    packets.ARP: packets.read_arp,
    packets.IPV6: packets.read_solicitation,
}

_log = logging.getLogger("bastion.node")


def mac_of(name: str) -> bytes:
    """Empty where it is not like Ethernet.  Raises OSError."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        told = fcntl.ioctl(sock, _SIOCGIFHWADDR, struct.pack("16s16x8x", name.encode()))
    kind = struct.unpack_from("=H", told, 16)[0]
    return told[18:24] if kind == _ETHERNET else b""


class Link:
    """`answers` says whether this node answers for an address now; it is asked for each packet."""

    def __init__(self, name: str, index: int, own: str, answers: Callable[[str], bool]) -> None:
        """`own` is its IPv6 address that neighbours are told from, empty where it has none.

        Raises OSError, where CAP_NET_RAW is missing, too.
        """
        self.name = name
        self.index = index
        self.own = own
        self.mac = mac_of(name)
        self._answers = answers
        self._sockets: dict[int, socket.socket] = {}
        self._groups: socket.socket | None = None
        self._joined: set[bytes] = set()
        try:
            for kind in (packets.ARP, *((packets.IPV6,) if own else ())):
                self._listen(kind)
            if own:
                # only to be a member of groups: what comes is read elsewhere, also what is sent to us alone
                self._groups = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
        except OSError:
            self.close()
            raise

    def _listen(self, kind: int) -> None:
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, 0)  # nothing yet
        self._sockets[kind] = sock
        _attach(sock, _FILTERS[kind])
        sock.bind((self.name, kind))
        asyncio.get_running_loop().add_reader(sock.fileno(), self._ready, sock, kind)

    def _ready(self, sock: socket.socket, kind: int) -> None:
        for _ in range(AT_ONCE):
            try:
                frame = sock.recv(2048)
            except BlockingIOError:
                return
            except OSError as error:  # the interface went down, or is gone: it is looked at again soon
                _log.info("%s: %s", self.name, error.strerror)
                return
            asked = _READ[kind](frame)
            if asked is None or asked.mac == self.mac or not self._answers(asked.address):
                continue
            if kind == packets.ARP:
                self._send(kind, packets.arp_reply(asked, self.mac))
            else:
                self._send(kind, packets.advertisement(asked, self.mac, self.own))

    def announce(self, address: str) -> None:
        """Unasked, so that all send here from now on what they sent elsewhere."""
        if ":" not in address:
            for frame in packets.gratuitous_arp(address, self.mac):
                self._send(packets.ARP, frame)
        elif self.own:
            self._send(packets.IPV6, packets.unsolicited(address, self.mac, self.own))

    def hear(self, addresses: frozenset[str]) -> None:
        """Be a member of the groups by which these are asked for, and of no other."""
        if self._groups is None:
            return
        wanted = {packets.solicited_group(address) for address in addresses if ":" in address}
        changes = [
            (socket.IPV6_JOIN_GROUP, wanted - self._joined),
            (socket.IPV6_LEAVE_GROUP, self._joined - wanted),
        ]
        for option, groups in changes:
            for group in groups:
                with contextlib.suppress(OSError):  # a limit of the kernel, or the interface is gone
                    self._groups.setsockopt(
                        socket.IPPROTO_IPV6, option, group + struct.pack("=I", self.index)
                    )
        self._joined = wanted

    def _send(self, kind: int, frame: bytes) -> None:
        with contextlib.suppress(OSError):  # a link that is down
            self._sockets[kind].send(frame)

    def close(self) -> None:
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()
        if self._groups is not None:
            self._groups.close()


def _attach(sock: socket.socket, program: tuple[tuple[int, int, int, int], ...]) -> None:
    code = b"".join(struct.pack("=HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)  # until the kernel has copied it
    head = struct.pack("HL", len(program), ctypes.addressof(buffer))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, head)
