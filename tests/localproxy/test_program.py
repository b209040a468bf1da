"""The program itself: its start line, its end, its socket, and a command run inside of it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.localproxy.ground import kubeconfig

NOWHERE = "http://127.0.0.1:9"  # nothing listens there, and nothing is asked before the first request


@contextlib.contextmanager
def started(folder: Path, *flags: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The program, and its first line."""
    # `nohup make test` would have it ignore the hangup that one test sends
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    try:
        process = subprocess.Popen(
            command(folder, *flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=folder
        )
    finally:
        signal.signal(signal.SIGHUP, before)
    try:
        assert process.stdout is not None
        yield process, process.stdout.readline().rstrip("\n")
    finally:
        process.kill()
        process.communicate()


def command(folder: Path, *flags: str) -> list[str]:
    (folder / "config").write_text(json.dumps(kubeconfig(NOWHERE)))
    return [sys.executable, "-m", "bastion", "proxy", f"--kubeconfig={folder / 'config'}", *flags]


def ended(
    folder: Path, *flags: str, environ: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *flags), capture_output=True, text=True, cwd=folder, timeout=60, env=environ
    )


def test_a_socket_is_its_owners_never_stolen_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with started(tmp_path, "--unix-socket=s") as (process, line):
        assert line == "Starting to serve on s"
        assert path.stat().st_mode & 0o077 == 0
        second = ended(tmp_path, "--unix-socket=s")
        assert (second.returncode, second.stderr) == (
            1,
            "error: listen unix s: bind: address already in use\n",
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b"GET /x HTTP/1.1\r\nHost: evil.test\r\nAccept: */*\r\n\r\n")
            assert b"403" in client.recv(1000)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == -signal.SIGTERM
        assert process.stderr is not None
        assert process.stderr.read() == ""
    assert not path.exists()


def test_a_dead_socket_is_taken_over_and_another_file_is_not(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "s"))
    with started(tmp_path, "--unix-socket=s") as (process, line):
        assert line == "Starting to serve on s"
        (tmp_path / "s").unlink()
        (tmp_path / "s").write_text("another's by now")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == -signal.SIGINT
    assert (tmp_path / "s").read_text() == "another's by now"
    assert "address already in use" in ended(tmp_path, "--unix-socket=s").stderr


def test_a_port_in_use_and_one_that_is_free_again(tmp_path: Path) -> None:
    with started(tmp_path, "--port=0") as (process, line):
        port = line.rpartition(":")[2]
        assert line == f"Starting to serve on 127.0.0.1:{port}"
        second = ended(tmp_path, f"--port={port}")
        assert second.stderr == f"error: listen tcp 127.0.0.1:{port}: bind: address already in use\n"
        process.send_signal(signal.SIGHUP)
        assert process.wait(20) == -signal.SIGHUP
    with started(tmp_path, f"--port={port}") as (_, line):
        assert line.endswith(port)


MISTAKES = [
    (["--bogus"], "error: unknown flag: --bogus\nSee 'bastion proxy --help' for usage.\n"),
    (["--port=70000"], "error: listen tcp: address 70000: invalid port\n"),
    (["--context=x"], 'error: context "x" does not exist\n'),
]


@pytest.mark.parametrize(("flags", "said"), MISTAKES, ids=str)
def test_mistakes_are_one_line(tmp_path: Path, flags: list[str], said: str) -> None:
    done = ended(tmp_path, *flags)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", said)


def test_a_command_has_the_proxy_in_its_environment_and_gives_its_status(tmp_path: Path) -> None:
    script = (
        "import os, json, urllib.request, urllib.error, sys\n"
        "config = json.load(open(os.environ['KUBECONFIG']))\n"
        "server = config['clusters'][0]['cluster']['server']\n"
        "assert server == os.environ['KUBERNETES_MASTER'], server\n"
        "try:\n    urllib.request.urlopen(server + '/x')\n"
        "except urllib.error.HTTPError as error:\n    print(error.code)\n"
        "sys.exit(7)\n"
    )
    environ = {**os.environ, "no_proxy": "*"}
    done = ended(tmp_path, "--port=0", "--", sys.executable, "-c", script, environ=environ)
    assert (done.returncode, done.stdout) == (7, "502\n"), done.stderr


def test_a_command_over_tls_has_a_token_to_show(tmp_path: Path) -> None:
    script = (
        "import json, os; print(bool(json.load(open(os.environ['KUBECONFIG']))['users'][0]['user']['token']))"
    )
    done = ended(tmp_path, "--port=0", "--tls", "--", sys.executable, "-c", script)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr
    refused = ended(tmp_path, "--port=0", "--auth-token", "--", "true")
    assert (refused.returncode, refused.stderr.count("needs --tls")) == (1, 1)


def test_a_command_that_is_not_there(tmp_path: Path) -> None:
    done = ended(tmp_path, "--port=0", "--", "no-such-program")
    assert done.returncode == 127
    assert done.stderr.endswith("error: no-such-program: no such file or directory\n")


def test_it_is_a_plugin_of_kubectl_as_well() -> None:
    """kubectl runs `kubectl-bastion` for `kubectl bastion`."""
    plugin = Path(sys.executable).with_name("kubectl-bastion")
    done = subprocess.run([plugin, "proxy", "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "--reject-paths" in done.stdout
