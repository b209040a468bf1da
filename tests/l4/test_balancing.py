"""`bastion lb` as a program, in front of small servers on loopback."""

from __future__ import annotations

import contextlib
import json
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bastion.balance.readiness import Health, State
from bastion.l4.choice import Load, fit, in_turn, least_busy
from bastion.runtime.certificates import Authority
from tests.loopback import free_port

PATIENCE = 15.0


# --- the choice


class One:
    def __init__(
        self, name: str, state: State, busy: int = 0, missed: int = 0, leaving: bool = False
    ) -> None:
        self.name, self.load, self.leaving = name, Load(), leaving
        self.load.busy = busy
        self.health = Health(state, missed=missed)


def test_who_may_get_connections_and_in_which_order() -> None:
    sure, missed = One("sure", State.READY), One("missed", State.READY, missed=1)
    draining = One("draining", State.DRAINING)
    never = [One(state.value, state) for state in (State.STARTING, State.DEAD, State.IMPOSTOR, State.UNKNOWN)]
    leaving = One("leaving", State.READY, leaving=True)
    assert fit([draining, *never, missed, leaving, sure]) == ((sure,), (missed,), (draining,))
    assert fit(never) == ()


def test_least_connections_takes_turns_among_equals() -> None:
    servers = [One("a", State.READY, 1), One("b", State.READY), One("c", State.READY)]
    assert [least_busy(servers, turn, 0.0).name for turn in range(4)] == ["b", "c", "b", "c"]
    assert [in_turn(servers, turn, 0.0).name for turn in range(4)] == ["a", "b", "c", "a"]


def test_a_server_that_ends_connections_at_once_does_not_get_them_all() -> None:
    servers = [One("good", State.READY, 5), One("bad", State.READY)]
    got = Counter[str]()
    for turn in range(40):
        chosen = least_busy(servers, turn, turn * 0.01)
        got[chosen.name] += 1
        chosen.load.begin()
        chosen.load.end(turn * 0.01)
    assert 15 < got["good"] < 25
    assert least_busy(servers, 0, 100.0).name == "bad"


# --- the program


class Server:
    """Sends its name, and then back what comes; over TLS it answers requests with its name."""

    def __init__(self, name: str, context: ssl.SSLContext | None = None) -> None:
        self.name, self.context, self.ready = name, context, True
        self.heads: list[bytes] = []
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self.sock.accept()
                threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError), sock:
            if self.context is None:
                sock.sendall(self.name.encode())
                while data := sock.recv(65536):
                    self.heads.append(data)
                    sock.sendall(data)
                return
            with self.context.wrap_socket(sock, server_side=True) as tls:
                while data := tls.recv(65536):
                    self.heads.append(data)
                    probe = data.startswith(b"GET /readyz")
                    status = b"200 OK" if self.ready or not probe else b"500 Not Ready"
                    tls.sendall(b"HTTP/1.1 %b\r\nContent-Length: 1\r\n\r\n%b" % (status, self.name.encode()))

    def close(self) -> None:
        # a blocked accept goes on otherwise
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Balancer:
    def __init__(self, *arguments: str) -> None:
        # not `free_port`, which claims what UDP would need
        self.port, self.pages = (_udp_port() if "udp" in arguments else free_port()), free_port()
        words = ("--listen", f"127.0.0.1:{self.port}", "--metrics-bind-address", str(self.pages), *arguments)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "bastion", "lb", "--log-format", "json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        until(lambda: self.page("/livez") == 200 or self.process.poll() is not None)

    def page(self, path: str) -> int:
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://127.0.0.1:{self.pages}{path}"):
            return 200
        return 0

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.pages}/metrics") as page:
            return str(page.read().decode())

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE)

    def name(self) -> str:
        with self.connect() as sock:
            return sock.recv(100).decode()

    def end(self) -> tuple[int, list[dict[str, object]]]:
        """(exit status, access lines)."""
        self.process.send_signal(signal.SIGTERM)
        out, _ = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, [json.loads(line) for line in out.splitlines()]


def _udp_port() -> int:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def until(condition: Callable[[], bool]) -> None:
    ends = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


@contextlib.contextmanager
def balancing(*arguments: str) -> Iterator[Balancer]:
    balancer = Balancer(*arguments)
    try:
        yield balancer
    finally:
        balancer.process.kill()
        balancer.process.wait()


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    made = [Server("a"), Server("b")]
    yield made
    for one in made:
        one.close()


def backends(servers: list[Server]) -> list[str]:
    return [word for one in servers for word in ("--backend", f"127.0.0.1:{one.port}")]


