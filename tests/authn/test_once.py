"""Is what is good once good once, also among processes?"""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from bastion.signin.once import FolderUsedIds, ProcessUsedIds

NOW = 1_800_000_000
ID = bytes(range(16))


@pytest.fixture(params=[ProcessUsedIds, FolderUsedIds])
def once(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return request.param() if request.param is ProcessUsedIds else FolderUsedIds(tmp_path)


def test_the_first_is_one(once: Any) -> None:
    assert [once.first(ID, NOW + 60, NOW + n) for n in range(3)] == [True, False, False]
    assert once.first(ID[::-1], NOW + 60, NOW)


def test_of_all_who_come_at_once_one_is_first(tmp_path: Path) -> None:
    """Processes, as workers are; and in each of them many at a time."""
    program = (
        "import sys; from pathlib import Path; from bastion.signin.once import FolderUsedIds;"
        f" sys.stdin.read(1); print(sum(FolderUsedIds(Path({str(tmp_path)!r})).first({ID!r}, {NOW + 60},"
        f" {NOW}) for _ in range(50)))"
    )
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    with ThreadPoolExecutor(3) as pool:
        counts = list(pool.map(lambda worker: worker.communicate("x")[0], workers))
    assert sum(map(int, counts)) == 1


def test_what_is_over_is_forgotten_when_there_is_much_of_it() -> None:
    once = ProcessUsedIds(room=10)
    for n in range(10):
        once.first(b"%d" % n, NOW + 60, NOW)
    assert once.first(ID, NOW + 121, NOW + 61)
    assert len(once) == 1
    assert not once.first(ID, NOW + 121, NOW + 62)


def test_a_folder_is_swept_once_a_minute(tmp_path: Path) -> None:
    once, other = FolderUsedIds(tmp_path), FolderUsedIds(tmp_path)
    for n in range(10):
        assert once.first(b"%d" % n, NOW + 60, NOW)
    assert other.first(ID, NOW + 121, NOW + 61)
    assert once.first(ID[::-1], NOW + 121, NOW + 61)
    assert len(list(tmp_path.iterdir())) == 2


def test_where_nothing_can_be_written_down_nothing_is_first(tmp_path: Path) -> None:
    assert not FolderUsedIds(tmp_path / "gone").first(ID, NOW + 60, NOW)
