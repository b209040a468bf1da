"""The command line as one file, as `make krew` leaves it in dist/, and its manifest as krew reads it."""

from __future__ import annotations

import hashlib
import importlib.util
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml

from bastion import __version__

ROOT = Path(__file__).parents[2]
DIST = ROOT / "dist"


def check(told: Any) -> None:
    """krew's `internal/index/validation`."""
    assert told["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert told["kind"] == "Plugin"
    assert re.fullmatch(r"[a-z0-9][-a-z0-9]*", told["metadata"]["name"])
    spec = told["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert 0 < len(spec["shortDescription"]) <= 50 and "\n" not in spec["shortDescription"]
    assert spec["description"]
    for platform in spec["platforms"]:
        assert {*platform["selector"]["matchLabels"]} == {"os", "arch"}
        assert platform["uri"].startswith("https://")
        assert re.fullmatch(r"[0-9a-f]{64}", platform["sha256"])
        assert platform["bin"] in {file["from"] for file in platform["files"]}
        assert all(file["to"] for file in platform["files"])


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_manifest_and_the_archive(tmp_path: Path, machine: str) -> None:
    spec = importlib.util.spec_from_file_location("krew", ROOT / "tools" / "krew.py")
    assert spec is not None and spec.loader is not None
    krew = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(krew)
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    sums = {krew.archive(program, tmp_path / f"{number}.tar.gz") for number in range(2)}
    told = krew.manifest("https://example.org/x.tar.gz", sums.pop(), machine)
    check(told)
    with tarfile.open(tmp_path / "0.tar.gz") as tar:
        modes = {entry.name: entry.mode for entry in tar.getmembers()}
    assert modes == {"kubectl-bastion": 0o755, "LICENSE": 0o644}
    assert {file["from"] for file in told["spec"]["platforms"][0]["files"]} == {*modes}


@pytest.mark.skipif(not (DIST / "bastion.yaml").exists(), reason="`make krew` was not run")
def test_what_was_built_runs(tmp_path: Path) -> None:
    told = yaml.safe_load((DIST / "bastion.yaml").read_text())
    check(told)
    [platform] = told["spec"]["platforms"]
    packed = DIST / platform["uri"].rpartition("/")[2]
    assert hashlib.sha256(packed.read_bytes()).hexdigest() == platform["sha256"]
    with tarfile.open(packed) as tar:
        tar.extractall(tmp_path, filter="data")
    program = tmp_path / platform["bin"]
    environment = {"PATH": f"{Path(sys.executable).resolve().parent}:/usr/bin:/bin", "HOME": str(tmp_path)}

    def ran(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [program, *words], env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=120
        )

    done = ran("version")
    assert (done.returncode, done.stdout) == (0, f"bastion v{__version__}\n"), done.stderr
    refused = ran("get", "svc/shop/web", "--server", "https://127.0.0.1:9", "--token", "x")
    assert refused.returncode == 1 and "127.0.0.1:9" in refused.stderr
    assert ran("why", "bob").returncode == 2
