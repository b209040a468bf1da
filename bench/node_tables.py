"""Run in a network namespace of its own: what does it cost to put many Services into force, and to change
one?

Prints JSON: for each number of Services the CPU and wall seconds of the first sync and of one endpoint's
change.
"""

from __future__ import annotations

import gc
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable

import msgspec

from bastion.node.model import Model
from bastion.node.nftables.layout import TABLE
from bastion.node.nftables.library import Nft, delete_tables, open_nft, there
from bastion.node.nftables.table import Table
from bastion.node.objects import EndpointSlice, Service
from bastion.node.rules import Detection, Rules

CHANGES = 15
RULES = Rules("IPv4", Detection(("10.244.0.0/16",)))


def service(number: int) -> Service:
    address = f"10.96.{number // 250}.{number % 250 + 1}"
    port = {"name": "http", "port": 80}
    return msgspec.convert(
        {
            "metadata": {"name": f"s{number}", "namespace": "bench"},
            "spec": {"clusterIP": address, "ports": [port]},
        },
        Service,
    )


def slice_of(number: int, endpoints: int, first: int = 0) -> EndpointSlice:
    return slice_at(
        number, [f"10.{130 + n}.{number // 250}.{number % 250 + 1}" for n in range(first, first + endpoints)]
    )


def slice_at(number: int, addresses: list[str]) -> EndpointSlice:
    return msgspec.convert(
        {
            "metadata": {
                "name": f"s{number}-1",
                "namespace": "bench",
                "labels": {"kubernetes.io/service-name": f"s{number}"},
            },
            "ports": [{"name": "http", "port": 8080}],
            "endpoints": [{"addresses": [address], "nodeName": "another"} for address in addresses],
        },
        EndpointSlice,
    )


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """(CPU, wall) seconds."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - cpu, time.perf_counter() - wall


def measured(nft: Nft, services: int, endpoints: int) -> dict[str, float]:
    model, table = Model("node", lambda: None), Table(RULES)
    for number in range(services):
        model.put_service(("bench", f"s{number}"), service(number))
        model.put_slice(("bench", f"s{number}-1"), slice_of(number, endpoints))

    def first() -> None:
        model.take("IPv4")
        nft.run(table.full(model.families["IPv4"].claims.fronts, there(nft, "IPv4")))

    def change() -> None:
        nft.run(table.change(model.take("IPv4").fronts))

    first_cpu, first_wall = timed(first)
    gc.collect()
    gc.freeze()
    costs = []
    for turn in range(CHANGES):
        model.put_slice(("bench", "s0-1"), slice_of(0, endpoints, turn % 2 + 1))
        costs.append(timed(change))
    delete_tables(nft, "IPv4", (TABLE,))
    return {
        "services": services,
        "first_cpu_s": first_cpu,
        "first_s": first_wall,
        "change_cpu_ms": 1000 * statistics.median(cpu for cpu, _ in costs),
        "change_ms": 1000 * statistics.median(wall for _, wall in costs),
        "memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    nft = open_nft()
    endpoints, *numbers = map(int, sys.argv[1:])
    sys.stdout.write(json.dumps([measured(nft, number, endpoints) for number in numbers]) + "\n")


if __name__ == "__main__":
    main()
