"""· What a pod itself declares, as a module: the kubelet's own rules.

Sources: kubernetes `pkg/probe/http`, `pkg/probe/grpc`, `pkg/kubelet/prober`.  A probe's `host` is not
followed, for it may name any address; a command only the kubelet can run, so there a connection to the port
must do.
"""

from __future__ import annotations

import msgspec

from bastion.kube.declaredprobe import DeclaredProbe, HttpGet
from bastion.kube.endpoint import UNVERIFIED, Endpoint
from bastion.kube.objects import Container, Pod
from bastion.probe.modules import Grpc, Http, Module
from bastion.probe.tlssettings import TLSConfig

AGENT = "kube-probe/1.34"
BODY = 10 << 10  # bytes of the body that are read


class Declared(msgspec.Struct, frozen=True):
    """`verdict` is for HTTP alone; thresholds are failures and successes in a row that change the state."""

    module: Module
    endpoint: Endpoint
    path: bytes = b"/"
    failures: int = 1
    successes: int = 1


def is_good(status: int) -> bool:
    return 200 <= status < 400


def declared(pod: Pod | None, endpoint: Endpoint) -> Declared:
    """`endpoint` is the asked port at the pod's own address."""
    container = _with_port(pod, endpoint.port) if pod is not None else None
    probe = container.probe if container is not None else None
    if container is None or probe is None:
        return Declared(Module(prober="tcp"), endpoint)
    timeout = float(max(probe.timeout_seconds, 1))
    failures, successes = max(probe.failure_threshold, 1), max(probe.success_threshold, 1)
    if probe.http_get is not None:
        get = probe.http_get
        number = _number(container, get.port) or endpoint.port
        tls = UNVERIFIED if get.scheme.upper() == "HTTPS" else None
        path = get.path if get.path.startswith("/") else f"/{get.path}"
        return Declared(
            Module(prober="http", timeout=timeout, http=_http(get)),
            Endpoint(endpoint.address, number, tls),
            _escaped(path),
            failures,
            successes,
        )
    module, where = _other(probe, container, endpoint, timeout)
    return Declared(module, where, failures=failures, successes=successes)


def _other(
    probe: DeclaredProbe, container: Container, endpoint: Endpoint, timeout: float
) -> tuple[Module, Endpoint]:
    if probe.grpc is not None:
        module = Module(prober="grpc", timeout=timeout, grpc=Grpc(service=probe.grpc.service or ""))
        return module, Endpoint(endpoint.address, probe.grpc.port or endpoint.port)
    number = _number(container, probe.tcp_socket.port) if probe.tcp_socket is not None else 0
    return Module(prober="tcp", timeout=timeout), Endpoint(endpoint.address, number or endpoint.port)


def _http(get: HttpGet) -> Http:
    fields = {"User-Agent": AGENT, "Accept": "*/*"}
    for one in get.http_headers or ():
        if not any(char in one.name + one.value for char in "\r\n\0"):
            fields = {name: value for name, value in fields.items() if name.lower() != one.name.lower()}
            fields[one.name] = one.value
    headers = tuple((name, value) for name, value in fields.items() if value or name.lower() != "accept")
    return Http(headers=headers, tls_config=TLSConfig(insecure_skip_verify=True), body_size_limit=BODY)


def _with_port(pod: Pod, number: int) -> Container | None:
    """The container that declares the port; the only one where none does."""
    containers = pod.spec.containers or ()
    for container in containers:
        if any(port.container_port == number for port in container.ports or ()):
            return container
    return containers[0] if len(containers) == 1 else None


def _number(container: Container, port: int | str) -> int:
    """0 where there is no port of this name."""
    if isinstance(port, int) or port.isdigit():
        return int(port)
    return next((one.container_port for one in container.ports or () if one.name == port), 0)


def _escaped(path: str) -> bytes:
    """What a request line may not hold, as the kubelet's URL would have it."""
    return b"".join(
        bytes([byte]) if 0x20 < byte < 0x7F else b"%%%02X" % byte for byte in path.partition("#")[0].encode()
    )
