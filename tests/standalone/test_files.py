"""Values read from files: read again when the files have changed, kept where they became wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from bastion.standalone.files import FileError, FollowedFiles, fingerprint
from tests.standalone.objects import write


def followed(file: Path, before_read: Callable[[], None] = lambda: None) -> FollowedFiles[str]:
    def read() -> str:
        before_read()
        text = file.read_text()
        if "wrong" in text:
            raise FileError(f"{file.name}: is wrong")
        return text

    return FollowedFiles(lambda: [file], read)


def test_a_value_is_read_once_and_again_when_its_file_changed(tmp_path: Path) -> None:
    file = write(tmp_path / "a", "one")

    async def main() -> None:
        files = followed(file)
        assert await files.load() == "one"
        assert await files.changed() is None
        write(file, "other")
        assert await files.changed() == "other"
        assert await files.changed() is None

    asyncio.run(main())


def test_a_mistake_is_logged_once_per_change(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = write(tmp_path / "a", "one")

    async def main() -> None:
        files = followed(file)
        await files.load()
        write(file, "wrong")
        assert [await files.changed() for _ in range(3)] == [None, None, None]
        write(file, "wrong again")
        assert await files.changed() is None
        write(file, "right again")
        assert await files.changed() == "right again"

    asyncio.run(main())
    assert [record.getMessage() for record in caplog.records] == [
        "a: is wrong (what was read before stays)"
    ] * 2


def test_a_mistake_at_the_start_is_raised(tmp_path: Path) -> None:
    with pytest.raises(FileError):
        asyncio.run(followed(write(tmp_path / "a", "wrong")).load())


def test_what_is_written_while_it_is_read_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = write(tmp_path / "a", "one")
    writes = iter(["", "half, wrong", "whole by now"])

    def writing() -> None:
        if text := next(writes, ""):
            write(file, text)

    async def main() -> None:
        files = followed(file, writing)
        await files.load()
        write(file, "begun")
        assert await files.changed() is None  # changed under its hands, and wrong
        assert await files.changed() is None  # and again
        assert await files.changed() == "whole by now"

    asyncio.run(main())
    assert caplog.records == []


def test_a_file_replaced_by_one_of_the_same_size_and_time_shows(tmp_path: Path) -> None:
    import os

    file, other = write(tmp_path / "a", "one"), write(tmp_path / "b", "two")
    for path in (file, other):
        os.utime(path, ns=(1, 1))
    before = fingerprint([file])
    other.replace(file)
    assert fingerprint([file]) != before
    file.unlink()
    assert fingerprint([file]) == ()
