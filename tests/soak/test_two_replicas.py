"""Two programs over one API: one of them probes, and when it is killed the other does within its time.

SOAK_ROUNDS says how often the one that probes is killed.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import kubernetes

from bastion.cluster.election import DURATION, RETRY
from tests.e2e.harness import Bastion, Cluster, serving, standalone
from tests.standalone.objects import binding, service

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "1"))
LEASE = "shop/bastion-probes"
SLACK = 2.0  # seconds for a slow machine
MOST = 5  # rounds: each takes as long as a Lease
ASKS = service("asks", selector={"app": "none"})
ASKS["metadata"]["annotations"] = {"bastion.dev/probe": "true", "bastion.dev/probe-interval": "1s"}


class Leaders:
    """Who holds the Lease, by its place among those that were started."""

    def __init__(self, kubeconfig: Path) -> None:
        client = kubernetes.config.new_client_from_config(str(kubeconfig))
        self._api = kubernetes.client.CoordinationV1Api(client)

    def holder(self) -> str:
        namespace, _, name = LEASE.partition("/")
        try:
            found: Any = self._api.read_namespaced_lease(name, namespace)
        except kubernetes.client.ApiException as error:
            assert error.status == 404
            return ""
        return str(found.spec.holder_identity or "")

    def is_another_than(self, holder: str) -> bool:
        return self.holder() not in ("", holder)


def process_of(holder: str) -> int:
    """An identity is host_process_random."""
    return int(holder.split("_")[-2])


def until(condition: Callable[[], bool], seconds: float) -> float:
    """The seconds that it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, f"not within {seconds} seconds"
        time.sleep(0.05)
    return time.monotonic() - began


def test_the_other_probes_within_the_leases_time_when_the_holder_is_killed(tmp_path: Path) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    cluster = Cluster(tmp_path, ASKS, namespace, binding("admin", "ClusterRole/cluster-admin", "User/alice"))
    (tmp_path / "api").mkdir()
    with standalone(cluster, tmp_path / "api") as (_, kubeconfig), ExitStack() as open_ones:
        leaders = Leaders(kubeconfig)
        running: dict[int, Bastion] = {}

        def start(number: int) -> None:
            folder = tmp_path / f"replica-{number}"
            folder.mkdir()
            flags = ("--probe-lease", LEASE)
            one = open_ones.enter_context(
                serving(cluster, folder, *flags, source=("--kubeconfig", kubeconfig))
            )
            running[one.program.process.pid] = one

        start(0)
        until(lambda: leaders.holder() != "", DURATION)
        start(1)
        for number in range(min(ROUNDS, MOST)):
            held = leaders.holder()
            killed = running.pop(process_of(held))
            killed.program.signal(signal.SIGKILL)
            killed.program.wait()
            others = partial(leaders.is_another_than, held)
            took = until(others, DURATION + RETRY + SLACK)
            assert took > DURATION - 10.0 - SLACK, "the Lease was taken before its time was over"
            assert process_of(leaders.holder()) in running
            start(number + 2)
