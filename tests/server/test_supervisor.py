"""Whole processes on one port: started, told, replaced and ended."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bastion.server.supervisor import Supervisor
from tests import fakes
from tests.fakes import until

SECRET = "5ecre7"
# Writes its pid, the letter it was told and the port of its socket into a file of its own, and waits for the
# end.
WORKER = """
import os, pathlib, signal, socket, sys
from bastion.server.supervisor import told_by_supervisor
ending = int(sys.argv[3])
signal.signal(signal.SIGTERM, lambda *_: os._exit(ending))
port = socket.socket(fileno=int(sys.argv[2])).getsockname()[1]
file = pathlib.Path(sys.argv[1], str(os.getpid()))
letter = told_by_supervisor().decode()
assert not told_by_supervisor()
file.with_suffix(".new").write_text(f"{letter} {port}")
file.with_suffix(".new").rename(file)
if ending < 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
while True:
    signal.pause()
"""


@contextlib.asynccontextmanager
async def supervised(
    folder: Path, count: int = 2, script: str = WORKER, ending: int = 0
) -> AsyncIterator[asyncio.Task[int]]:
    with socket.create_server((fakes.LOOPBACK, 0)) as sock:
        command = [sys.executable, "-c", script, str(folder), str(sock.fileno()), str(ending)]
        supervisor = Supervisor(command, count, [sock.fileno()], SECRET.encode())
        running = asyncio.create_task(supervisor.run())
        try:
            yield running
        finally:
            for pid in pids(folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await running


def pids(folder: Path) -> list[int]:
    """Of the workers that have begun, also of those that have ended."""
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit())


def alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def test_workers_inherit_the_sockets_and_are_told_the_rest_where_nobody_else_sees_it(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(tmp_path) as running:
            await until(lambda: len(pids(tmp_path)) == 2)
            told = {(tmp_path / str(pid)).read_text() for pid in pids(tmp_path)}
            assert len(told) == 1
            assert told.pop().startswith(SECRET + " ")
            for pid in pids(tmp_path):
                for file in ("environ", "cmdline"):
                    assert SECRET.encode() not in Path(f"/proc/{pid}/{file}").read_bytes()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running == 0
            assert not [pid for pid in pids(tmp_path) if alive(pid)]

    fakes.run(main())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_worker_that_ends_is_replaced(tmp_path: Path, number: signal.Signals) -> None:
    async def main() -> None:
        async with supervised(tmp_path) as running:
            await until(lambda: len(pids(tmp_path)) == 2)
            killed, other = pids(tmp_path)
            os.kill(killed, number)
            await until(lambda: len(pids(tmp_path)) == 3)
            assert not alive(killed)
            assert alive(other)
            assert not running.done()
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running == 0

    fakes.run(main())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_passed_on_and_the_worst_status_is_the_answer(
    tmp_path: Path, number: signal.Signals
) -> None:
    async def main() -> None:
        async with supervised(tmp_path, ending=3) as running:
            await until(lambda: len(pids(tmp_path)) == 2)
            os.kill(os.getpid(), number)
            assert await running == 3

    fakes.run(main())


def test_a_second_signal_ends_workers_that_do_not_listen(tmp_path: Path) -> None:
    async def main() -> None:
        async with supervised(tmp_path, ending=-1) as running:
            await until(lambda: len(pids(tmp_path)) == 2)
            os.kill(os.getpid(), signal.SIGTERM)
            await fakes.settle()
            assert not running.done()
            assert all(map(alive, pids(tmp_path)))
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running == 1
            assert not [pid for pid in pids(tmp_path) if alive(pid)]

    fakes.run(main())


def test_workers_that_die_at_once_are_not_started_without_end(tmp_path: Path) -> None:
    """And the pause between two of them does not delay the end."""
    dying = "import os, pathlib, sys; pathlib.Path(sys.argv[1], str(os.getpid())).touch()"

    async def main() -> None:
        async with supervised(tmp_path, count=1, script=dying) as running:
            await until(lambda: pids(tmp_path) and not alive(pids(tmp_path)[-1]))
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert len(pids(tmp_path)) == 1
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running == 1

    fakes.run(main())


def test_a_stop_while_many_are_started_ends_at_once(tmp_path: Path) -> None:
    """Those that are there end, and no more are started."""
    many = 300

    async def main() -> None:
        async with supervised(tmp_path, count=many) as running:
            await until(lambda: pids(tmp_path))
            os.kill(os.getpid(), signal.SIGTERM)
            async with asyncio.timeout(5):
                assert await running == 0
            assert not [pid for pid in pids(tmp_path) if alive(pid)]
            assert len(pids(tmp_path)) < many

    fakes.run(main())


def test_a_hangup_is_passed_on_to_those_who_listen_by_now(tmp_path: Path) -> None:
    hears = WORKER.replace(
        "ending = ", "signal.signal(signal.SIGHUP, lambda *_: file.with_suffix('.hup').touch())\nending = "
    )

    async def main() -> None:
        with socket.create_server((fakes.LOOPBACK, 0)) as sock:
            command = [sys.executable, "-c", hears, str(tmp_path), str(sock.fileno()), "0"]
            running = asyncio.create_task(Supervisor(command, 2, [sock.fileno()], b"x", young=0.2).run())
            await until(lambda: len(pids(tmp_path)) == 2)
            started = asyncio.get_running_loop().time()
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: asyncio.get_running_loop().time() > started + 0.3)
            os.kill(os.getpid(), signal.SIGHUP)
            await until(lambda: len(list(tmp_path.glob("*.hup"))) == 2)
            os.kill(os.getpid(), signal.SIGTERM)
            assert await running == 0

    fakes.run(main())
