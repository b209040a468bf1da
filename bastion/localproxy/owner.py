"""Which user of this machine is at the other end of a connection?"""

from __future__ import annotations

import socket
import struct
import sys
from pathlib import Path

_TABLES = {socket.AF_INET: ("tcp", "tcp6"), socket.AF_INET6: ("tcp6", "tcp")}
_MAPPED = bytes(10) + b"\xff\xff"


def owner(sock: socket.socket, proc: Path = Path("/proc/net")) -> int | None:
    """The user id; None where it cannot be told: the peer is on another machine, or this is not Linux."""
    if sock.family == socket.AF_UNIX:
        size = struct.calcsize("3i")
        _, uid, _ = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
        return int(uid)
    try:
        peer, here = sock.getpeername(), sock.getsockname()
    except OSError:
        return None
    for table in _TABLES[sock.family]:
        uid = _in_table(proc / table, peer, here, wide=table == "tcp6")
        if uid is not None:
            return uid
    return None


def _in_table(table: Path, peer: tuple[str, int], here: tuple[str, int], *, wide: bool) -> int | None:
    """Of the socket whose own address is the peer's, and whose peer's is ours (proc_net_tcp in the kernel's
    documentation).
    """
    own, other = (f"{_hex(host, wide=wide)}:{port:04X}" for host, port, *_ in (peer, here))
    try:
        with table.open() as lines:
            next(lines, None)
            for line in lines:
                words = line.split()
                if words[1] == own and words[2] == other:
                    # a socket that its process has closed has no inode, and is shown as root's
                    return int(words[7]) if words[9] != "0" else None
    except (OSError, IndexError, ValueError):
        pass
    return None


def _hex(host: str, *, wide: bool) -> str:
    """Words of 32 bits in the machine's byte order, in hexadecimal."""
    if ":" in host:
        packed = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
        packed = packed if wide else packed[12:]
    else:
        packed = socket.inet_pton(socket.AF_INET, host)
        packed = _MAPPED + packed if wide else packed
    order = "<" if sys.byteorder == "little" else ">"
    return "".join(f"{word:08X}" for word in struct.unpack(f"{order}{len(packed) // 4}I", packed))
