"""One of several workers probes; each of them knows the results."""

from __future__ import annotations

import time
from pathlib import Path

import httpx
import yaml

from tests.conformance.processes import serving
from tests.probe.world import NETWORK, OPEN, may, pod, service

ASKS = {"bastion.dev/probe": "true", "bastion.dev/probe-path": "/", "bastion.dev/probe-interval": "1s"}
OBJECTS = [service("web", annotations=ASKS), pod("web-0", 64), *may("all", ["get"], OPEN)]
ROUNDS = 20
PATIENCE = 60.0  # seconds


def test_each_worker_tells_what_one_of_them_found(tmp_path: Path) -> None:
    """Nobody listens there: the state is down.  A worker remembers for a second what the others said."""
    (tmp_path / "cluster.yaml").write_text(yaml.safe_dump_all(OBJECTS))
    (tmp_path / "tokens.csv").write_text("all,all,all\n")
    flags = ["--manifests", str(tmp_path / "cluster.yaml"), "--token-auth-file", str(tmp_path / "tokens.csv")]
    flags += ["--allow-target-cidr", f"{NETWORK}.0/24", "--workers=2"]
    with serving(*flags, log=tmp_path / "log") as port:
        url = f"https://127.0.0.1:{port}/probe/status"
        given_up = time.monotonic() + PATIENCE
        while (seen := {state(url) for _ in range(ROUNDS)}) != {("ok", "down")}:
            assert time.monotonic() < given_up, seen
            time.sleep(0.1)


def state(url: str) -> tuple[str, str]:
    """On a connection of its own, which either worker may take."""
    told = httpx.get(url, headers={"Authorization": "Bearer all"}, verify=False, trust_env=False).json()
    return told["prober"]["state"], told["targets"][0]["state"] if told["targets"] else ""
