"""Programs of ours as processes, the cluster they serve, and how to wait for them."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from bastion.runtime.certificates import Authority
from bastion.standalone.resources import Object
from tests.loopback import free_port, own_network
from tests.standalone.objects import binding, path_rule, pod, role, rule, service

ROOT = Path(__file__).parent.parent.parent
PORT, TLS_PORT, KUBELET_PORT = 8080, 8443, 10250
PODS = 200
PATIENCE = 90.0  # seconds: nothing takes long, but a machine may be busy

NETWORK = own_network(97)
ALLOWED = "127.97.0.0/16"

# In no word that anybody else writes: a line that holds one of these holds a credential.
ALICE, BOB, CAROL, DAVE = (f"{name}-s3cr3t-t0k3n" for name in ("alice", "bob", "carol", "dave"))
TOKENS = f"""
{ALICE},alice,1,"devs"
{BOB},bob,2
{CAROL},carol,3
{DAVE},dave,4
"""


# --- what is served


@dataclass(frozen=True, slots=True)
class Place:
    """A pod, or whatever is named in a proxy path; `path` is for the bastion, what is behind `…/proxy` for
    the backend.
    """

    name: str
    address: str
    resource: str = "pods"
    namespace: str = "default"

    def path(self, rest: str = "/", *, port: int | str = PORT, scheme: str = "") -> str:
        name = f"{scheme}:{self.name}:{port}" if scheme else f"{self.name}:{port}" if port else self.name
        return f"/api/v1/namespaces/{self.namespace}/{self.resource}/{name}/proxy{rest}"


class Cluster:
    """The manifests and tokens that all processes here serve.

    Each test takes a pod of its own, so that none meets another's.
    """

    def __init__(self, folder: Path, *more: Object) -> None:
        self.folder = folder
        self.authority = Authority("e2e")
        self.manifests, self.tokens, self.ca = (
            folder / "cluster.json",
            folder / "tokens.csv",
            folder / "ca.crt",
        )
        self.manifests.write_text(
            json.dumps({"apiVersion": "v1", "kind": "List", "items": [*objects(), *more]})
        )
        self.tokens.write_text(TOKENS)
        self.ca.write_bytes(self.authority.pem)
        self.trust = ssl.create_default_context(cafile=str(self.ca))
        self.serving = self.pair("bastion", "127.0.0.1", "localhost")
        self._numbers = itertools.count()

    def pod(self) -> Place:
        number = next(self._numbers) % PODS + 1
        return Place(f"pod-{number}", f"{NETWORK}.{number}")

    def pair(self, name: str, *names: str, client: bool = False) -> tuple[Path, Path]:
        """Certificate and key as files."""
        certificate, key = self.folder / f"{name}.crt", self.folder / f"{name}.key"
        pair = self.authority.issue(names, common_name=name, client=client)
        certificate.write_bytes(pair.certificate)
        key.write_bytes(pair.key)
        return certificate, key

    def backend_tls(self, address: str, *, wants_certificate: bool = False) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.pair(f"backend-{address}", address))
        if wants_certificate:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(self.ca)
        return context


# The pair's second pod and the two nodes are at addresses of their own; nobody ever listens at DEAD.
LIVE, DEAD, NODE, OTHER_NODE = (f"{NETWORK}.{n}" for n in (241, 242, 243, 244))


def objects() -> list[Object]:
    generic = [
        pod(f"pod-{n}", ip=f"{NETWORK}.{n}", ports=[("http", PORT), ("https", TLS_PORT)])
        for n in range(1, PODS + 1)
    ]
    on_node = pod("on-node", ip=NODE, ports=[("kubelet", KUBELET_PORT)])
    on_node["spec"]["hostNetwork"] = True
    return [
        *generic,
        on_node,
        _node("node-a", NODE),
        _node("node-b", OTHER_NODE),
        pod("live", ip=LIVE, labels={"app": "pair"}, ports=[("http", PORT)]),
        pod("dead", ip=DEAD, labels={"app": "pair"}, ports=[("http", PORT)]),
        pod("addressless", ip="", phase="Pending"),
        pod("ended", ip=f"{NETWORK}.245", phase="Succeeded", ports=[("http", PORT)]),
        pod("metadata", ip="169.254.169.254", ports=[("http", 80)]),
        pod("unready", ip=f"{NETWORK}.246", labels={"app": "unready"}, ready=False, ports=[("http", PORT)]),
        service("pair", selector={"app": "pair"}, ports=[{"name": "http", "port": 80, "targetPort": "http"}]),
        service(
            "two-ports",
            selector={"app": "pair"},
            ports=[{"name": n, "port": p, "targetPort": "http"} for n, p in (("a", 80), ("b", 81))],
        ),
        service("nobody", selector={"app": "nobody"}),
        service("unready", selector={"app": "unready"}),
        service("elsewhere", type="ExternalName", externalName="example.org"),
        role("proxy", rule("*", "core", "pods/proxy services/proxy nodes/proxy")),
        role("read-services", rule("get", "core", "services/proxy")),
        role(
            "act-as",
            rule("impersonate", "core", "users", "alice carol"),
            rule("impersonate", "core", "groups", "devs"),
        ),
        role(
            "act-as-to-get",
            rule("impersonate-on:user-info:get", "core", "pods/proxy"),
            rule("impersonate:user-info", "authentication.k8s.io", "users groups", "alice devs"),
        ),
        role("metrics", path_rule("get", "/metrics")),
        binding("devs", "ClusterRole/proxy", "Group/devs"),
        binding("devs-metrics", "ClusterRole/metrics", "Group/devs"),
        binding("bob", "ClusterRole/read-services", "User/bob"),
        binding("bob-to-get", "ClusterRole/act-as-to-get", "User/bob"),
        binding("dave", "ClusterRole/act-as", "User/dave"),
    ]


def _node(name: str, address: str) -> Object:
    status = {"addresses": [{"type": "InternalIP", "address": address}]}
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": status}


# --- processes


class Program:
    """`python -m bastion …`; what it prints goes to files, so that no pipe ever fills."""

    def __init__(
        self, folder: Path, *arguments: object, environment: dict[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self._out, self._err = folder / "stdout", folder / "stderr"
        command = [sys.executable, "-m", "bastion", *map(str, arguments)]
        inherited = {
            key: value
            for key, value in os.environ.items()
            if key != "KUBECONFIG" and not key.lower().endswith("_proxy")
        }
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=cwd,
                env=inherited | (environment or {}),
                start_new_session=True,
                preexec_fn=_end_with_the_tests,
            )

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self) -> int:
        return self.process.wait()

    def until(self, condition: Callable[[], Any]) -> Any:
        """What `condition` returns once it is true.

        Nothing here takes long: patience is for machines that are busy.
        """
        given_up = time.monotonic() + PATIENCE
        while not (value := condition()):
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.stderr}"
            assert time.monotonic() < given_up, "it did not come to pass"
            time.sleep(0.02)
        return value

    def end(self) -> None:
        """At once, and its workers with it."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def _end_with_the_tests() -> None:
    """However those end: PR_SET_PDEATHSIG (Linux only; elsewhere a killed test run leaves its programs
    behind).
    """
    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


