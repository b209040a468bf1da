"""One probe of one endpoint under way: what it is given, and what it has found so far."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

from bastion.kube.endpoint import Endpoint
from bastion.network.addresses import DialPolicy
from bastion.network.once import connect_once
from bastion.probe.contexts import Contexts
from bastion.probe.oauth import Tokens
from bastion.probe.samples import Samples

MOST_LINES = 200  # of a log
# What the system says where the prober itself cannot work: then nothing is known of any target.
BROKEN = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.ENETDOWN, errno.EADDRNOTAVAIL)

Connect = Callable[[DialPolicy, Endpoint], Awaitable[socket.socket]]


@dataclass(frozen=True, slots=True)
class Environment:
    """What all probes share.  `connect` makes the connection to one address, as every dial is checked."""

    policy: DialPolicy
    contexts: Contexts
    tokens: Tokens = field(default_factory=Tokens)
    connect: Connect = connect_once


def anywhere(path: bytes) -> bool:
    return True


@dataclass(slots=True)
class Attempt:
    """`candidates` are the addresses of one endpoint, the users' own first; `path` is path and query as they
    go to the backend; `deadline` is of the loop's clock; `hostname` what the caller says the backend is
    called; `may_follow`: whether a redirect to a path is followed.  `reason`: why it failed, in a few words.
    """

    environment: Environment
    candidates: tuple[Endpoint, ...]
    path: bytes
    deadline: float
    hostname: str = ""
    may_follow: Callable[[bytes], bool] = anywhere
    samples: Samples = field(default_factory=Samples)
    log: list[str] = field(default_factory=list)
    reason: str = ""
    broken: bool = False

    def note(self, text: str) -> None:
        if len(self.log) < MOST_LINES:
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            self.log.append(f"ts={now} msg={text}")

    def failed(self, reason: str) -> bool:
        """Always False: whether the probe was a success."""
        self.reason = self.reason or reason
        self.note(reason)
        return False

    def error(self, error: BaseException, what: str = "") -> bool:
        """Always False."""
        self.broken = self.broken or (isinstance(error, OSError) and error.errno in BROKEN)
        return self.failed(f"{what}{cause_of(error)}")

    def choose(self, preferred: str, *, fallback: bool) -> Endpoint | None:
        """The one address to dial; None where only another family is there.

        Names are never resolved here: the time it takes is that of a look at what is known.
        """
        began = time.perf_counter()
        wanted = {"ip4": 4, "ip6": 6}.get(preferred, 6 if not fallback else 0)
        chosen = next((one for one in self.candidates if _version(one) == wanted), None)
        if chosen is None and (fallback or not wanted):
            chosen = self.candidates[0]
        self.samples.set("probe_dns_lookup_time_seconds", time.perf_counter() - began)
        self.samples.set("probe_ip_protocol", float(_version(chosen)) if chosen is not None else 0.0)
        self.samples.set("probe_ip_addr_hash", float(_hash(chosen.address)) if chosen is not None else 0.0)
        if chosen is None:
            self.failed(f"unable to find an address of IPv{wanted}, and there is no fallback")
        else:
            self.note(f"resolved to {chosen}")
        return chosen

    @property
    def left(self) -> float:
        return self.deadline - asyncio.get_running_loop().time()


def cause_of(error: BaseException) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verification failed: {error.verify_message}"
    if isinstance(error, OSError) and error.errno and not isinstance(error, ssl.SSLError):
        return os.strerror(error.errno).lower()
    return str(error) or type(error).__name__


def _version(endpoint: Endpoint) -> int:
    return 6 if ":" in endpoint.address else 4


def _hash(address: str) -> int:
    """FNV-1a of 32 bits."""
    value = 2166136261
    for byte in ipaddress.ip_address(address).packed:
        value = ((value ^ byte) * 16777619) & 0xFFFFFFFF
    return value


def zeros(samples: Samples, names: Iterable[str]) -> None:
    for name in names:
        samples.set(name, 0.0)
