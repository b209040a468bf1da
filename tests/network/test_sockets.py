"""What the kernel is told of a connection."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from bastion.network.sockets import UNSENT, prepare


@pytest.mark.parametrize("prepared", [False, True])
def test_a_peer_who_takes_nothing_gets_little(prepared: Any) -> None:
    """The kernel of a prepared connection does not take what it cannot send: 2.5 MiB a connection
    otherwise.
    """
    with socket.socket() as listener, socket.socket() as sender:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        sender.connect(listener.getsockname())
        receiver, _ = listener.accept()
        with receiver:
            sender.setblocking(False)
            if prepared:
                prepare(sender)
            taken = 0
            with pytest.raises(BlockingIOError):
                for _ in range(1000):
                    taken += sender.send(bytes(65536))
            assert (taken <= UNSENT + 65536 + 8192) is prepared


def test_small_writes_go_out_at_once() -> None:
    with socket.socket() as sock:
        prepare(sock)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
