"""The history in an SQLite file: one writer, in a thread of its own, which writes once a second.

WAL: a process that is killed loses what was not yet written, and never what was.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import sqlite3
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bastion.probe.history import DOWN, RESULTS, SLOT, SLOTS, UP, History, Key, Outcome, StoreError, Track

EVERY = 1.0  # seconds
PRUNE_EVERY = 600.0  # seconds
KEPT = 7 * 86400.0  # seconds that single results are kept
PAGE = 4096
MOST_TRIES = 4
MOST_WAITING = 100_000

_SCHEMA = """
CREATE TABLE IF NOT EXISTS series (
    id INTEGER PRIMARY KEY, target TEXT NOT NULL, module TEXT NOT NULL, endpoint TEXT NOT NULL,
    UNIQUE (target, module, endpoint));
CREATE TABLE IF NOT EXISTS slots (
    series INTEGER NOT NULL, slot INTEGER NOT NULL, good INTEGER NOT NULL, bad INTEGER NOT NULL,
    PRIMARY KEY (series, slot)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS results (
    series INTEGER NOT NULL, at REAL NOT NULL, success INTEGER, duration REAL NOT NULL,
    status INTEGER NOT NULL, reason TEXT NOT NULL, pod TEXT NOT NULL, log TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS results_by_time ON results (series, at);
CREATE INDEX IF NOT EXISTS results_by_age ON results (at);
"""
_log = logging.getLogger("bastion.probe")


class Store:
    """`most` bytes, 0 for no limit.  Opened by the one that probes; a second writer is refused."""

    def __init__(self, file: Path, most: int = 0) -> None:
        self._file = file
        self._most = most
        self._waiting: deque[tuple[Key, Outcome]] = deque(maxlen=MOST_WAITING)
        self._thread = ThreadPoolExecutor(1, "probe-store")
        self._connection: sqlite3.Connection | None = None
        self._lock = -1
        self._ids: dict[Key, int] = {}

    def add(self, key: Key, outcome: Outcome) -> None:
        self._waiting.append((key, outcome))

    async def open(self, history: History, now: float) -> None:
        """Fills `history`.  Raises StoreError."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._thread, self._open)
        await loop.run_in_executor(self._thread, self._fill, history, now)

    async def keep(self) -> None:
        """Writes what is added, until cancelled; then the rest."""
        loop = asyncio.get_running_loop()
        pruned = loop.time()
        try:
            while True:
                await asyncio.sleep(EVERY)
                await loop.run_in_executor(self._thread, self.write)
                if loop.time() - pruned >= PRUNE_EVERY:
                    pruned = loop.time()
                    await loop.run_in_executor(self._thread, self.prune)
        finally:
            await asyncio.shield(loop.run_in_executor(self._thread, self.close))

    # --- in the thread

    def _open(self) -> None:
        try:
            self._lock = os.open(f"{self._file}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._connection = sqlite3.connect(self._file, isolation_level=None)
            self._file.chmod(0o600)
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if self._most:
                self._connection.execute(f"PRAGMA max_page_count={max(self._most // PAGE, 64)}")
            self._connection.executescript(_SCHEMA)
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreError(f"{self._file}: {error}") from error

    def close(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(sqlite3.Error):
                self.write()
                self._connection.close()
        self._connection = None
        if self._lock >= 0:
            os.close(self._lock)
        self._lock = -1

    def _fill(self, history: History, now: float) -> None:
        assert self._connection is not None
        oldest = int(now // SLOT) - SLOTS
        for number, target, module, endpoint in self._connection.execute(
            "SELECT id, target, module, endpoint FROM series"
        ).fetchall():
            key = Key(target, module, endpoint)
            self._ids[key] = number
            track = history.track(key)
            for slot, good, bad in self._connection.execute(
                "SELECT slot, good, bad FROM slots WHERE series = ? AND slot > ? ORDER BY slot",
                (number, oldest),
            ):
                track.slots.add(slot, good, bad)
            _replay(track, self._last(number))

    def _last(self, number: int) -> list[Outcome]:
        assert self._connection is not None
        rows = self._connection.execute(
            "SELECT at, success, duration, status, reason, pod, log FROM results WHERE series = ?"
            " ORDER BY at DESC LIMIT ?",
            (number, RESULTS),
        ).fetchall()
        return [
            Outcome(
                at=at,
                success=None if success is None else bool(success),
                duration=duration,
                reason=reason,
                pod=pod,
                log=tuple(log.split("\n")) if log else (),
                status=status,
            )
            for at, success, duration, status, reason, pod, log in reversed(rows)
        ]

    def write(self) -> None:
        """Everything that waits, in one transaction."""
        connection = self._connection
        batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
        if connection is None or not batch:
            return
        for room in range(MOST_TRIES):
            try:
                self._write(connection, batch)
                return
            except sqlite3.Error as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._ids.clear()
                if "full" not in str(error) or room == MOST_TRIES - 1:
                    _log.error("%s: %d results of probes are lost: %s", self._file, len(batch), error)
                    return
                self._make_room(connection)

    def _write(self, connection: sqlite3.Connection, batch: list[tuple[Key, Outcome]]) -> None:
        connection.execute("BEGIN")
        for key, one in batch:
            number = self._ids.get(key) or self._number(connection, key)
            connection.execute(
                "INSERT INTO results VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    number,
                    one.at,
                    None if one.success is None else int(one.success),
                    one.duration,
                    one.status,
                    one.reason,
                    one.pod,
                    "\n".join(one.log),
                ),
            )
            if one.success is not None:
                connection.execute(
                    "INSERT INTO slots VALUES (?, ?, ?, ?) ON CONFLICT (series, slot)"
                    " DO UPDATE SET good = good + excluded.good, bad = bad + excluded.bad",
                    (
                        number,
                        int(one.at // SLOT),
                        int(one.counted and one.success),
                        int(one.counted and not one.success),
                    ),
                )
        connection.execute("COMMIT")

    def _number(self, connection: sqlite3.Connection, key: Key) -> int:
        connection.execute(
            "INSERT OR IGNORE INTO series (target, module, endpoint) VALUES (?, ?, ?)",
            (key.target, key.module, key.endpoint),
        )
        row = connection.execute(
            "SELECT id FROM series WHERE target = ? AND module = ? AND endpoint = ?",
            (key.target, key.module, key.endpoint),
        ).fetchone()
        self._ids[key] = number = int(row[0])
        return number

    def prune(self) -> None:
        """What is too old."""
        connection = self._connection
        if connection is None:
            return
        try:
            newest = connection.execute("SELECT max(at) FROM results").fetchone()[0]
            if newest is None:
                return
            connection.execute("DELETE FROM results WHERE at < ?", (newest - KEPT,))
            connection.execute("DELETE FROM slots WHERE slot < ?", (int(newest // SLOT) - SLOTS,))
            connection.execute(
                "DELETE FROM series WHERE id NOT IN (SELECT series FROM slots)"
                " AND id NOT IN (SELECT series FROM results)"
            )
            self._ids.clear()
        except sqlite3.Error as error:
            _log.error("%s: %s", self._file, error)

    def _make_room(self, connection: sqlite3.Connection) -> None:
        """The oldest tenth of the results goes; pages that are free are used again."""
        with contextlib.suppress(sqlite3.Error):
            oldest, newest = connection.execute("SELECT min(at), max(at) FROM results").fetchone()
            if oldest is not None:
                connection.execute("DELETE FROM results WHERE at <= ?", (oldest + (newest - oldest) / 10,))
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _replay(track: Track, outcomes: list[Outcome]) -> None:
    """The last results and what follows from them; slots are counted already."""
    for one in outcomes:
        track.results.append(one)
        track.last, track.pod = one.at, one.pod
        if one.success is False:
            track.failures.append(one)
            track.detail = one.reason
        if one.success is not None:
            state = UP if one.success else DOWN
            if state != track.state:
                track.state, track.since = state, one.at
                track.changes.append((one.at, state))
