"""python -m bench.scale_heartbeat FLAGS: the bastion's own wiring, and a heartbeat beside it on the same
loop, until all is read.

Prints, as JSON, the longest time between two beats: as seen, and net of that for which this program could
have run and another had the core (other programs are no pause of the bastion's).
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import uvloop

from bastion.server.memory import settle_memory, tune_allocator
from bastion.settings.config import Config, serve_config
from bastion.wiring.bastion import open_bastion

EVERY = 0.001  # seconds


async def beat(beats: list[tuple[float, float]]) -> None:
    """Until cancelled."""
    while True:
        begun, held_up = time.perf_counter(), _held_up()
        await asyncio.sleep(EVERY)
        taken = time.perf_counter() - begun
        beats.append((taken - EVERY, taken - EVERY - (_held_up() - held_up)))


def _held_up() -> float:
    """Seconds that this thread waited for a core so far (sched-stats: the second number); 0 where nobody
    tells.
    """
    try:
        return int(Path(f"/proc/{os.getpid()}/schedstat").read_text().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0


async def main(config: Config) -> dict[str, float]:
    """As `bastion serve` does it, but for serving."""
    beats: list[tuple[float, float]] = []
    async with open_bastion(config, os.open(os.devnull, os.O_WRONLY)) as bastion:
        settle_memory()
        task = asyncio.create_task(beat(beats))
        begun = time.perf_counter()
        await bastion.synced()
        settle_memory()
        seconds = time.perf_counter() - begun
        await asyncio.sleep(1)
        task.cancel()
    longest, net = (max(column) * 1000 for column in zip(*beats, strict=True))
    return {"seconds": seconds, "beats": len(beats), "longest_ms": longest, "longest_net_ms": net}


if __name__ == "__main__":
    tune_allocator()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        json.dump(runner.run(main(serve_config(sys.argv[1:]))), sys.stdout)
