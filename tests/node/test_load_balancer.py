"""A cluster in a box, two nodes, a Service of type LoadBalancer, and who reaches it from the link when
nodes fail.

One test after the other on the same ground: a node takes seconds to be gone.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bastion.node.balancers import ownership
from tests.node.bed import PREFIX, inside, why_not
from tests.node.link import API, NODES, PORT, Asking, Link, link, until

MOST_AWAY, MOST_TOGETHER = 4.0, 1.0  # seconds
OBJECTS: list[dict[str, Any]] = [
    *(
        {
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": node},
            "status": {"addresses": [{"type": "InternalIP", "address": address} for address in some[:2]]},
        }
        for node, some in NODES.items()
    ),
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"type": "LoadBalancer", "clusterIP": "10.96.1.1", "ports": [{"name": "http", "port": 80}]},
    },
    {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "metadata": {
            "name": "web-1",
            "namespace": "shop",
            "labels": {"kubernetes.io/service-name": "web"},
        },
        "ports": [{"name": "http", "port": PORT, "protocol": "TCP"}],
        "endpoints": [{"addresses": [some[2]], "nodeName": node} for node, some in NODES.items()],
    },
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Link]:
    reason = why_not() or ("" if shutil.which("curl") else "needs curl")
    if reason:
        pytest.skip(reason)
    with link(tmp_path_factory.mktemp("link")) as made:
        made.start_api(OBJECTS)
        until(made.kubeconfig.exists)
        for node in NODES:
            made.start_node(node)
        yield made


@pytest.fixture(scope="module")
def address(ground: Link) -> str:
    until(lambda: bool(ground.ingress("shop", "web")))
    (found,) = ground.ingress("shop", "web")
    return found


@pytest.fixture(scope="module")
def asking(ground: Link, address: str) -> Iterator[Asking]:
    with Asking(ground, address) as made:
        until(lambda: made.who(0.3) == {ownership.owner(address, NODES)})  # both take part
        yield made


def test_a_client_on_the_link_is_answered(ground: Link, address: str, asking: Asking) -> None:
    until(lambda: ground.curl(f"http://{address}/") in NODES)
    assert {ground.curl(f"http://{address}/") for _ in range(20)} == {*NODES}
    assert len(asking.who()) == 1


def owner(asking: Asking) -> str:
    until(lambda: len(asking.who(0.3)) == 1)
    (found,) = asking.who(0.3)
    return found


def taken_over(asking: Asking, first: str, fail: Callable[[], object]) -> str:
    """The other node, once it answers: soon enough, and not together with the first."""
    (second,) = NODES.keys() - {first}
    began = time.monotonic()
    fail()
    until(lambda: asking.first(second, began) < float("inf"))
    time.sleep(1.5)
    assert asking.first(second, began) - began < MOST_AWAY
    assert asking.last(first) - asking.first(second, began) < MOST_TOGETHER
    return second


def blocked(node: str, *, on: bool) -> None:
    """Whether the node is cut off from the API server, and from nothing else."""
    if on:
        rules = "add table ip cut; add chain ip cut out { type filter hook output priority -300; };"
        rules += "add rule ip cut out tcp dport 6443 drop;"
    else:
        rules = "delete table ip cut"
    subprocess.run(["ip", "netns", "exec", PREFIX + node, "nft", rules], check=True)


def test_a_node_that_is_cut_off_stops_and_its_connections_go_on(
    ground: Link, address: str, asking: Asking
) -> None:
    first = owner(asking)
    (other,) = NODES.keys() - {first}
    with inside("client"):
        sock = socket.create_connection((address, 80), 5)
    with sock:
        blocked(other, on=True)  # a node that fails elsewhere disturbs nobody
        time.sleep(3.5)
        assert owner(asking) == first
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert sock.recv(1000)
        blocked(other, on=False)
        until(lambda: "renewed again" in ground.log(other))
    taken_over(asking, first, lambda: blocked(first, on=True))
    blocked(first, on=False)
    until(lambda: owner(asking) == first)


def test_a_process_that_is_killed(ground: Link, address: str, asking: Asking) -> None:
    first = owner(asking)
    second = taken_over(asking, first, lambda: ground.stop(first, signal.SIGKILL))
    assert ground.curl(f"http://{address}/") in NODES
    ground.start_node(first)
    until(lambda: owner(asking) == first)
    assert asking.last(second) - asking.first(first, asking.last(second) - 3) < MOST_TOGETHER


def test_a_process_that_is_stopped_for_a_while(ground: Link, asking: Asking) -> None:
    first = owner(asking)
    process = ground.programs[first]
    second = taken_over(asking, first, lambda: process.send_signal(signal.SIGSTOP))
    began = time.monotonic()
    process.send_signal(signal.SIGCONT)
    until(lambda: asking.first(first, began) < float("inf"))
    time.sleep(1.5)
    # it answers again once it is the owner again, and not for what waited
    assert asking.last(second) - asking.first(first, began) < MOST_TOGETHER


VIRTUAL = "172.30.0.250"


def test_an_address_in_front_of_the_api_servers_is_had_by_one_of_two_balancers(ground: Link) -> None:
    """As three control planes have it, in place of HAProxy and keepalived."""

    def start(node: str) -> None:
        ground.start(
            f"lb-{node}",
            node,
            "lb",
            "--listen=:8443",
            f"--apiserver=https://{API}:6443",
            f"--kubeconfig={ground.kubeconfig}",
            "--insecure-skip-tls-verify",
            f"--virtual-ip={VIRTUAL}",
            f"--virtual-ip-identity={node}",
            "-v=1",
        )

    def ready() -> bool:
        return ground.curl("-k", f"https://{VIRTUAL}:8443/readyz") == "ok"

    for node in NODES:
        start(node)
    with Asking(ground, VIRTUAL) as asking:
        until(ready)
        first = ownership.owner(VIRTUAL, NODES)
        until(lambda: asking.who(0.3) == {first})
        taken_over(asking, first, lambda: ground.stop(f"lb-{first}", signal.SIGKILL))
        until(ready)
        (second,) = NODES.keys() - {first}
        ground.stop(f"lb-{second}")
    assert ground.curl("-k", f"https://{VIRTUAL}:8443/readyz") == ""


def test_a_node_that_ends_in_good_order_is_followed_at_once(ground: Link, asking: Asking) -> None:
    first = owner(asking)
    (second,) = NODES.keys() - {first}
    began = time.monotonic()
    ground.stop(first)
    until(lambda: asking.first(second, began) < float("inf"))
    assert asking.first(second, began) - began < 2.5
