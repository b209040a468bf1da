"""`standalone` as a process of its own: what it prints, writes and does when it is ended."""

from __future__ import annotations

import signal
import stat
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from bastion.runtime.private import write_private
from tests.standalone.api import CLUSTER, TOKENS
from tests.standalone.objects import write

PROGRAM = """
import asyncio, sys
from pathlib import Path
from bastion.standalone.run import run
manifests, tokens, out = map(Path, sys.argv[1:4])
asyncio.run(run([manifests], tokens, "127.0.0.1", 0, out))
"""


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_ended(tmp_path: Path, ending: signal.Signals) -> None:
    manifests, tokens, out = (
        write(tmp_path / "c.yaml", CLUSTER),
        write(tmp_path / "t.csv", TOKENS),
        tmp_path / "a folder" / "kubeconfig",
    )
    out.parent.mkdir()
    command = [sys.executable, "-c", PROGRAM, str(manifests), str(tokens), str(out)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        first, second = process.stdout.readline(), process.stdout.readline()
        url = first.strip().removeprefix("Kubernetes API at ")
        assert second == f"export KUBECONFIG='{out}'\n"
        assert stat.S_IMODE(out.stat().st_mode) == 0o600
        config = yaml.safe_load(out.read_text())
        assert config["clusters"][0]["cluster"]["server"] == url
        token = config["users"][0]["user"]["token"]
        response = httpx.get(
            f"{url}/api/v1/pods", verify=False, headers={"Authorization": f"Bearer {token}"}, trust_env=False
        )
        assert len(response.json()["items"]) == 2
        process.send_signal(ending)
        assert process.stdout.read() == ""
        assert process.stderr.read() == ""
        assert process.wait() == 0


def test_a_private_file_is_whole_or_not_there(tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text("old")
    file.chmod(0o644)
    write_private(file, b"new")
    assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == ("new", 0o600)
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError):
        write_private(tmp_path / "folder", b"new")
    with pytest.raises(OSError):
        write_private(tmp_path / "nowhere" / "file", b"new")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "kubeconfig"]
