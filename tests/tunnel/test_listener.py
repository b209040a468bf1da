"""`bastion tunnel`: local ports that lead through a bastion."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.e2e.harness import ALICE, BOB, Bastion, Place, Program
from tests.tunnel.test_connect import awaited, proxy  # noqa: F401

LINE = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) -> 7000")


def tunnel(bastion: Bastion, folder: Path, *words: object, token: str = ALICE) -> Program:
    return Program(
        folder,
        "tunnel",
        *words,
        "--bastion",
        bastion.url,
        "--token",
        token,
        "--certificate-authority",
        bastion.cluster.ca,
    )


async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says how many bytes came, once no more will."""
    writer.write(b"%d" % len(await reader.read(-1)))
    await writer.drain()
    writer.close()


@awaited
async def test_a_local_port_carries_both_ends_apart(proxy: Bastion, pod: Place, tmp_path: Path) -> None:  # noqa: F811
    async with await asyncio.start_server(count, pod.address, 7000):
        program = tunnel(proxy, tmp_path, f"pod/{pod.name}", ":7000")
        try:
            line = await asyncio.to_thread(
                program.until,
                lambda: re.search(r"Forwarding from 127\.0\.0\.1:(\d+) -> 7000", program.stdout),
            )
            for _ in range(2):  # the port stays
                reader, writer = await asyncio.open_connection("127.0.0.1", int(line[1]))
                writer.write(b"x" * 100000)
                writer.write_eof()
                assert await reader.read(-1) == b"100000"
                writer.close()
            program.signal(signal.SIGINT)
            assert await asyncio.to_thread(program.wait) == 0
        finally:
            program.end()


@pytest.mark.parametrize(
    ("words", "token", "says"),
    [
        (("svc/pair", "80"), BOB, "create"),
        (("svc/nothere", ":80"), ALICE, 'services "nothere" not found'),
        (("svc/pair", ":9"), ALICE, "no service port 9"),
        (("svc/pair", ":80"), "guessed", "Unauthorized"),
    ],
)
def test_what_is_refused_is_told_before_anything_listens(
    proxy: Bastion,  # noqa: F811
    tmp_path: Path,
    words: tuple[str, ...],
    token: str,
    says: str,
) -> None:
    program = tunnel(proxy, tmp_path, *words, token=token)
    assert program.wait() == 1
    assert says in program.stderr and program.stdout == ""


def test_a_port_that_is_taken_is_an_error(proxy: Bastion, tmp_path: Path) -> None:  # noqa: F811
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = tunnel(proxy, tmp_path, "svc/nobody", f"{port}:80")
        assert program.wait() == 1
    assert str(port) in program.stderr
