"""What is in the file survives whatever happens to its writer.

SOAK_ROUNDS says how often it is killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from bastion.probe.history import History, Key, Outcome, StoreError
from bastion.probe.store import Store
from tests.fakes import run

KILLS = int(os.environ.get("SOAK_ROUNDS", "8"))
KEY = Key("services/a/web", "m", "10.0.0.1:80")


@pytest.mark.timeout(120 + 5 * KILLS)
def test_it_survives_being_killed(tmp_path: Path) -> None:
    """Nothing is lost but what was added in the last moment, nothing is there twice, nothing is broken."""
    file, chance, before = tmp_path / "h.db", random.Random(7), 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-m", "tests.probe.writer", str(file)], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            told = [int(writer.stdout.readline()) for _ in range(chance.randrange(80, 200))]
            writer.send_signal(signal.SIGKILL)
            told += map(int, writer.stdout.read().split())
        assert told[0] == before + 1
        connection = sqlite3.connect(file)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        numbers = [int(at) for (at,) in connection.execute("SELECT at FROM results ORDER BY at")]
        counted = connection.execute("SELECT sum(good) + sum(bad) FROM slots").fetchone()[0]
        connection.close()
        assert numbers == list(range(1, len(numbers) + 1))
        assert counted == len(numbers)
        assert before < len(numbers) <= told[-1]
        before = len(numbers)


def test_what_was_written_is_there_again(tmp_path: Path) -> None:
    async def main() -> None:
        store, history = Store(tmp_path / "h.db"), History()
        await store.open(history, 10_000.0)
        keep = asyncio.create_task(store.keep())
        await asyncio.sleep(0)
        for at, success in ((9_000.0, True), (9_030.0, False), (9_060.0, None)):
            store.add(KEY, Outcome(at, success, 0.5, "refused", "web-0", ("a", "b"), 503))
        store.add(KEY, Outcome(5_000.0, False, 0.5, counted=False))  # announced maintenance
        keep.cancel()
        await asyncio.gather(keep, return_exceptions=True)

        again, filled = Store(tmp_path / "h.db"), History()
        await again.open(filled, 10_000.0)
        track = filled.track(KEY)
        assert [one.success for one in track.results] == [False, True, False, None]
        assert track.slots.away == {5_000 // 600}
        assert (track.state, track.since, track.pod) == ("down", 9_030.0, "web-0")
        assert track.failures[-1].log == ("a", "b")
        assert track.slots.uptime(10_000.0, 86_400) == 0.5
        again.close()

    run(main())


def test_it_has_one_writer(tmp_path: Path) -> None:
    async def main() -> None:
        one, other = Store(tmp_path / "h.db"), Store(tmp_path / "h.db")
        await one.open(History(), 0.0)
        with pytest.raises(StoreError):
            await other.open(History(), 0.0)
        one.close()
        await other.open(History(), 0.0)
        other.close()

    run(main())


def test_what_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "h.db").write_text("something else, and long enough to have been a header" * 100)

    async def main() -> None:
        with pytest.raises(StoreError, match="not a database"):
            await Store(tmp_path / "h.db").open(History(), 0.0)

    run(main())


def test_it_is_bounded_by_size_and_age(tmp_path: Path) -> None:
    file = tmp_path / "h.db"

    async def main() -> None:
        store = Store(file, most=1 << 20)
        store._open()  # in this thread
        for batch in range(30):
            for n in range(200):
                at = (batch * 200 + n) * 600.0
                store.add(KEY, Outcome(at, True, 0.1, "x" * 50, "p" * 50, ("l" * 100,)))
            store.write()
        assert file.stat().st_size <= 1 << 20
        newest = store._connection.execute("SELECT max(at) FROM results").fetchone()[0]  # type: ignore[union-attr]
        assert newest >= 25 * 200 * 600.0
        store.prune()
        oldest = store._connection.execute("SELECT min(at) FROM results").fetchone()[0]  # type: ignore[union-attr]
        assert newest - oldest <= 7 * 86400
        store.close()

    run(main())
