"""Writing and reading that pause, and a slow reader; no sockets."""

from __future__ import annotations

import asyncio

from bastion.network.flow import ReadGate, Stall, WriteGate
from tests.fakes import run


class Recorder:
    """A transport of which only pauses are of interest."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def pause_reading(self) -> None:
        self.calls.append("pause")

    def resume_reading(self) -> None:
        self.calls.append("resume")


def test_all_that_drain_go_on_when_the_peer_reads_again_or_is_gone() -> None:
    async def main() -> None:
        gate = WriteGate(asyncio.get_running_loop())
        await gate.drain()
        for go_on, closed in ((gate.resume, False), (gate.close, True)):
            gate.pause()
            waiting = [asyncio.create_task(gate.drain()) for _ in range(2)]
            await asyncio.sleep(0)
            assert not any(task.done() for task in waiting)
            go_on()
            await asyncio.gather(*waiting)
            assert (gate.writable, gate.closed) == (True, closed)

    run(main())


def test_reading_resumes_only_once_nothing_is_left_for_the_next_turn() -> None:
    async def main() -> None:
        gate, transport, turns = ReadGate(), Recorder(), []
        loop = asyncio.get_running_loop()
        gate.postpone(b"rest", transport, loop, lambda: turns.append(gate.take()))  # type: ignore[arg-type]
        assert not gate.resume(transport)  # type: ignore[arg-type]
        assert not turns
        await asyncio.sleep(0)
        assert turns == [b"rest"]
        assert gate.resume(transport)  # type: ignore[arg-type]
        assert not gate.resume(transport)  # type: ignore[arg-type]
        assert transport.calls == ["pause", "resume"]

    run(main())


def test_a_reader_has_more_time_only_where_it_took_something() -> None:
    stall = Stall()
    stall.begin(100, 10.0)
    assert (stall.has_moved(100, 15.0), stall.until) == (False, 10.0)
    assert (stall.has_moved(120, 16.0), stall.until) == (False, 10.0)
    assert (stall.has_moved(99, 17.0), stall.until) == (True, 17.0)
    assert (stall.has_moved(99, 18.0), stall.until) == (False, 17.0)