def test_connections_go_to_all_and_are_told_of(servers: list[Server]) -> None:
    with balancing(*backends(servers)) as lb:
        held = [lb.connect() for _ in range(4)]
        assert Counter(sock.recv(9) for sock in held) == {b"a": 2, b"b": 2}
        held[0].sendall(b"x" * 1000)
        received = b""
        while len(received) < 1000:
            received += held[0].recv(1000)
        assert lb.page("/readyz") == 200
        assert "bastion_lb_connections 4.0" in lb.metrics()
        for sock in held:
            sock.close()
        until(lambda: "bastion_lb_connections 0.0" in lb.metrics())
        assert f'made_total{{group="",server="127.0.0.1:{servers[0].port}"}} 2.0' in lb.metrics()
        status, lines = lb.end()
        assert status == 0
        assert [line["end"] for line in lines] == ["closed"] * 4
        assert sorted((line["bytesIn"], line["bytesOut"]) for line in lines) == [(0, 1)] * 3 + [(1000, 1001)]


def test_a_server_that_is_gone_gets_none_and_one_that_comes_back_gets_some(servers: list[Server]) -> None:
    with balancing("--balance", "round-robin", *backends(servers)) as lb:
        servers[0].close()
        assert [lb.name() for _ in range(4)] == ["b"] * 4
        servers[1].close()
        until(lambda: lb.page("/readyz") == 0)
        with pytest.raises(ConnectionResetError):
            assert not lb.name()
            raise ConnectionResetError  # closed before it was seen as made


def test_connections_go_on_while_it_ends_and_no_longer_than_they_may(servers: list[Server]) -> None:
    with balancing("--drain-timeout", "1s", *backends(servers)) as lb:
        short, long = lb.connect(), lb.connect()
        short.recv(9), long.recv(9)
        lb.process.send_signal(signal.SIGTERM)
        until(lambda: lb.process.poll() is None and _refused(lb))
        short.sendall(b"still")
        assert short.recv(9) == b"still"
        short.close()
        assert long.recv(9) == b""
        out, _ = lb.process.communicate(timeout=PATIENCE)
        assert lb.process.returncode == 0
        lines = [json.loads(line) for line in out.splitlines()]
        assert {
            line["bytesIn"]: line["end"] for line in lines if line["bytesIn"] or line["seconds"] > 0.9
        } == {
            5: "closed",
            0: "drained",
        }


def _refused(lb: Balancer) -> bool:
    try:
        lb.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_clients_are_limited_and_told_to_servers(servers: list[Server]) -> None:
    with balancing(
        "--max-connections-per-client",
        "1",
        "--send-proxy-protocol",
        "v1",
        "--proxy-protocol-cidr",
        "127.0.0.0/8",
        *backends(servers[:1]),
    ) as lb:
        one = lb.connect()
        one.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 40000 443\r\nhello")
        until(lambda: b"".join(servers[0].heads).endswith(b"hello"))
        assert b"".join(servers[0].heads).startswith(b"PROXY TCP4 192.0.2.9 192.0.2.1 40000 443\r\n")
        same, other, none = lb.connect(), lb.connect(), lb.connect()
        same.sendall(b"PROXY TCP4 192.0.2.9 192.0.2.1 40001 443\r\n")
        other.sendall(b"PROXY TCP4 192.0.2.8 192.0.2.1 40001 443\r\n")
        none.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert other.recv(1) == b"a"
        for refused in (same, none):
            with pytest.raises(ConnectionResetError):
                refused.recv(1)
        for sock in (one, same, other, none):
            sock.close()


def test_as_many_connections_as_the_user_may_have(servers: list[Server]) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, before[1]))
    try:
        with balancing(*backends(servers)) as lb:
            line = next(
                one for one in lb.metrics().splitlines() if one.startswith("bastion_lb_connections_limit ")
            )
            assert float(line.split()[1]) > 256
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_udp_goes_to_one_server_for_as_long_as_it_flows() -> None:
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(2)]
        words = []
        for server in servers:
            server.bind(("127.0.0.1", 0))
            server.settimeout(0.3)
            words += ["--backend", f"127.0.0.1:{server.getsockname()[1]}"]
        lb = stack.enter_context(balancing("--protocol", "udp", *words))
        client = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", lb.port))
        got = Counter[int]()
        for number in range(3):
            client.send(b"%d" % number)
            for index, server in enumerate(servers):
                with contextlib.suppress(TimeoutError):
                    data, peer = server.recvfrom(100)
                    got[index] += 1
                    server.sendto(data + b"!", peer)
                    break
            assert client.recv(100) == b"%d!" % number
        assert [*got.values()] == [3]


# --- API servers


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Path]:
    made = Authority("test")
    file = tmp_path_factory.mktemp("lb") / "ca.crt"
    file.write_bytes(made.pem)
    return made, file


