"""What all suites need: two cores, a directory, loopback addresses that are free, a certificate,
users.
"""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import shutil
import socket
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bastion.runtime.certificates import Authority
from bench.fixture import BACKEND_PORT, User
from bench.processes import Processes

USERS = 50
DESCRIPTORS = 20_000  # far more and HAProxy takes memory for all of them
NEEDED = {"taskset": "util-linux", "setpriv": "util-linux"}


class Unable(Exception):
    """What this machine lacks, in one sentence."""


@dataclass(frozen=True, slots=True)
class Ground:
    """`network`: the first three numbers of the backends' addresses.  `seconds`: how long a load lasts."""

    directory: Path
    processes: Processes
    network: str
    proxy_core: int
    load_core: int
    seconds: int
    users: tuple[User, ...]

    @property
    def certificate(self) -> Path:
        return self.directory / "tls.crt"

    @property
    def key(self) -> Path:
        return self.directory / "tls.key"

    def client_tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self.directory / "ca.crt"))

    def file(self, name: str, content: str) -> Path:
        path = self.directory / name
        path.write_text(content)
        return path


@contextlib.contextmanager
def prepared(seconds: int) -> Iterator[Ground]:
    """Removes its processes and files at the end.  Raises Unable."""
    proxy_core, load_core = _cores()
    for tool, package in NEEDED.items():
        require(tool, package)
    raise_descriptor_limit()
    with (
        tempfile.TemporaryDirectory(prefix="bastion-bench-") as name,
        Processes(Path(name)) as processes,
        _on_core(load_core),
    ):
        users = tuple(User(f"user-{i:02}", secrets.token_urlsafe(24)) for i in range(USERS))
        ground = Ground(Path(name), processes, free_network(), proxy_core, load_core, seconds, users)
        _write_certificate(ground)
        yield ground


def require(tool: str, package: str) -> None:
    """Raises Unable."""
    if shutil.which(tool) is None:
        raise Unable(f"{tool} is not installed (Debian: apt install {package})")


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def free_network() -> str:
    """The first of 127.99.0.0/24 … 127.99.9.0/24 without a server.  Raises Unable."""
    for third in range(10):
        network = f"127.99.{third}"
        if _free(f"{network}.10"):
            return network
    raise Unable(
        f"somebody listens on port {BACKEND_PORT} of all of 127.99.0.10 … 127.99.9.10: the backends have no"
        " place"
    )


def raise_descriptor_limit() -> None:
    """As far as is needed and may be without privileges; inherited by what is started."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < DESCRIPTORS:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(DESCRIPTORS, hard), hard))


def _cores() -> tuple[int, int]:
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise Unable("two cores are needed: one for the proxy, one for load and backend")
    return cores[0], cores[1]


@contextlib.contextmanager
def _on_core(core: int) -> Iterator[None]:
    """This process is part of the load: it stays off the core of the proxy that is measured."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free(address: str) -> bool:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((address, BACKEND_PORT))
        except OSError:
            return False
        return True


def _write_certificate(ground: Ground) -> None:
    """One for all proxies: a handshake costs the same everywhere."""
    authority = Authority("bench")
    pair = authority.issue(["127.0.0.1", "localhost"])
    (ground.directory / "ca.crt").write_bytes(authority.pem)
    ground.certificate.write_bytes(pair.certificate)
    ground.key.touch(0o600)
    ground.key.write_bytes(pair.key)
