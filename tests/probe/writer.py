"""Writes to a store of probe results until it is killed: one line for each result that was added."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bastion.probe import store
from bastion.probe.history import History, Key, Outcome


async def main(file: Path) -> None:
    store.EVERY = 0.02
    history = History()
    writing = store.Store(file)
    await writing.open(history, 0.0)
    key = Key("services/a/web", "m", "")
    results = history.track(key).results
    number = int(results[-1].at) if results else 0
    keep = asyncio.create_task(writing.keep())
    while not keep.done():
        number += 1
        writing.add(key, Outcome(float(number), number % 3 != 0, 0.01, "why", "web-0", ("line",)))
        print(number, flush=True)
        await asyncio.sleep(0.001)


asyncio.run(main(Path(sys.argv[1])))
