"""Two nodes, an API server and a client on one link, each in a network namespace of its own.

    api 172.30.0.1 (the switch)   n1 172.30.0.11   n2 172.30.0.12   client 172.30.0.100     (fd30::1, …)

Each node has a pod's address of its own, 10.244.N.10, where a small server says the node's name.
"""

from __future__ import annotations

import contextlib
import json
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from bastion.node.balancers.packets import ARP, BROADCAST
from tests.node.bed import PREFIX, inside

API, CLIENT = "172.30.0.1", "172.30.0.100"
NODES = {"n1": ("172.30.0.11", "fd30::11", "10.244.1.10"), "n2": ("172.30.0.12", "fd30::12", "10.244.2.10")}
POOL = "172.30.0.208/29,fd30::d0/125"
PORT = 8080
PATIENCE = 20.0
TOKEN = "link-token"

QUIET = (
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.conf.all.send_redirects=0",
    "net.ipv4.conf.default.send_redirects=0",
)
ROUTING = "net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"


def shell(*lines: str) -> None:
    for line in lines:
        subprocess.run(line.split(), check=True)


class Link:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifests = folder / "manifests"
        self.kubeconfig = folder / "kubeconfig"
        self.programs: dict[str, subprocess.Popen[bytes]] = {}
        self._sockets: list[socket.socket] = []
        self.ended = False

    def up(self) -> None:
        for place in ("api", "client", *NODES):
            shell(f"ip netns add {PREFIX}{place}", f"ip -n {PREFIX}{place} link set lo up")
            shell(f"ip netns exec {PREFIX}{place} sysctl -qw {' '.join(QUIET)}")
        switch = f"ip -n {PREFIX}api"
        shell(
            f"{switch} link add br0 type bridge forward_delay 0 mcast_snooping 0", f"{switch} link set br0 up"
        )
        shell(f"{switch} addr add {API}/24 dev br0", f"{switch} addr add fd30::1/64 dev br0 nodad")
        addresses = {"client": (CLIENT, "fd30::100"), **{node: some[:2] for node, some in NODES.items()}}
        for place, (v4, v6) in addresses.items():
            ip = f"ip -n {PREFIX}{place}"
            shell(f"{switch} link add {place} type veth peer name eth0 netns {PREFIX}{place}")
            shell(f"{switch} link set {place} master br0 up", f"{ip} link set eth0 up")
            shell(f"{ip} addr add {v4}/24 dev eth0", f"{ip} addr add {v6}/64 dev eth0 nodad")
            shell(f"{ip} route add default via {API}", f"{ip} -6 route add default via fd30::1")
        for node, (_, _, pod) in NODES.items():
            shell(f"ip netns exec {PREFIX}{node} sysctl -qw {ROUTING}")
            shell(f"ip -n {PREFIX}{node} addr add {pod}/32 dev lo")
            for other, (address, _, theirs) in NODES.items():
                if other != node:
                    shell(f"ip -n {PREFIX}{node} route add {theirs}/32 via {address}")
            with inside(node):
                sock = socket.create_server((pod, PORT))
            self._sockets.append(sock)
            threading.Thread(target=self._serve, args=(sock, node), daemon=True).start()

    def _serve(self, sock: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError):
            while True:
                conn, _ = sock.accept()
                threading.Thread(target=self._answer, args=(conn, name), daemon=True).start()

    def _answer(self, conn: socket.socket, name: str) -> None:
        with contextlib.suppress(OSError), conn:
            while conn.recv(4096):
                conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n" + name.encode() + b"\n")

    def down(self) -> None:
        for name in list(self.programs):
            self.stop(name, signal.SIGKILL)
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()
        for place in ("client", *NODES, "api"):
            subprocess.run(["ip", "netns", "del", PREFIX + place], capture_output=True)

    # --- programs

    def start(self, name: str, place: str, *words: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.programs[name] = subprocess.Popen(
                ["ip", "netns", "exec", PREFIX + place, sys.executable, "-m", "bastion", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def stop(self, name: str, sign: signal.Signals = signal.SIGTERM) -> None:
        process = self.programs.pop(name)
        process.send_signal(sign)
        process.wait(PATIENCE)

    def start_api(self, objects: list[dict[str, Any]]) -> None:
        self.manifests.mkdir()
        (self.manifests / "cluster.yaml").write_text(yaml.safe_dump_all(objects))
        tokens = self.folder / "tokens.csv"
        tokens.write_text(f'{TOKEN},node,1,"system:masters"\n')
        words = ["--manifests", str(self.manifests), "--token-auth-file", str(tokens), "--bind-address", API]
        self.start("api", "api", "standalone", *words, "--kubeconfig", str(self.kubeconfig))

    def start_node(self, node: str) -> None:
        flags = {
            "proxy-mode": "nftables",
            "hostname-override": node,
            "kubeconfig": str(self.kubeconfig),
            "cluster-cidr": "10.244.0.0/16",
            "conntrack-max-per-core": "0",
            "conntrack-tcp-timeout-established": "0",
            "conntrack-tcp-timeout-close-wait": "0",
            "oom-score-adj": "0",
            "pool": POOL,
            "v": "1",
        }
        words = [f"{'-' if len(name) == 1 else '--'}{name}={value}" for name, value in flags.items()]
        self.start(node, node, "node", "--load-balancer", *words)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    # --- the client

    def curl(self, *words: str) -> str:
        command = ["ip", "netns", "exec", PREFIX + "client", "curl", "-s", "--max-time", "2", *words]
        return subprocess.run(command, capture_output=True, text=True).stdout.strip()

    def ingress(self, namespace: str, name: str) -> list[str]:
        url = f"https://{API}:6443/api/v1/namespaces/{namespace}/services/{name}"
        try:
            told = json.loads(self.curl("-k", "-H", f"Authorization: Bearer {TOKEN}", url))
        except ValueError:
            return []
        return [one["ip"] for one in told.get("status", {}).get("loadBalancer", {}).get("ingress", [])]

    def mac(self, place: str) -> bytes:
        said = subprocess.run(
            ["ip", "-n", PREFIX + place, "-j", "link", "show", "eth0"], capture_output=True, check=True
        )
        return bytes.fromhex(json.loads(said.stdout)[0]["address"].replace(":", ""))


class Asking:
    """Asks the link twenty times a second who has an address, and notes who answers when."""

    def __init__(self, link: Link, address: str) -> None:
        self.answers: list[tuple[float, str]] = []
        self._names = {link.mac(node): node for node in NODES}
        self._own = link.mac("client")
        self._wanted = socket.inet_aton(address)
        self._ended = threading.Event()
        with inside("client"):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ARP))
            self._sock.bind(("eth0", ARP))
        self._thread = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Asking:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._sock.close()

    def _ask(self) -> None:
        body = struct.pack(
            "!HHBBH6s4s6s4s", 1, 0x800, 6, 4, 1, self._own, socket.inet_aton(CLIENT), b"", self._wanted
        )
        frame = (BROADCAST + self._own + struct.pack("!H", ARP) + body).ljust(60, b"\0")
        due = time.monotonic()
        while not self._ended.is_set():
            self._sock.send(frame)
            due += 0.05
            while (left := due - time.monotonic()) > 0 and select.select([self._sock], [], [], left)[0]:
                self._note(self._sock.recv(2048))

    def _note(self, frame: bytes) -> None:
        # answers to us alone: what is announced to all says who wants to have it, too
        if len(frame) >= 42 and frame[28:32] == self._wanted and frame[22:28] in self._names:
            self.answers.append((time.monotonic(), self._names[frame[22:28]]))

    def who(self, within: float = 0.5) -> set[str]:
        """Those that answered lately."""
        now = time.monotonic()
        return {name for at, name in self.answers if now - at < within}

    def last(self, name: str) -> float:
        return max((at for at, who in self.answers if who == name), default=float("-inf"))

    def first(self, name: str, after: float) -> float:
        return min((at for at, who in self.answers if who == name and at > after), default=float("inf"))


@contextlib.contextmanager
def link(folder: Path) -> Iterator[Link]:
    made = Link(folder)
    try:
        made.up()
        yield made
    finally:
        made.down()


def until(condition: Any, patience: float = PATIENCE) -> None:
    ends = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.05)
