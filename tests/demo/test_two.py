"""Two demos on one machine keep out of each other's way, and what is taken is said."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.demo.fronts import network_of
from tests.e2e.harness import Program
from tests.loopback import free_port


@contextlib.contextmanager
def demo(folder: Path, *flags: object, cwd: Path | None = None) -> Iterator[Program]:
    folder.mkdir(exist_ok=True)
    program = Program(folder, "demo", *flags, cwd=cwd or folder)
    try:
        program.until(lambda: "Ctrl-C here ends the demo." in program.stdout)
        yield program
    finally:
        program.end()


def page(program: Program, folder: Path) -> httpx.Response:
    """The front page as alice, through this demo."""
    found = re.search(r"The demo is up at (\S+):", program.stdout)
    assert found is not None
    token = (folder / "tokens.csv").read_text().split(",")[0]
    with httpx.Client(verify=False, trust_env=False) as http:
        return http.get(
            f"{found[1]}/api/v1/namespaces/shop/services/frontend/proxy/",
            headers={"Authorization": f"Bearer {token}"},
        )


def test_two_demos_from_one_folder(tmp_path: Path) -> None:
    """Each has a port, a folder and a network of its own."""
    with demo(tmp_path / "one", cwd=tmp_path) as one, demo(tmp_path / "two", cwd=tmp_path) as other:
        networks = set()
        for program, folder in ((one, tmp_path / ".demo"), (other, tmp_path / ".demo-2")):
            assert page(program, folder).status_code == 200
            networks.add(network_of(folder))
        assert len(networks) == 2


def test_a_port_that_was_asked_for_and_is_taken_is_said(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        program = Program(tmp_path, "demo", "--port", port)
        assert program.wait() == 1
        assert program.stderr == f"bastion demo: cannot listen on 127.0.0.1:{port}: address already in use\n"


def test_a_folder_that_was_asked_for_and_is_anothers_is_said(tmp_path: Path) -> None:
    with demo(tmp_path, "--directory", tmp_path / "x", "--port", free_port()):
        (tmp_path / "two").mkdir()
        program = Program(tmp_path / "two", "demo", "--directory", tmp_path / "x", "--port", free_port())
        assert program.wait() == 1
        assert (
            program.stderr == f"bastion demo: {tmp_path / 'x'} is in use by another demo that is running:"
            " choose another folder with --directory\n"
        )
