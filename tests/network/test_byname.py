"""Which of a name's addresses is connected to?"""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from bastion.network import byname
from bastion.network.sockets import prepare
from tests.fakes import LOOPBACK, backend, run

NAME = "kube.example"


def named(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """What the name has; the loop itself asks for addresses, too."""
    loop = asyncio.get_running_loop()
    asked = loop.getaddrinfo

    async def look(host: str, *more: Any, **options: Any) -> Any:
        if host != NAME:
            return await asked(host, *more, **options)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]

    monkeypatch.setattr(loop, "getaddrinfo", look)


async def _closed() -> tuple[str, int]:
    async with backend() as server:
        return LOOPBACK, server.port


def test_an_address_that_refuses_is_left_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        async with backend() as server:
            named(monkeypatch, await _closed(), (LOOPBACK, server.port))
            (await byname.connect(NAME, 443, prepare)).close()

    run(main())


def test_an_address_that_is_silent_delays_the_next_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with socket.socket() as silent:
            silent.bind((LOOPBACK, 0))
            silent.listen(0)
            filling = [socket.socket() for _ in range(8)]  # its queue is full: a SYN more is not answered
            for one in filling:
                one.setblocking(False)
                one.connect_ex(silent.getsockname())
            async with backend() as server:
                named(monkeypatch, silent.getsockname(), (LOOPBACK, server.port))
                with await byname.connect(NAME, 443, prepare) as found:
                    assert found.getpeername()[1] == server.port
            for one in filling:
                one.close()

    run(main())


def test_where_all_refuse_the_system_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        named(monkeypatch, await _closed(), await _closed())
        with pytest.raises(ConnectionRefusedError):
            await byname.connect(NAME, 443, prepare)

    run(main())


def test_a_name_without_an_address_is_told() -> None:
    async def main() -> None:
        with pytest.raises(OSError, match=r"lookup kube\.invalid: no such host"):
            await byname.connect("kube.invalid", 443, prepare)

    run(main())
