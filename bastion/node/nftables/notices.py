"""Has another program changed our table?  The kernel tells of every transaction, by netlink.

A transaction does not tell which program it came from in a way that holds in a container (the process number
is the host's), so that ours are counted: what is more than that was another's.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import Iterator

from bastion.node.nftables.layout import TABLE

# linux/netfilter/nfnetlink.h, nf_tables.h
_NETFILTER, _SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP = 12, 270, 1, 7
_SUBSYSTEM, _NEW_GENERATION, _GET_RULE, _NEW_RULE = 10, 15, 7, 6
_REQUEST, _DUMP = 0x1, 0x300
_ERROR, _DONE = 2, 3
_OF_TABLE, _OF_CHAIN = 1, 2
_NUMBER = {"IPv4": socket.AF_INET, "IPv6": socket.AF_INET6}
RECEIVED = 1 << 17  # bytes of one read
QUEUED = 1 << 20  # bytes that may wait to be read
_HEAD = 20  # nlmsghdr and nfgenmsg


class Notices:
    """Of one family's table.  `touched` is set once another program has changed it.

    With `unsure` it only may have: there was too much to be told, and some of it is lost.
    """

    def __init__(self, family: str) -> None:
        self.touched = asyncio.Event()
        self.unsure = False
        self._number = _NUMBER[family]
        self._socket: socket.socket | None = None
        self._writing = False  # a transaction of ours may be under way
        self._ours = self._seen = 0  # transactions on the table
        self._in_table = False  # of the transaction that is being told

    def open(self) -> None:
        """Without the kernel's word the table is looked at now and then, as in other modes."""
        with contextlib.suppress(OSError):
            sock = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, _NETFILTER)
            self._socket = sock
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUED)
            sock.bind((0, 0))
            sock.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, _GROUP)
            self._ours = self._seen = 0
            self._in_table = False
            asyncio.get_running_loop().add_reader(sock.fileno(), self._told)

    def close(self) -> None:
        if self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
            self._socket = None

    @contextlib.contextmanager
    def own(self) -> Iterator[None]:
        """Around one transaction of ours; one that fails is none.  The kernel tells of it before it ends."""
        self._writing = True
        try:
            yield
            self._ours += 1
        finally:
            self._writing = False
            self._told()

    def _told(self) -> None:
        sock = self._socket
        if sock is None:
            return
        while True:
            try:
                self._take(sock.recv(RECEIVED))
            except BlockingIOError:
                break
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    self.close()
                    return
                self.unsure = True
        if not self._writing:
            if self.unsure or self._seen > self._ours:
                self.touched.set()
            self._ours = self._seen = 0

    def _take(self, data: bytes) -> None:
        for kind, family, attributes in _messages(data):
            if kind == _NEW_GENERATION:
                self._seen += self._in_table
                self._in_table = False
            elif family == self._number and _first(attributes) == (_OF_TABLE, TABLE):
                self._in_table = True


class Hush:
    """Nobody listens while a family writes everything: the kernel would tell each of every element."""

    def __init__(self) -> None:
        self._listening: list[Notices] = []
        self._writing = 0

    def add(self, notices: Notices) -> None:
        self._listening.append(notices)

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Afterwards all are unsure: each table may have been changed meanwhile."""
        self._writing += 1
        for one in self._listening:
            one.close()
        try:
            yield
        finally:
            self._writing -= 1
            for one in self._listening if not self._writing else ():
                one.open()
                one.unsure = True
                one.touched.set()


def rules_in(family: str, chain: str) -> int:
    """How many rules a chain of our table has.  Raises OSError.

    nft would read the whole table for that, which takes a hundred milliseconds where there are many Services.
    """
    attributes = _named(_OF_TABLE, TABLE) + _named(_OF_CHAIN, chain)
    kind = _SUBSYSTEM << 8 | _GET_RULE
    length = _HEAD + len(attributes)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETFILTER) as netlink:
        netlink.bind((0, 0))
        netlink.settimeout(5.0)
        head = struct.pack("=IHHIIBBH", length, kind, _REQUEST | _DUMP, 1, 0, _NUMBER[family], 0, 0)
        netlink.send(head + attributes)
        found = 0
        while True:
            data = netlink.recv(RECEIVED)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind == _DONE:
                    return found
                if kind == _ERROR:
                    code = -struct.unpack_from("=i", data, 16)[0]
                    if code in (errno.ENOENT, 0):
                        return found
                    raise OSError(code, "the rules cannot be counted")
                found += kind == _SUBSYSTEM << 8 | _NEW_RULE
                data = data[(length + 3) & ~3 :]


def _messages(data: bytes) -> Iterator[tuple[int, int, bytes]]:
    """(kind, family, attributes) of what nftables tells."""
    while len(data) >= _HEAD:
        length, kind = struct.unpack_from("=IH", data)
        if kind >> 8 == _SUBSYSTEM:
            yield kind & 0xFF, data[16], data[_HEAD:length]
        if length < _HEAD:
            return
        data = data[(length + 3) & ~3 :]


def _first(attributes: bytes) -> tuple[int, str]:
    """In every message but those of generations it is the table's name."""
    if len(attributes) < 4:
        return 0, ""
    length, kind = struct.unpack_from("=HH", attributes)
    return kind & 0x3FFF, attributes[4:length].rstrip(b"\0").decode(errors="replace")


def _named(kind: int, text: str) -> bytes:
    value = text.encode() + b"\0"
    return struct.pack("=HH", len(value) + 4, kind) + value + b"\0" * (-len(value) % 4)
