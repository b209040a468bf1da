"""A node, three pods and a client outside, each in a network namespace of its own.

    client 172.30.0.100 ── node 172.30.0.11 ─┬─ a    10.244.1.10   (of this node)
           fd30::100             fd30::11    ├─ b    10.244.1.11   (of this node)
                                             └─ far  10.244.2.10   (of another node)

Pods have IPv6 addresses too: fd44:1::10 and so on.  Sockets are made inside and used from here.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator

from tests.debian import lacks

PACKAGES = ("iproute2", "nftables", "iptables", "ipset", "conntrack", "procps")
PREFIX = f"bn{os.getpid()}-"
PODS = {
    "a": ("10.244.1.10", "fd44:1::10"),
    "b": ("10.244.1.11", "fd44:1::11"),
    "far": ("10.244.2.10", "fd44:2::10"),
}
NODE = ("172.30.0.11", "fd30::11")
CLIENT = ("172.30.0.100", "fd30::100")
TCP, UDP = 8080, 5353
SILENCE = 0.4  # seconds after which nobody will answer

QUIET = (
    "net.ipv6.conf.default.accept_dad=0",
    "net.ipv6.conf.all.accept_dad=0",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.default.rp_filter=0",
    "net.ipv4.icmp_ratelimit=0",
    "net.ipv6.icmp.ratelimit=0",
)
ROUTING = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1", "net.ipv4.conf.all.send_redirects=0")

_libc = ctypes.CDLL(None, use_errno=True)


def why_not() -> str:
    """Empty where namespaces can be made; Debian's packages that are missing are installed."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    if missing := lacks(*PACKAGES):
        return missing
    made = subprocess.run(["ip", "netns", "add", f"{PREFIX}try"], capture_output=True)
    subprocess.run(["ip", "netns", "del", f"{PREFIX}try"], capture_output=True)
    return "" if made.returncode == 0 else "network namespaces cannot be made here"


@contextlib.contextmanager
def inside(place: str) -> Iterator[None]:
    """This thread, and the programs that it starts, in that namespace."""
    here, there = (
        os.open(path, os.O_RDONLY) for path in ("/proc/thread-self/ns/net", f"/run/netns/{PREFIX}{place}")
    )
    try:
        assert _libc.setns(there, 0) == 0
        yield
    finally:
        assert _libc.setns(here, 0) == 0
        os.close(here)
        os.close(there)


def run(place: str, *words: str, check: bool = True) -> str:
    done = subprocess.run(["ip", "netns", "exec", PREFIX + place, *words], capture_output=True, text=True)
    assert not check or done.returncode == 0, f"{words}: {done.stderr}"
    return done.stdout


