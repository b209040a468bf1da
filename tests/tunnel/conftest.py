"""One cluster and one bastion for all tests that need none of their own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.harness import ROOT, Bastion, Cluster, Place, serving


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def bastion(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    with serving(cluster, tmp_path_factory.mktemp("bastion")) as running:
        yield running


@pytest.fixture
def pod(cluster: Cluster) -> Place:
    """A pod that no other test uses."""
    return cluster.pod()


@pytest.fixture(scope="session")
def chromium() -> str:
    """A browser; the project's own tool installs Debian's where there is none."""
    if (found := shutil.which("chromium")) is None:
        done = subprocess.run([ROOT / "tools" / "need-debian", "chromium"], capture_output=True, text=True)
        if (found := shutil.which("chromium")) is None:
            pytest.skip(f"there is no chromium, and it could not be installed: {done.stderr.strip() or done.stdout.strip()}")
    return found
