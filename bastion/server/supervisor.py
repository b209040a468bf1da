"""Keeps N whole processes running on one port.

The sockets are the supervisor's and outlive every worker: a worker that dies is replaced, and the port never
closes. What a worker must know comes through a pipe, because the key of all sessions is in it: other users
can read a process's arguments, and every program that a worker starts (exec plugins) inherits its
environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Sequence

_log = logging.getLogger("bastion.supervisor")

BACKOFF = 1.0  # seconds between the death of a worker and its successor, where it died young
YOUNG = 5.0  # seconds
_PIPE = "BASTION_WORKER"  # the descriptor of that pipe
NUMBER = "BASTION_WORKER_NUMBER"  # the worker's number


class Supervisor:
    """`command` starts a worker; it inherits `descriptors`, and `told` is what `told_by_supervisor` returns
    there (some 60 KiB at most).

    Its standard input is a pipe that stays silent and ends with the supervisor: even a killed supervisor
    leaves no worker behind.
    """

    def __init__(
        self,
        command: Sequence[str],
        count: int,
        descriptors: Sequence[int],
        told: bytes,
        *,
        young: float = YOUNG,
    ) -> None:
        """`young`: seconds before a worker is expected to serve, and to listen to signals."""
        self._command = tuple(command)
        self._count = count
        self._descriptors = tuple(descriptors)
        self._told = told
        self._young = young
        self._processes: dict[int, asyncio.subprocess.Process] = {}
        self._began: dict[int, float] = {}  # by process, when
        self._starting = asyncio.Lock()
        self._stopping = asyncio.Event()

    async def run(self) -> int:
        """Until SIGTERM or SIGINT, and all workers have ended.

        The exit status: 0 where every worker ended well.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        statuses = await asyncio.gather(*(self._keep(index) for index in range(self._count)))
        return max(statuses, default=0)

    async def _keep(self, index: int) -> int:
        """One worker after the other; the status of the last."""
        loop = asyncio.get_running_loop()
        while True:
            async with self._starting:  # one at a time, so that a signal is handled between two of them
                if self._stopping.is_set():
                    return 0
                process = await self._start(index)
            began = self._began[process.pid] = loop.time()
            status = await process.wait()
            del self._began[process.pid]
            if self._stopping.is_set():
                # A worker that the signal killed had not installed its handler yet, and served nothing.
                return status if status >= 0 else int(status != -signal.SIGTERM)
            _log.error(
                "worker %d (pid %d) ended with status %d: starting another", index, process.pid, status
            )
            if loop.time() - began < self._young:
                await self._pause()
                if self._stopping.is_set():
                    return 1

    async def _start(self, index: int) -> asyncio.subprocess.Process:
        pipe, end = os.pipe()
        try:
            os.write(end, self._told)
            os.close(end)
            process = self._processes[index] = await asyncio.create_subprocess_exec(
                *self._command,
                env={**os.environ, _PIPE: str(pipe), NUMBER: str(index)},
                pass_fds=(*self._descriptors, pipe),
                stdin=asyncio.subprocess.PIPE,
            )
        finally:
            os.close(pipe)
        if self._stopping.is_set():
            process.terminate()
        await asyncio.sleep(0)
        return process

    def _hung_up(self) -> None:
        """Passed on to the workers that handle it by now; younger ones have just read everything."""
        now = asyncio.get_running_loop().time()
        for process in self._processes.values():
            if process.returncode is None and now - self._began.get(process.pid, now) >= self._young:
                process.send_signal(signal.SIGHUP)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(BACKOFF):
                await self._stopping.wait()
        except TimeoutError:
            pass

    def _signalled(self) -> None:
        """Passed on; a second one ends the workers at once, as it does with a single process."""
        again = self._stopping.is_set()
        self._stopping.set()
        for process in self._processes.values():
            if process.returncode is None:
                process.kill() if again else process.terminate()


def told_by_supervisor() -> bytes:
    """Empty where there is no supervisor; the programs that this process starts do not inherit it."""
    pipe = os.environ.pop(_PIPE, "")
    if not pipe:
        return b""
    with os.fdopen(int(pipe), "rb") as file:
        return file.read()
