"""`bastion node` itself, over manifests: start, change, restart, health, cleanup, other modes."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.node.bed import NODE, PODS, PREFIX, TCP, UDP, Bed, inside, run, talk

WEB = "10.96.1.1"
NODES = [
    {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": "node1"},
        "status": {"addresses": [{"type": "InternalIP", "address": address} for address in NODE]},
    }
]
PATIENCE = 15.0
RESTARTS = min(20, int(os.environ.get("SOAK_ROUNDS", "3")))


def cluster(*pods: str, health: bool = False) -> list[dict[str, Any]]:
    local = (
        {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000}
        if health
        else {}
    )
    web = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "clusterIP": WEB,
            "ports": [{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}],
            **local,
        },
    }
    slices = [
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "addressType": "IPv4",
            "metadata": {
                "name": f"web-{name}",
                "namespace": "shop",
                "labels": {"kubernetes.io/service-name": "web"},
            },
            "ports": [{"name": name, "port": port, "protocol": protocol}],
            "endpoints": [
                {"addresses": [PODS[pod][0]], "nodeName": "node2" if pod == "far" else "node1"}
                for pod in pods
            ],
        }
        for name, port, protocol in (("http", TCP, "TCP"), ("dns", UDP, "UDP"))
    ]
    return [*NODES, web, *slices]


class Running:
    """The program in the node's namespace; its manifests are followed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifests = folder / "manifests"
        self._manifests.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def write(self, *objects: dict[str, Any]) -> None:
        fresh = self._folder / "fresh"
        fresh.write_text(yaml.safe_dump_all(objects))
        fresh.rename(self._manifests / "cluster.yaml")

    def words(self, mode: str, *more: str) -> list[str]:
        config = self._folder / "config.yaml"
        config.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
                    "kind": "KubeProxyConfiguration",
                    "mode": mode,
                    "hostnameOverride": "node1",
                    "clusterCIDR": "10.244.0.0/16,fd44::/16",
                    "conntrack": {"maxPerCore": 0},
                    "nftables": {"minSyncPeriod": "10ms"},
                    "iptables": {"minSyncPeriod": "10ms"},
                    "clientConnection": {"qps": 100, "burst": 100},
                }
            )
        )
        program = [sys.executable, "-m", "bastion", "node", *more]
        return [
            "ip",
            "netns",
            "exec",
            f"{PREFIX}node",
            *program,
            "--config",
            str(config),
            "--manifests",
            str(self._manifests),
        ]

    def start(self, mode: str) -> None:
        self._process = subprocess.Popen(self.words(mode), stderr=(self._folder / "log").open("ab"))

    def stop(self, sign: signal.Signals = signal.SIGTERM) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        process.send_signal(sign)
        return process.wait(PATIENCE)

    def once(self, mode: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.words(mode, *more), capture_output=True, text=True, timeout=60)


@pytest.fixture
def running(bed: Bed, tmp_path: Path) -> Iterator[Running]:
    made = Running(tmp_path)
    yield made
    made.stop(signal.SIGKILL)
    run("node", "nft", "flush", "ruleset")
    run("node", "conntrack", "-F", check=False)
    run("node", "ip", "link", "del", "bastion-node", check=False)


def until(
    bed: Bed, who: str, to: tuple[str, int] = (WEB, 80), place: str = "b", protocol: str = "TCP"
) -> None:
    ends = time.monotonic() + PATIENCE
    while bed.ask(place, to, protocol)[0] != who:
        assert time.monotonic() < ends, f"{who} does not answer"
        time.sleep(0.02)


def get(port: int, path: str, address: str = "127.0.0.1") -> tuple[int, dict[str, str], bytes]:
    with inside("node"):
        connection = http.client.HTTPConnection(address, port, timeout=5)
        connection.connect()
    with contextlib.closing(connection):
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


@pytest.mark.parametrize("mode", ["nftables", "iptables"])
def test_a_life(bed: Bed, running: Running, mode: str) -> None:
    running.write(*cluster("a"))
    running.start(mode)
    until(bed, "a")
    until(bed, "a", (WEB, 53), protocol="UDP")
    with bed.open("b", (WEB, 80)) as sock, bed.open("b", (WEB, 53), "UDP") as flow:
        assert (talk(sock), talk(flow)) == ("a", "a")
        for number in range(RESTARTS):
            assert running.stop(signal.SIGKILL if number else signal.SIGTERM) in (0, -signal.SIGKILL)
            assert (talk(sock), talk(flow)) == ("a", "a"), "the rules stay"
            running.start(mode)
        running.write(*cluster("far", health=True))  # while it starts
        until(bed, "far")
        assert talk(sock) == "a"
        until_moved(flow)
    status, fields, body = get(10256, "/healthz")
    assert (status, fields["content-type"], fields["x-content-type-options"]) == (
        200,
        "application/json",
        "nosniff",
    )
    assert json.loads(body)["nodeEligible"] is True
    assert get(10249, "/proxyMode")[2] == mode.encode()
    assert get(10249, "/nowhere")[0] == 404
    metrics = get(10249, "/metrics")[2].decode()
    assert 'kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"}' in metrics
    until_status(31000, 503, {"localEndpoints": 0})
    running.write(*cluster("a", "b", health=True))
    until_status(31000, 200, {"localEndpoints": 2})
    running.stop()
    done = running.once(mode, "--cleanup")
    assert done.returncode == 0, done.stderr
    assert "KUBE-" not in run("node", "iptables-save")
    assert run("node", "sysctl", "-n", "net.ipv4.conf.all.route_localnet").strip() == "0"
    assert "bastion-node" not in run("node", "nft", "list tables")


