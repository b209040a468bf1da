"""One cluster and one bastion for all of these tests; it waits for nobody for long."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import Bastion, Cluster, Place, serving

ANSWER_WITHIN, SILENT_FOR = 1, 1  # seconds: an answer's head; between two pieces of its body


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def bastion(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    waits = ("--response-header-timeout", f"{ANSWER_WITHIN}s", "--response-idle-timeout", f"{SILENT_FOR}s")
    with serving(cluster, tmp_path_factory.mktemp("bastion"), *waits) as running:
        yield running


@pytest.fixture
def pod(cluster: Cluster) -> Place:
    """A pod that no other test uses."""
    return cluster.pod()
