"""Where is it served?  Sockets with the errors of Go's net package, and what accepts on them."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from dataclasses import dataclass
from pathlib import Path

from bastion.localproxy.options import Options
from bastion.runtime import listening


class ListenError(Exception):
    """In Go's words."""


@dataclass(frozen=True, slots=True)
class ListenSocket:
    """`shown` as the start line has it."""

    sock: socket.socket
    shown: str

    @property
    def port(self) -> int:
        return 0 if self.sock.family == socket.AF_UNIX else int(self.sock.getsockname()[1])


def listen(options: Options) -> ListenSocket:
    """Raises ListenError."""
    if options.unix_socket:
        return ListenSocket(_unix(options.unix_socket), options.unix_socket)
    sock = tcp(options.address, options.port)
    host, port = sock.getsockname()[:2]
    return ListenSocket(sock, f"[{host}]:{port}" if ":" in host else f"{host}:{port}")


def tcp(address: str, port: int) -> socket.socket:
    """`address` may be a name, or stand in brackets; empty or 0.0.0.0 is every address.

    Raises ListenError.
    """
    if not 0 <= port < 65536:
        raise ListenError(f"listen tcp: address {port}: invalid port")
    host = address[1:-1] if address[:1] == "[" and address[-1:] == "]" else address
    everywhere = host in ("", "0.0.0.0", "::")  # noqa: S104 that is what was asked for
    if everywhere:
        host = "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (socket.gaierror, UnicodeError):
        raise ListenError(f"listen tcp: lookup {address}: no such host") from None
    family, _, _, _, where = min(found, key=lambda one: one[0] != socket.AF_INET)
    try:
        return listening.listen(where, family, both=everywhere)
    except OSError as error:
        shown = f"[{where[0]}]:{port}" if ":" in str(where[0]) else f"{where[0]}:{port}"
        raise ListenError(f"listen tcp {shown}: bind: {_cause(error)}") from None


def _unix(path: str) -> socket.socket:
    """For its owner alone.  What a dead process left behind is taken over, what lives is left alone."""
    in_use = ListenError(f"listen unix {path}: bind: {os.strerror(errno.EADDRINUSE).lower()}")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if os.path.lexists(path):
            if not stat.S_ISSOCK(os.lstat(path).st_mode) or _is_alive(path):
                raise in_use
            Path(path).unlink()
        before = os.umask(0o077)
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        sock.listen(listening.BACKLOG)
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise ListenError(f"listen unix {path}: bind: {_cause(error)}") from None
    except ListenError:
        sock.close()
        raise
    return sock


def _is_alive(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
        except OSError:
            return True  # no permission, or a full backlog: somebody is there
    return True


class Removal:
    """Removes our own socket at the end, and not one that another process has put there since."""

    def __init__(self, path: str) -> None:
        self._path = Path(path).absolute()
        self._identity = self._look()

    def __call__(self) -> None:
        if self._identity is not None and self._look() == self._identity:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.lstat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


def _cause(error: OSError) -> str:
    return (
        os.strerror(error.errno).lower()
        if error.errno is not None and error.errno in errno.errorcode
        else str(error)
    )
