"""The blocks of commands that say they are run, against the demo, a page after the other."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.demo.fronts import Front, running_demo
from tests.docs.pages import COMMANDS

RUN = sorted({block.page for block in COMMANDS if block.runs})


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with running_demo(tmp_path_factory.mktemp("demo")) as front:
        yield front


def test_there_are_pages_to_run() -> None:
    assert len(RUN) >= 5


@pytest.mark.parametrize("page", RUN)
def test_the_page_says_what_happens(page: str, demo: Front, tmp_path: Path) -> None:
    """In one shell and in a folder of its own, as a reader has it: with .demo, and bastion on the path."""
    (tmp_path / ".demo").symlink_to(demo.tokens.parent)
    blocks = [block for block in COMMANDS if block.page == page and block.runs]
    for number, block in enumerate(blocks):
        before = "".join(earlier.text for earlier in blocks[:number])
        done = _shell(f"exec 3>&1 >/dev/null\n{before}exec >&3\n{block.text}", demo, tmp_path)
        assert done.returncode == 0, done.stderr
        assert block.prints in done.stdout


def _shell(script: str, demo: Front, folder: Path) -> Any:
    return subprocess.run(
        ["bash", "-eu", "-o", "pipefail", "-c", script.replace("localhost:8443", f"localhost:{demo.port}")],
        cwd=folder,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )
