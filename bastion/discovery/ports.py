"""· Which port does an id name, and does it speak TLS?"""

from __future__ import annotations

from bastion.kube.endpoint import UNVERIFIED, TLSProfile
from bastion.kube.objects import TCP, Pod, ServicePort
from bastion.kube.status import bad_request, quoted
from bastion.kube.target import Target

_TLS_PORTS = (443, 8443)
_APP_PROTOCOLS = {
    "https": True,
    "kubernetes.io/wss": True,
    "http": False,
    "kubernetes.io/ws": False,
    "kubernetes.io/h2c": False,
}
PORTS_NAMED = 16  # in an error


def pod_port(pod: Pod, target: Target) -> tuple[int, str]:
    """(number, name) of the port asked for; number 0 where the pod declares none and none is asked for."""
    if not target.port:
        first = pod.default_port
        return (first.container_port, first.name) if first is not None else (0, "")
    if _is_number(target.port):
        number = port_number(target.port)
        if number is None:
            raise bad_request(f"invalid pod request {quoted(target.id)}: a port is a number from 1 to 65535")
        declared = [port for port in pod.ports if port.container_port == number]
        spoken = next((port for port in declared if port.protocol == TCP), None)
        if declared and spoken is None:
            raise bad_request(f"invalid pod request {quoted(target.id)}: {_not_tcp(declared[0].protocol)}")
        return number, spoken.name if spoken is not None else ""
    named = [port for port in pod.ports if port.name == target.port]
    for port in named:
        if port.protocol == TCP:
            return port.container_port, port.name
    if named:
        raise bad_request(f"invalid pod request {quoted(target.id)}: {_not_tcp(named[0].protocol)}")
    raise bad_request(
        f"invalid pod request {quoted(target.id)}: the pod has no port named {quoted(target.port)}"
    )


def _not_tcp(protocol: str) -> str:
    return f"the port is of {protocol}, and HTTP is spoken over TCP"


def _is_number(text: str) -> bool:
    return text.isdigit() and text.isascii()


def port_number(text: str) -> int | None:
    number = int(text) if _is_number(text) and len(text) <= 5 else 0
    return number if 1 <= number <= 65535 else None


def tls_of(target: Target, app_protocol: str | None, name: str, number: int) -> TLSProfile | None:
    """As the id says, or else what the port says."""
    spoken = target.scheme == "https" if target.scheme else _speaks_tls(app_protocol, name, number)
    return UNVERIFIED if spoken else None


def _speaks_tls(app_protocol: str | None, name: str, number: int) -> bool:
    said = _APP_PROTOCOLS.get(app_protocol.lower()) if app_protocol else None
    if said is not None:
        return said
    if name.startswith("http"):
        return name.startswith("https")
    return number in _TLS_PORTS


def ports_offered(ports: tuple[ServicePort, ...]) -> str:
    if not ports:
        return "it has no ports"
    named = ", ".join(map(_port_offered, ports[:PORTS_NAMED]))
    return f"it has {named}" + (f" and {len(ports) - PORTS_NAMED} more" if len(ports) > PORTS_NAMED else "")


def _port_offered(port: ServicePort) -> str:
    offered = f"{port.name}:{port.port}" if port.name else str(port.port)
    return offered if port.protocol == TCP else f"{offered}/{port.protocol}"
