"""Values that are read in a thread: again after a change of their files, and kept where these are wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bastion.runtime.errors import StartError
from bastion.runtime.follow import FollowedInThread, mark


def followed(folder: Path) -> FollowedInThread[str]:
    def read() -> str:
        text = "".join(file.read_text() for file in sorted(folder.iterdir()))
        if "wrong" in text:
            raise StartError(f"{folder.name}: is wrong")
        return text

    return FollowedInThread(lambda: sorted(folder.iterdir()), read)


async def looks(files: FollowedInThread[str], times: int = 3) -> list[str | None]:
    return [await files.changed() for _ in range(times)]


def test_a_value_is_read_once_and_again_when_its_files_changed(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")

    async def main() -> None:
        files = followed(tmp_path)
        assert await files.load() == "one"
        assert await looks(files) == [None, None, None]
        (tmp_path / "a").write_text("another")
        assert await looks(files) == [None, "another", None], "once it no longer changes"
        (tmp_path / "b").write_text(" one")
        assert await looks(files) == [None, "another one", None], "a file that is new"
        (tmp_path / "a").unlink()
        assert await looks(files) == [None, " one", None], "a file that is gone"

    asyncio.run(main())


def test_a_mistake_is_logged_once_per_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a").write_text("one")

    async def main() -> None:
        files = followed(tmp_path)
        await files.load()
        for text in ("wrong", "wrong again"):
            (tmp_path / "a").write_text(text)
            assert await looks(files) == [None, None, None]
        (tmp_path / "a").write_text("right again")
        assert await looks(files) == [None, "right again", None]

    asyncio.run(main())
    line = f"{tmp_path.name}: is wrong; what was read before stays in use"
    assert [record.getMessage() for record in caplog.records] == [line] * 2


def test_a_mistake_at_the_start_is_raised(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("wrong")
    with pytest.raises(StartError):
        asyncio.run(followed(tmp_path).load())


def test_files_that_cannot_be_listed_are_a_change_that_reading_explains(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gone = False

    def files() -> list[Path]:
        if gone:
            raise StartError("no such folder")
        return [tmp_path]

    async def main() -> None:
        nonlocal gone
        following = FollowedInThread(files, lambda: str(files()))
        await following.load()
        gone = True
        assert await looks(following) == [None, None, None]

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "no such folder; what was read before stays in use"
    ]


def test_a_file_replaced_by_one_of_the_same_size_and_time_shows(tmp_path: Path) -> None:
    import os

    file, other = tmp_path / "a", tmp_path / "b"
    for path, text in ((file, "one"), (other, "two")):
        path.write_text(text)
        os.utime(path, ns=(1, 1))
    before = mark([file])
    other.replace(file)
    assert mark([file]) != before
