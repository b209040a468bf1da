"""Run in a network namespace of its own, the node: what does a cluster IP cost a connection?

A client and a pod in namespaces beside it.  The client connects in turns to the pod and to the cluster IP,
among many Services.  Prints JSON: connections a second, by turn.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

from bastion.node.model import Model
from bastion.node.nftables.library import open_nft
from bastion.node.nftables.library import there as names_in
from bastion.node.nftables.table import Table
from bench.node_tables import RULES, service, slice_at, slice_of

CLIENT, POD, PORT = "10.244.1.2", "10.244.2.2", 8080
TURNS = 8
RESET = struct.pack("ii", 1, 0)


def connect(to: tuple[str, int], seconds: float) -> float:
    """Connections a second, each reset at once: none waits for its port to be free."""
    count, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            sock.settimeout(5)
            sock.connect(to)
        count += 1
    return count / (time.perf_counter() - began)


def load(seconds: float, cluster_ip: str) -> None:
    places = {"pod": (POD, PORT), "cluster_ip": (cluster_ip, 80)}
    found: dict[str, list[float]] = {name: [] for name in places}
    for turn in range(TURNS + 1):  # the first one warms up
        for name in (places, reversed(places))[turn % 2]:
            rate = connect(places[name], seconds)
            if turn:
                found[name].append(rate)
    sys.stdout.write(json.dumps(found))


def serve() -> None:
    with socket.create_server((POD, PORT), backlog=4096) as listener:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        while True:
            with contextlib.suppress(ConnectionError):
                listener.accept()[0].close()


@contextlib.contextmanager
def places() -> Iterator[tuple[str, str]]:
    """The names of the client's and of the pod's namespace."""
    names = f"bench{os.getpid()}c", f"bench{os.getpid()}p"
    try:
        for name, address in zip(names, (CLIENT, POD), strict=True):
            gateway = address.rpartition(".")[0] + ".1"
            for line in (
                f"netns add {name}",
                f"link add {name} type veth peer name eth0 netns {name}",
                f"addr add {gateway}/24 dev {name}",
                f"link set {name} up",
                f"-n {name} addr add {address}/24 dev eth0",
                f"-n {name} link set eth0 up",
                f"-n {name} route add default via {gateway}",
            ):
                subprocess.run(["ip", *line.split()], check=True)
        for setting in ("net.ipv4.ip_forward=1", "net.netfilter.nf_conntrack_tcp_timeout_close=1"):
            subprocess.run(["sysctl", "-qw", setting], check=True)
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)


def measured(services: int, endpoints: int, seconds: float, cores: tuple[str, str]) -> str:
    """What `load` says."""
    model, table, nft = Model("node", lambda: None), Table(RULES), open_nft()
    for number in range(services):
        model.put_service(("bench", f"s{number}"), service(number))
        model.put_slice(("bench", f"s{number}-1"), slice_of(number, endpoints))
    asked = service(services)
    model.put_service(("bench", f"s{services}"), asked)
    model.put_slice(("bench", f"s{services}-1"), slice_at(services, [POD]))
    model.take("IPv4")
    nft.run(table.full(model.families["IPv4"].claims.fronts, names_in(nft, "IPv4")))
    with places() as (client, pod):
        words = [sys.executable, "-m", "bench.node_connections"]
        here, beside = (
            ["ip", "netns", "exec", name, "taskset", "-c", core, *words]
            for name, core in zip((client, pod), cores, strict=True)
        )
        with subprocess.Popen([*beside, "serve"], stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            server.stdout.readline()
            try:
                more = ["load", str(seconds), asked.spec.cluster_addresses[0]]
                return subprocess.check_output([*here, *more], text=True)
            finally:
                server.kill()


def main() -> None:
    what, *rest = sys.argv[1:]
    if what == "serve":
        serve()
    elif what == "load":
        load(float(rest[0]), rest[1])
    else:
        services, endpoints, seconds, *cores = rest
        sys.stdout.write(measured(int(services), int(endpoints), float(seconds), (cores[0], cores[1])) + "\n")


if __name__ == "__main__":
    main()