@dataclass(slots=True)
class Bastion:
    """A running `bastion serve`.  `plain_port` is that of --insecure-port."""

    program: Program
    cluster: Cluster
    port: int
    plain_port: int
    trust: ssl.SSLContext = field(repr=False)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    def http(self, token: str = ALICE, **more: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(
            base_url=self.url, verify=self.trust, headers=headers, timeout=60, trust_env=False, **more
        )

    def get(self, path: str, token: str = ALICE) -> httpx.Response:
        """On a connection of its own."""
        with self.http(token) as http:
            return http.get(path)

    def lines(self) -> list[dict[str, Any]]:
        """The access log so far; a line that is not wholly there yet is left for later."""
        return [
            json.loads(line) for line in self.program.stdout.splitlines(keepends=True) if line.endswith("\n")
        ]

    def line(self, audit_id: str) -> Any:
        """The one line of an exchange, once it is written."""
        return self.program.until(
            lambda: [line for line in self.lines() if line["auditID"] == audit_id and line["msg"] == "access"]
        )[0]

    def log(self) -> list[dict[str, Any]]:
        return [
            json.loads(line) for line in self.program.stderr.splitlines(keepends=True) if line.endswith("\n")
        ]

    def passes(self, check: str) -> bool:
        try:
            return self.get(check, token="").status_code == 200
        except httpx.TransportError:
            return False


@contextlib.contextmanager
def serving(
    cluster: Cluster,
    folder: Path,
    *flags: object,
    source: tuple[object, ...] | None = None,
    certificate: bool = True,
    ready: bool = True,
    port: int = 0,
    environment: dict[str, str] | None = None,
) -> Iterator[Bastion]:
    """A bastion that is ready, or alive.

    `source`: the flags that say where objects come from, else the cluster's manifests.
    """
    port, plain_port = port or free_port(), free_port()
    if source is None:
        source = ("--manifests", cluster.manifests, "--token-auth-file", cluster.tokens)
    tls: tuple[object, ...] = ()
    trust = cluster.trust
    if certificate:
        tls = ("--tls-cert-file", cluster.serving[0], "--tls-private-key-file", cluster.serving[1])
    else:
        trust = ssl.create_default_context()
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
    ports = ("--port", port, "--insecure-port", plain_port)
    program = Program(
        folder,
        "serve",
        *source,
        *tls,
        *ports,
        "--allow-target-cidr",
        ALLOWED,
        "--explain-paths=false",  # pages under a path are what is looked at here
        *flags,
        environment=environment,
    )
    try:
        bastion = Bastion(program, cluster, port, plain_port, trust)
        program.until(lambda: bastion.passes("/.bastion/readyz" if ready else "/.bastion/livez"))
        yield bastion
    finally:
        program.end()


@contextlib.contextmanager
def standalone(cluster: Cluster, folder: Path) -> Iterator[tuple[Program, Path]]:
    """`bastion standalone` and the kubeconfig that it wrote."""
    kubeconfig = folder / "kubeconfig"
    arguments = (
        "--manifests",
        cluster.manifests,
        "--token-auth-file",
        cluster.tokens,
        "--port",
        0,
        "--kubeconfig",
        kubeconfig,
    )
    program = Program(folder, "standalone", *arguments)
    try:
        program.until(lambda: "export KUBECONFIG" in program.stdout)
        yield program, kubeconfig
    finally:
        program.end()


def own_address() -> str:
    """The address of this machine that others would reach it at; loopback where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect(("198.51.100.1", 9))  # sends nothing
        except OSError:
            return "127.0.0.1"
        address: str = sock.getsockname()[0]
        return address
