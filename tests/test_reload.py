"""Is a change of files seen once it has come to rest, and does what cannot be read keep what there was?"""

from __future__ import annotations

import asyncio
import itertools
import os
from pathlib import Path
from typing import Any

import pytest

from bastion.runtime.errors import StartError
from bastion.runtime.follow import FileChanges, Followed, follow
from bastion.runtime.validity import Generation
from tests.fakes import run, until

TIMES = itertools.count(2)


def touched(path: Path, text: str) -> None:
    """Written so that its mark is another one, however coarse the file system's clock."""
    path.write_text(text)
    time = next(TIMES)
    os.utime(path, ns=(time, time))


@pytest.fixture
def file(tmp_path: Path) -> Any:
    path = tmp_path / "file"
    touched(path, "one")
    return path


def test_a_change_is_told_once_and_only_after_it_has_come_to_rest(file: Any) -> None:
    changes = FileChanges(lambda: [file])
    assert not changes.happened()
    touched(file, "two")
    assert not changes.happened(), "somebody may be writing still"
    touched(file, "three")
    assert not changes.happened()
    assert changes.happened()
    assert not changes.happened()


def test_a_change_that_is_taken_back_is_none(file: Any, tmp_path: Path) -> None:
    changes = FileChanges(lambda: [file])
    file.rename(tmp_path / "elsewhere")
    assert not changes.happened()
    (tmp_path / "elsewhere").rename(file)
    assert [changes.happened() for _ in range(3)] == [False] * 3


def test_a_link_that_turns_is_a_change(tmp_path: Path) -> None:
    for name in ("a", "b"):
        touched(tmp_path / name, "same")
    os.utime(tmp_path / "b", ns=(1, 1))
    link = tmp_path / "link"
    link.symlink_to("a")
    changes = FileChanges(lambda: [link])
    (tmp_path / "new").symlink_to("b")
    (tmp_path / "new").rename(link)
    assert [changes.happened() for _ in range(2)] == [False, True], "the inode is another"


def test_what_is_read_again_takes_the_place_of_what_was(file: Any) -> None:
    followed = Followed("a file", [file, None], file.read_text)
    assert followed() == "one"
    touched(file, "two")
    followed.look()
    assert followed() == "one"
    followed.look()
    assert followed() == "two"


@pytest.mark.parametrize(
    "error", [OSError(2, "No such file", "x"), ValueError("not PEM"), StartError("no good")], ids=repr
)
def test_what_cannot_be_read_keeps_what_there_was_and_is_said_once(
    file: Any, caplog: pytest.LogCaptureFixture, error: Any
) -> None:
    def read() -> Any:
        text = file.read_text()
        if text == "broken":
            raise error
        return text

    generation = Generation()
    followed = Followed("a file", [file], read, generation)
    touched(file, "broken")
    for _ in range(5):
        followed.look()
    assert followed() == "one"
    assert generation.number == 0
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert caplog.messages[0].startswith("a file changed and cannot be used: ")
    touched(file, "two")
    for _ in range(2):
        followed.look()
    assert followed() == "two"
    assert generation.number == 1


def test_files_that_are_read_again_by_order_begin_a_generation_too(file: Path) -> None:
    generation = Generation()
    followed = [Followed(name, [file], file.read_text, generation) for name in "ab"]
    for one in followed:
        one.again()
    assert generation.number == 2


def test_the_first_reading_raises(file: Any) -> None:
    with pytest.raises(FileNotFoundError):
        Followed("a file", [file], file.with_name("none").read_text)


def test_a_file_that_goes_and_comes_back_is_read_again(file: Any, caplog: pytest.LogCaptureFixture) -> None:
    followed = Followed("a file", [file], file.read_text)
    file.unlink()
    for _ in range(3):
        followed.look()
    assert followed() == "one"
    touched(file, "two")
    for _ in range(2):
        followed.look()
    assert followed() == "two"


def test_all_are_followed_until_cancelled(tmp_path: Path) -> None:
    files = [tmp_path / name for name in "ab"]
    for path in files:
        touched(path, "one")
    followed = [Followed(path.name, [path], path.read_text) for path in files]

    async def main() -> None:
        task = asyncio.create_task(follow(followed, 0.001))
        for path in files:
            touched(path, "two")
        await until(lambda: [one() for one in followed] == ["two", "two"])
        task.cancel()

    run(main())
