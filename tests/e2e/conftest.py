"""One cluster and one bastion for all tests that need none of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.e2e.harness import Bastion, Cluster, Place, serving, standalone
from tests.standalone.objects import binding


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("cluster"))


@pytest.fixture(scope="session")
def bastion(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """With everything on, as talkative as it gets."""
    certificate, key = cluster.pair("kubelet-client", client=True)
    kubelet = (
        "--kubelet-certificate-authority",
        cluster.ca,
        "--kubelet-client-certificate",
        certificate,
        "--kubelet-client-key",
        key,
    )
    with serving(
        cluster, tmp_path_factory.mktemp("bastion"), "--enable-node-proxy", *kubelet, "-v", 9
    ) as running:
        yield running


@pytest.fixture
def pod(cluster: Cluster) -> Place:
    """A pod that no other test uses."""
    return cluster.pod()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """`bastion standalone` with all of its API behind a bastion, where alice may do everything."""
    folder = tmp_path_factory.mktemp("front")
    (folder / "api").mkdir()
    cluster = Cluster(folder, binding("alice-admin", "ClusterRole/cluster-admin", "User/alice"))
    with (
        standalone(cluster, folder / "api") as (_, kubeconfig),
        serving(cluster, folder, "--pass-through", source=("--kubeconfig", kubeconfig)) as running,
    ):
        yield running
