"""What kubectl proxy says when it cannot start: `error: …` on standard error, and exit status 1.

Recorded from kubectl 1.33.1; where kubectl serves something else without a word, or dies of a panic, the row
has what is right instead.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bastion.cli import proxy

ROWS = json.loads(Path(__file__).with_name("recorded_starts.json").read_text())


@pytest.mark.parametrize("row", ROWS, ids=[row["name"] for row in ROWS])
def test_starts_that_fail(
    row: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def real(text: str) -> str:
        return text.replace("DIR", str(tmp_path)).replace("API", "127.0.0.1:9")

    monkeypatch.delenv("KUBECONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name, value in row.get("environ", {}).items():
        monkeypatch.setenv(name, real(value))
    for name, text in row.get("files", {}).items():
        (tmp_path / name).write_text(real(text))
        (tmp_path / name).chmod(0o755)
    flags = [real(flag) for flag in row["flags"]]
    if "config" in row:
        (tmp_path / "config").write_text(real(json.dumps(row["config"])))
        flags.append(f"--kubeconfig={tmp_path / 'config'}")
    if not any(flag.startswith(("-p", "--port", "-u", "--unix")) for flag in flags):
        flags.append("--port=0")
    status = proxy.run(flags)
    out, err = capfd.readouterr()
    assert (status, out) == (1, "")
    assert re.fullmatch(real(row["says"]), err.splitlines()[0]), err
