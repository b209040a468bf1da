"""A client's connection led to a backend: dialled until one takes it, then relayed."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Callable
from typing import NamedTuple, Protocol

from bastion.network.sockets import linger_none
from bastion.network.tcp.poller import OUT, Poller
from bastion.network.tcp.relay import Relay
from bastion.runtime.deadlines import Deadlines

Place = tuple[str, int]  # (address, port)
Prepare = Callable[[socket.socket], None]


class Dial(NamedTuple):
    """`patience` in seconds, for the connection."""

    place: Place
    patience: float


class Forwarded(Protocol):
    """One connection of a client, and where it goes."""

    def next(self) -> Dial | None:
        """Where to connect to next; None: nowhere (any more), and the client is reset."""
        ...

    def failed(self, error: OSError) -> None:
        """The place told last could not be reached."""
        ...

    def joined(self, relay: Relay) -> None: ...

    def over(self, relay: Relay | None, reason: str) -> None:
        """Called once, whatever happened; None where it was never joined."""
        ...


class Limits(NamedTuple):
    """Seconds, 0 for none; see `Relay`."""

    idle: float = 0.0
    most: float = 0.0


UNLIMITED = Limits()


class Joiner:
    """What all connections share.  `prepare` sets options of a socket towards a backend."""

    def __init__(
        self, poller: Poller, deadlines: Deadlines, prepare: Prepare, limits: Limits = UNLIMITED
    ) -> None:
        self.poller = poller
        self.deadlines = deadlines
        self.prepare = prepare
        self.limits = limits
        self.waiting: set[Joining] = set()

    def join(
        self, client: socket.socket, forwarded: Forwarded, early: bytes = b"", prefix: bytes = b""
    ) -> None:
        """`early` came from the client already; `prefix` is sent before it."""
        Joining(self, client, forwarded, prefix + early).dial()

    def close(self) -> None:
        for one in list(self.waiting):
            one.give_up("the proxy ends")


class Joining:
    """Until it is connected."""

    __slots__ = ("_client", "_early", "_forwarded", "_joiner", "_sock", "_timer")

    def __init__(self, joiner: Joiner, client: socket.socket, forwarded: Forwarded, early: bytes) -> None:
        self._joiner = joiner
        self._client = client
        self._forwarded = forwarded
        self._early = early
        self._sock: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None
        joiner.waiting.add(self)

    def dial(self) -> None:
        while (dial := self._forwarded.next()) is not None:
            try:
                self._begin(dial)
            except OSError as error:
                self._close()
                self._forwarded.failed(error)
                continue
            return
        self.give_up("no backend")

    def _begin(self, dial: Dial) -> None:
        """Raises OSError."""
        joiner = self._joiner
        family = socket.AF_INET6 if ":" in dial.place[0] else socket.AF_INET
        sock = self._sock = socket.socket(
            family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        joiner.prepare(sock)
        with contextlib.suppress(BlockingIOError):
            sock.connect(dial.place)
        joiner.poller.add(sock.fileno(), OUT, self._ready)
        self._timer = joiner.poller.loop.call_later(dial.patience, self._late)

    def _ready(self, _: int) -> None:
        sock, joiner = self._sock, self._joiner
        assert sock is not None
        number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if number:
            self._again(OSError(number, os.strerror(number)))
            return
        self._stop_waiting()
        relay = Relay(
            joiner.poller,
            joiner.deadlines,
            (self._client, sock),
            self._forwarded.over,
            idle=joiner.limits.idle,
            most=joiner.limits.most,
            early=self._early,
        )
        self._forwarded.joined(relay)

    def _late(self) -> None:
        self._again(TimeoutError(errno.ETIMEDOUT, "no answer in time"))

    def _again(self, error: OSError) -> None:
        self._close()
        self._forwarded.failed(error)
        self.dial()

    def give_up(self, reason: str) -> None:
        self._close()
        self._stop_waiting()
        linger_none(self._client)
        self._joiner.poller.close(self._client)
        self._forwarded.over(None, reason)

    def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        sock, self._sock = self._sock, None
        if sock is not None:
            self._joiner.poller.close(sock)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._joiner.waiting.discard(self)
