"""Two sockets joined: what comes from one goes to the other, as fast as the slower one reads.

What is sent is never more than one read ahead of its reader.  An end of input is passed on and the other
direction goes on (half-close); a reset is passed on as a reset, once what came before it has arrived.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import termios
from collections.abc import Callable

from bastion.network.sockets import linger_none
from bastion.network.tcp.poller import ERR, HUP, IN, OUT, READ, Poller
from bastion.runtime.deadlines import Deadlines

READS, MOVES = 4, 4  # whole reads of one socket in a turn
NONBLOCK = getattr(os, "SPLICE_F_NONBLOCK", 2)
LOOK = 0.05  # seconds between looks at what is still on its way
LEAVE = 2.0  # seconds that what came before a reset has to arrive
UNREGISTERED = -1

NEVER = float("inf")


class End:
    """One of the two sockets; `received` bytes came from it."""

    __slots__ = ("ended", "fd", "finished", "mask", "other", "received", "relay", "sock", "unsent")

    def __init__(self, relay: Relay, sock: socket.socket) -> None:
        self.relay = relay
        self.sock = sock
        self.fd = sock.fileno()
        self.other: End
        self.mask = UNREGISTERED
        self.unsent = b""  # came from the other one, which is not read meanwhile
        self.received = 0
        self.ended = False  # it will send no more
        self.finished = False  # and it was told that no more will come

    def want(self, mask: int) -> None:
        if mask == self.mask:
            return
        if self.mask == UNREGISTERED:
            self.relay.poller.add(self.fd, mask, self.ready)
        else:
            self.relay.poller.change(self.fd, mask)
        self.mask = mask

    def ready(self, events: int) -> None:
        if events & OUT and self.unsent:
            self._flush()
        if not events & (IN | ERR | HUP) or self.relay.is_over:
            return
        if not self.ended and not self.other.unsent:
            self._read()
        elif events & ERR or self.ended:
            self.relay.reset(self)
        else:  # all came, and is not wanted yet; HUP would be told for ever
            self.relay.poller.remove(self.fd)
            self.mask = UNREGISTERED

    def _read(self) -> None:
        buffer, other = self.relay.poller.buffer, self.other
        for _ in range(READS):
            try:
                size = self.sock.recv_into(buffer)
            except BlockingIOError:
                return None
            except OSError:
                return self.relay.reset(self)
            if not size:
                return self._ends()
            self.received += size
            try:
                sent = other.sock.send(buffer[:size])
            except BlockingIOError:
                sent = 0
            except OSError:
                return self.relay.reset(other)
            if sent < size:
                return other.hold(bytes(buffer[sent:size]))
            if size < READ:
                return None
            if self.relay.poller.pipe is not None:
                return self._move(*self.relay.poller.pipe)
        return None

    def _move(self, out: int, into: int) -> None:
        """What comes in bulk passes by no buffer of ours, at 0.6 times the CPU of reading and sending."""
        other = self.other
        for _ in range(MOVES):
            try:
                size = left = os.splice(self.fd, into, READ, flags=NONBLOCK)
            except BlockingIOError:
                return None
            except OSError:
                return self.relay.reset(self)
            if not size:
                return self._ends()
            self.received += size
            while left:
                try:
                    left -= os.splice(out, other.fd, left, flags=NONBLOCK)
                except BlockingIOError:
                    return other.hold(os.read(out, left))
                except OSError:
                    os.read(out, left)
                    return self.relay.reset(other)
        return None

    def hold(self, data: bytes) -> None:
        """To be sent once the socket takes it."""
        self.unsent = data
        self.want((self.mask if self.mask != UNREGISTERED else 0) | OUT)
        if self.other.mask > 0:
            self.other.want(self.other.mask & ~IN)

    def _flush(self) -> None:
        try:
            sent = self.sock.send(self.unsent)
        except BlockingIOError:
            return None
        except OSError:
            return self.relay.reset(self)
        self.unsent = self.unsent[sent:]
        if self.unsent:
            return None
        self.want(self.mask & ~OUT)
        if self.other.ended:
            self.finish()
        else:
            self.other.want((self.other.mask if self.other.mask != UNREGISTERED else 0) | IN)
        return None

    def _ends(self) -> None:
        self.ended = True
        if self.finished and not self.other.unsent:
            self.relay.end("")
            return
        self.want(self.mask & ~IN)
        if not self.other.unsent:
            self.other.finish()

    def finish(self) -> None:
        """No more will come for it."""
        self.finished = True
        if self.other.finished:
            self.relay.end("")
            return
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.relay.reset(self)

    def rest(self) -> bytes:
        """What has come and was not read, of a socket that is reset."""
        pieces: list[bytes] = []
        with contextlib.suppress(OSError):
            while len(pieces) < READS and (piece := self.sock.recv(READ)):
                pieces.append(piece)
                self.received += len(piece)
        return b"".join(pieces)


class Relay:
    """`over` is called at the end, with the reason: empty where both sides ended by themselves.

    `idle` in seconds, 0 for never: without a byte for so long (at most twice) it ends; `most`: seconds that
    it may last, 0 for any time.  `early` goes to the backend before what comes.
    """

    __slots__ = (
        "_deadlines",
        "_idle",
        "_idle_at",
        "_moved",
        "_over",
        "_until",
        "backend",
        "client",
        "deadline",
        "is_over",
        "poller",
    )

    def __init__(
        self,
        poller: Poller,
        deadlines: Deadlines,
        sockets: tuple[socket.socket, socket.socket],
        over: Callable[[Relay, str], None],
        *,
        idle: float = 0.0,
        most: float = 0.0,
        early: bytes = b"",
    ) -> None:
        """`sockets`: the client's and the backend's, which is connected and may be known to `poller`."""
        self.poller = poller
        self._over = over
        self.is_over = False
        self.client, self.backend = End(self, sockets[0]), End(self, sockets[1])
        self.client.other, self.backend.other = self.backend, self.client
        self._deadlines, self._idle, self._moved = deadlines, idle, 0
        self.deadline: float | None = None
        if idle or most:
            now = poller.loop.time()
            self._idle_at = now + idle if idle else NEVER
            self._until = now + most if most else NEVER
            self.deadline = min(self._idle_at, self._until)
            deadlines.add(self)
        poller.change(self.backend.fd, IN, self.backend.ready)
        self.backend.mask = IN
        if early:
            self.backend.hold(early)
        self.client.want(0 if early else IN)

    @property
    def moved(self) -> int:
        return self.client.received + self.backend.received

    def reset(self, end: End) -> None:
        """This one was reset, or is gone: the other one is told as it was."""
        if self.is_over:
            return
        other, reason = end.other, "client reset" if end is self.client else "backend reset"
        other.unsent += end.rest()
        self._ends()
        self.poller.close(end.sock)
        if other.unsent and not other.finished:
            with contextlib.suppress(OSError):
                other.unsent = other.unsent[other.sock.send(other.unsent) :]
        self.poller.remove(other.fd)
        self._pass_on(other, reason, self.poller.loop.time() + LEAVE)

    def _pass_on(self, other: End, reason: str, until: float) -> None:
        """A reset takes with it what the kernel has not delivered yet."""
        with contextlib.suppress(OSError):
            if other.unsent:
                other.unsent = other.unsent[other.sock.send(other.unsent) :]
        if (other.unsent or _on_its_way(other.sock)) and self.poller.loop.time() < until:
            self.poller.loop.call_later(LOOK, self._pass_on, other, reason, until)
            return
        linger_none(other.sock)
        self.poller.close(other.sock)
        self._over(self, reason)

    def end(self, reason: str, *, reset: bool = False) -> None:
        """Close both sides."""
        if self.is_over:
            return
        self._ends()
        for one in (self.client, self.backend):
            if reset:
                linger_none(one.sock)
            self.poller.close(one.sock)
        self._over(self, reason)

    def _ends(self) -> None:
        self.is_over = True
        self._deadlines.discard(self)

    def expired(self) -> None:
        """Of `Deadlines`."""
        now = self.poller.loop.time()
        if now >= self._until:
            self.end("lasted too long")
            return
        before, self._moved = self._moved, self.moved
        if self._moved == before:
            self.end("idle")
            return
        self._idle_at = now + self._idle
        self.deadline = min(self._idle_at, self._until)


def _on_its_way(sock: socket.socket) -> bool:
    """Whether the peer has not acknowledged everything."""
    try:
        return bool(struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except OSError:
        return False