def until_moved(flow: socket.socket) -> None:
    """Its tracked flow is deleted once the rules are in force; a response on its way just then is lost."""
    ends = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(TimeoutError):
            if talk(flow) == "far":
                return
        assert time.monotonic() < ends


def until_status(port: int, status: int, part: dict[str, Any]) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        with contextlib.suppress(OSError):
            found, _, body = get(port, "/", NODE[0])
            if found == status and part.items() <= json.loads(body).items():
                return
        assert time.monotonic() < ends
        time.sleep(0.05)


def test_another_mode_takes_over_and_connections_live_on(bed: Bed, running: Running) -> None:
    running.write(*cluster("a"))
    running.start("iptables")
    until(bed, "a")
    with bed.open("b", (WEB, 80)) as sock:
        assert talk(sock) == "a"
        running.stop()
        running.write(*cluster("far"))
        running.start("nftables")
        until(bed, "far")
        assert talk(sock) == "a"
    ends = time.monotonic() + PATIENCE
    while "KUBE-SVC-" in run("node", "iptables-save"):
        assert time.monotonic() < ends
        time.sleep(0.05)


@pytest.mark.parametrize("harm", ["flush table ip bastion-node", "delete table ip bastion-node"])
def test_rules_that_another_program_removes_are_back_at_once(bed: Bed, running: Running, harm: str) -> None:
    """Long before the next look, which is a sync period (30 s) away."""
    running.write(*cluster("a"))
    running.start("nftables")
    until(bed, "a")
    with bed.open("b", (WEB, 80)) as sock:
        assert talk(sock) == "a"
        run("node", "nft", *harm.split())
        began = time.monotonic()
        until(bed, "a")
        assert time.monotonic() - began < 3, "0.1 s on a machine with nothing else to do"
        assert talk(sock) == "a"


def test_userspace_mode_needs_no_netfilter(bed: Bed, running: Running) -> None:
    running.write(*cluster("a"))
    running.start("userspace")
    until(bed, "a")
    until(bed, "a", (WEB, 53), protocol="UDP")
    assert bed.ask("client", (WEB, 80)) == ("a", "node")
    with bed.open("b", (WEB, 80)) as sock:
        assert talk(sock) == "a"
        running.write(*cluster("far"))
        until(bed, "far")
        until(bed, "far", (WEB, 53), protocol="UDP")
        moved = cluster("far")
        moved[1]["spec"]["ports"][0]["port"] = 8000
        running.write(*moved)
        until(bed, "far", (WEB, 8000))
        running.write(*NODES)
        assert talk(sock) == "a", "what is relayed outlives its Service"
    assert run("node", "nft", "list tables").strip() == ""


def test_dry_run_and_why(bed: Bed, running: Running) -> None:
    running.write(*cluster("a", "far"))
    said = running.once("nftables", "--dry-run").stdout
    assert f"service-ips {{ {WEB} . tcp . 80 : goto i/c2, " in said
    said = running.once("iptables", "--dry-run").stdout
    assert f"-A KUBE-SERVICES -d {WEB}/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-" in said
    said = running.once("ipvs", "--dry-run").stdout
    assert f"-a -t {WEB}:80 -r {PODS['a'][0]}:{TCP} -m -w 1" in said
    words = running.words("nftables", "why", f"{WEB}:80/tcp", "--from", PODS["b"][0])
    said = subprocess.run(words, capture_output=True, text=True, timeout=30).stdout
    assert "is the cluster IP of Service shop/web:http" in said
    assert f"{PODS['a'][0]}:{TCP}, on this node" in said
    assert "not masqueraded" in said


def test_ipvs_without_the_kernels_part_fails_and_names_another_mode(bed: Bed, running: Running) -> None:
    if Path("/proc/net/ip_vs").exists():
        pytest.skip("this kernel has IPVS")
    running.write(*cluster("a"))
    done = running.once("ipvs")
    assert done.returncode == 1
    assert "nftables" in done.stderr


def test_it_ends_when_its_configuration_file_changes(bed: Bed, running: Running) -> None:
    running.write(*cluster("a"))
    running.start("nftables")
    until(bed, "a")
    running.words("iptables")  # writes it anew
    process = running._process
    assert process is not None
    assert process.wait(PATIENCE) == 1