def tls_server(authority: Authority, folder: Path, name: str, *names: str) -> Server:
    pair = authority.issue(["127.0.0.1", *names])
    (folder / f"{name}.pem").write_bytes(pair.certificate + pair.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / f"{name}.pem")
    return Server(name, context)


def ask(lb: Balancer, ca: Path, name: str = "127.0.0.1") -> str:
    """Which server answers; TLS is theirs from end to end."""
    context = ssl.create_default_context(cafile=str(ca))
    with lb.connect() as sock, context.wrap_socket(sock, server_hostname=name) as tls:
        tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return tls.recv(1000).decode()[-1]


def test_an_api_server_that_is_not_ready_gets_nothing_new_and_keeps_what_it_has(
    authority: tuple[Authority, Path], tmp_path: Path
) -> None:
    issuer, ca = authority
    one, other = (tls_server(issuer, tmp_path, name) for name in "ab")
    rogue = tls_server(Authority("other"), tmp_path, "r")
    words = [w for s in (one, other, rogue) for w in ("--apiserver", f"https://127.0.0.1:{s.port}")]
    with balancing("--certificate-authority", str(ca), "--balance", "round-robin", *words) as lb:
        context = ssl.create_default_context(cafile=str(ca))
        assert {ask(lb, ca) for _ in range(4)} == {"a", "b"}
        kept: dict[str, ssl.SSLSocket] = {}
        while len(kept) < 2:
            tls = context.wrap_socket(lb.connect(), server_hostname="127.0.0.1")
            tls.sendall(b"GET / HTTP/1.1\r\n\r\n")
            kept[tls.recv(1000).decode()[-1]] = tls
        one.ready = False
        until(lambda: f'server="127.0.0.1:{one.port}",state="draining"}} 1.0' in lb.metrics())
        assert {ask(lb, ca) for _ in range(4)} == {"b"}
        kept["a"].sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert kept["a"].recv(1000).decode()[-1] == "a"
        other.ready = False  # those that say no answer better than nobody
        until(lambda: lb.metrics().count('state="draining"} 1.0') == 2)
        assert {ask(lb, ca) for _ in range(4)} == {"a", "b"}
        assert f'server="127.0.0.1:{rogue.port}",state="impostor"}} 1.0' in lb.metrics()
        assert not any(b"uthorization" in head for head in (*one.heads, *other.heads))
        for tls in kept.values():
            tls.close()
    for server in (one, other, rogue):
        server.close()


def test_several_clusters_on_one_port(authority: tuple[Authority, Path], tmp_path: Path) -> None:
    issuer, ca = authority
    one, other = (tls_server(issuer, tmp_path, name, f"{name}.example", f"x.{name}.example") for name in "ab")
    words = (
        "--sni",
        f"a.example=https://127.0.0.1:{one.port}",
        "--sni",
        f"*.b.example=127.0.0.1:{other.port}",
    )
    with balancing("--certificate-authority", str(ca), *words) as lb:
        assert ask(lb, ca, "a.example") == "a"
        assert ask(lb, ca, "x.b.example") == "b"
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            ask(lb, ca, "b.example")
    one.close()
    other.close()


def test_workers_share_the_port_and_a_scrape_tells_of_all(servers: list[Server]) -> None:
    with balancing("--workers", "2", *backends(servers)) as lb:
        for _ in range(40):
            assert lb.name() in ("a", "b")
        until(lambda: "bastion_workers 2.0" in lb.metrics())
        made = [float(line.split()[-1]) for line in lb.metrics().splitlines() if "made_total{" in line]
        assert sum(made) == 40
        status, lines = lb.end()
        assert (status, len(lines)) == (0, 40)


MISTAKES = [
    ([], ["--listen: is required", "--apiserver, --backend, --sni or --kubeconfig: a server is required"]),
    (["--listen", "x", "--backend", "y"], ["--listen: x is not", "--backend: y is not"]),
    (["--listen", ":1", "--sni", "a=b"], ["--sni: b is not a host and port"]),
    (
        ["--listen", ":1", "--apiserver", "https://a", "--send-proxy-protocol", "v1"],
        ["--send-proxy-protocol: an API server does not understand it"],
    ),
    (
        ["--listen", ":1", "--backend", "a:1", "--discover-apiservers"],
        ["--discover-apiservers: needs --kubeconfig"],
    ),
    (["--listen", ":1", "--protocol", "udp", "--sni", "a=b:1"], ["--sni: is for TCP alone"]),
]


@pytest.mark.parametrize(("arguments", "lines"), MISTAKES)
def test_mistakes(arguments: list[str], lines: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    from bastion.cli.main import main

    assert main(["lb", *arguments]) == 2
    said = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"bastion lb: {wanted}") for line, wanted in zip(said, lines, strict=True)] == [
        True
    ] * len(lines), said
