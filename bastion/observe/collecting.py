"""Metrics of all workers in one scrape: the supervisor collects them for the worker that is scraped.

The supervisor, because it outlives workers: it keeps the counts of one that died, so that no counter goes
back.  Over Unix sockets in a private folder of the supervisor.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import msgspec

from bastion.observe.families import Family, Kind, Together, add, gauge, merged

PATIENCE = 1.0  # seconds for a worker to answer; the supervisor gets twice as much

_log = logging.getLogger("bastion.metrics")


class Report(msgspec.Struct):
    """`process` differs from that of the worker that had the same number before."""

    process: int
    families: list[Family]


_encode = msgspec.msgpack.Encoder().encode
_report = msgspec.msgpack.Decoder(Report)
_families = msgspec.msgpack.Decoder(list[Family])


async def serve_at(path: Path, answer: Callable[[], Awaitable[bytes]]) -> asyncio.Server:
    """Each connection gets the answer and is closed."""
    path.unlink(missing_ok=True)  # of one that died

    async def tell(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            writer.write(await answer())
            await writer.drain()
        writer.close()

    return await asyncio.start_unix_server(tell, path)


async def ask(path: Path, patience: float) -> bytes:
    """Raises OSError, TimeoutError."""
    async with asyncio.timeout(patience):
        reader, writer = await asyncio.open_unix_connection(path, limit=1 << 20)
        try:
            pieces = []
            while piece := await reader.read(1 << 20):
                pieces.append(piece)
            return b"".join(pieces)
        finally:
            writer.close()


class Worker:
    """One of the workers.  `families`: its metrics; `process`: its id."""

    def __init__(self, folder: Path, number: str, process: int, families: Callable[[], list[Family]]) -> None:
        self._folder = folder
        self._number = number
        self._process = process
        self._families = families

    async def answering(self) -> asyncio.Server:
        return await serve_at(socket_of(self._folder, self._number), self._answer)

    async def _answer(self) -> bytes:
        return _encode(Report(self._process, self._families()))

    async def of_all(self) -> list[Family]:
        """Where the supervisor does not answer, the metrics of this worker alone."""
        try:
            return _families.decode(await ask(supervisor_of(self._folder), 2 * PATIENCE))
        except (OSError, ValueError) as error:  # TimeoutError is one, msgspec's errors are the other
            _log.warning("the supervisor does not answer for the other workers: %s", error or "no answer")
            return merged({self._number: self._families()})


def workers(answered: int) -> Family:
    help = "Worker processes that answered; of the others there are only the last counts."
    return gauge("bastion_workers", help, (), {(): answered})


class Collecting:
    """The supervisor's part."""

    def __init__(self, folder: Path, numbers: Sequence[str]) -> None:
        self._folder = folder
        self._numbers = tuple(numbers)
        self._last: dict[str, Report] = {}
        self._gone: dict[str, Family] = {}  # counters of workers that are no more

    async def answering(self) -> asyncio.Server:
        return await serve_at(supervisor_of(self._folder), self._answer)

    async def _answer(self) -> bytes:
        return _encode(await self.families())

    async def families(self) -> list[Family]:
        """Of a worker that does not answer in time the counters stay, and its gauges are left out."""
        answered = [number for number in await asyncio.gather(*map(self._ask, self._numbers)) if number]
        told = {
            number: last.families
            if number in answered
            else [family for family in last.families if _counts(family)]
            for number, last in self._last.items()
        }
        return [
            workers(len(answered)),
            *merged({**told, "": [*self._gone.values()]}),
        ]

    async def _ask(self, number: str) -> str:
        """The number where it answered."""
        try:
            told = _report.decode(await ask(socket_of(self._folder, number), PATIENCE))
        except (OSError, ValueError):
            return ""
        last = self._last.get(number)
        if last is not None and last.process != told.process:
            self._keep(last)
        self._last[number] = told
        return number

    def _keep(self, last: Report) -> None:
        for family in filter(_counts, last.families):
            known = self._gone.get(family.name)
            if known is None:
                self._gone[family.name] = family
            else:
                add(known.samples, family)


def _counts(family: Family) -> bool:
    return family.kind is not Kind.GAUGE and family.together is Together.SUM


def socket_of(folder: Path, number: str) -> Path:
    return folder / f"{number}.sock"


def supervisor_of(folder: Path) -> Path:
    return folder / "all.sock"