class Bed:
    def __init__(self) -> None:
        self.ended = False
        self._selector = selectors.DefaultSelector()
        self._sockets: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def up(self) -> None:
        for place in ("node", "client", *PODS):
            subprocess.run(["ip", "netns", "add", PREFIX + place], check=True)
            ip = f"ip -n {PREFIX}{place}"
            _shell(f"{ip} link set lo up")
            run(place, "sysctl", "-qw", *QUIET)
        run("node", "sysctl", "-qw", *ROUTING)
        node = f"ip -n {PREFIX}node"
        for place, addresses in {**PODS, "client": CLIENT}.items():
            link, ip = ("eth0" if place == "client" else f"pod-{place}"), f"ip -n {PREFIX}{place}"
            _shell(f"{node} link add {link} type veth peer name eth0 netns {PREFIX}{place}")
            _shell(f"{node} link set {link} up", f"{ip} link set eth0 up")
            gateways = NODE if place == "client" else ("10.244.1.1", "fd44:1::1")
            for own, gateway, length in zip(addresses, gateways, (32, 128), strict=True):
                more = " nodad" if length == 128 else ""
                version = "-6" if length == 128 else "-4"
                _shell(
                    f"{node} addr add {gateway}/{length} dev {link}{more}",
                    f"{ip} addr add {own}/{length} dev eth0{more}",
                )
                _shell(
                    f"{node} {version} route add {own}/{length} dev {link}",
                    f"{ip} {version} route add {gateway}/{length} dev eth0",
                )
                _shell(f"{ip} {version} route add default via {gateway} dev eth0")
        _shell(
            f"{node} route add default via {CLIENT[0]} dev eth0",
            f"{node} -6 route add default via {CLIENT[1]} dev eth0",
        )
        for place in PODS:
            self._listen(place)
        self._thread.start()

    def down(self) -> None:
        self.ended = True
        if self._thread.ident is not None:
            self._thread.join(2)
        for sock in self._sockets:
            sock.close()
        for place in ("client", *PODS, "node"):
            subprocess.run(["ip", "netns", "del", PREFIX + place], capture_output=True)

    # --- who answers

    def _listen(self, place: str) -> None:
        for family in (socket.AF_INET, socket.AF_INET6):
            for kind, port in ((socket.SOCK_STREAM, TCP), (socket.SOCK_DGRAM, UDP)):
                with inside(place):
                    sock = socket.socket(family, kind)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(("", port))
                if kind == socket.SOCK_STREAM:
                    sock.listen(64)
                sock.setblocking(False)
                self._sockets.append(sock)
                self._selector.register(sock, selectors.EVENT_READ, (place, kind == socket.SOCK_STREAM))

    def _serve(self) -> None:
        while not self.ended:
            for key, _ in self._selector.select(0.2):
                sock = key.fileobj
                assert isinstance(sock, socket.socket)
                with contextlib.suppress(OSError):
                    self._answer(sock, *key.data)

    def _answer(self, sock: socket.socket, place: str, listens: bool | None) -> None:
        if listens:
            conn, _ = sock.accept()
            self._selector.register(conn, selectors.EVENT_READ, (place, None))
        elif listens is None:
            data = sock.recv(4096)
            if data:
                sock.send(json.dumps([place, sock.getpeername()[0]]).encode())
            else:
                self._selector.unregister(sock)
                sock.close()
        else:
            _, peer = sock.recvfrom(4096)
            sock.sendto(json.dumps([place, peer[0]]).encode(), peer)

    # --- who asks

    def open(self, place: str, to: tuple[str, int], protocol: str = "TCP") -> socket.socket:
        """Connected.  Raises OSError."""
        with inside(place):
            sock = socket.socket(
                socket.AF_INET6 if ":" in to[0] else socket.AF_INET,
                socket.SOCK_STREAM if protocol == "TCP" else socket.SOCK_DGRAM,
            )
        sock.settimeout(SILENCE)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        try:
            sock.connect(to)
        except OSError:
            sock.close()
            raise
        return sock

    def ask(self, place: str, to: tuple[str, int], protocol: str = "TCP") -> tuple[str, str]:
        """(who answered, which source it saw), or what went wrong and nothing."""
        try:
            with self.open(place, to, protocol) as sock:
                sock.send(b"?")
                who, source = json.loads(sock.recv(4096))
                return who, name_of(source)
        except TimeoutError:
            return "silence", ""
        except ConnectionRefusedError:
            return "refused", ""
        except PermissionError:  # a datagram of the node itself: dropped or rejected on its way out
            return "refused", ""
        except OSError as error:
            return str(error.strerror), ""

    def asked(
        self, place: str, to: tuple[str, int], protocol: str = "TCP", times: int = 24
    ) -> dict[str, str]:
        """Of many tries: by who answered the source that was seen."""
        found: dict[str, str] = {}
        for _ in range(times):
            who, source = self.ask(place, to, protocol)
            assert found.setdefault(who, source) == source
            if who in ("silence", "refused"):
                break
        return found


def talk(sock: socket.socket) -> str:
    sock.send(b"?")
    while True:
        said = sock.recv(4096)
        if said:
            return str(json.loads(said)[0])


def name_of(address: str) -> str:
    for name, addresses in {**PODS, "client": CLIENT}.items():
        if address in addresses:
            return name
    return "node" if address in (*NODE, "10.244.1.1", "fd44:1::1", "127.0.0.1", "::1") else address


def _shell(*lines: str) -> None:
    for line in lines:
        subprocess.run(line.split(), check=True)
