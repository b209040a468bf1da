"""· Which port does an id name, and what does it speak: TLS, and which version of HTTP?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from msgspec.structs import replace

from bastion.kube.endpoint import EITHER, HTTP1, HTTP2, UNVERIFIED, TLSProfile
from bastion.kube.errors import error_of
from bastion.kube.errorword import Word
from bastion.kube.errorwords import BAD_TARGET, NO_SUCH_PORT
from bastion.kube.objects import TCP, ContainerPort, Pod, ServicePort
from bastion.kube.status import StatusError, quoted
from bastion.kube.target import Target

_TLS_PORTS = (443, 8443)
_APP_PROTOCOLS = {
    "https": True,
    "kubernetes.io/wss": True,
    "http": False,
    "kubernetes.io/ws": False,
    "kubernetes.io/h2c": False,
    "h2c": False,
    "grpc": False,
    "grpcs": True,
}
_H2C = frozenset(("kubernetes.io/h2c", "h2c", "grpc"))
_OF_ANNOTATIONS = {"h2": True, "h2c": False}  # whether TLS is spoken
PORTS_NAMED = 16  # in an error


class Spoken(NamedTuple):
    """`h2c`: HTTP/2 without TLS, by prior knowledge."""

    tls: TLSProfile | None
    h2c: bool = False


def pod_port(pod: Pod, target: Target) -> tuple[int, str]:
    """(number, name) of the port asked for; number 0 where the pod declares none and none is asked for."""
    if not target.port:
        first = pod.default_port
        return (first.container_port, first.name) if first is not None else (0, "")
    if _is_number(target.port):
        number = port_number(target.port)
        if number is None:
            raise _invalid(target, "a port is a number from 1 to 65535", BAD_TARGET)
        declared = [port for port in pod.ports if port.container_port == number]
        spoken = next((port for port in declared if port.protocol == TCP), None)
        if declared and spoken is None:
            raise _invalid(target, _not_tcp(declared[0].protocol))
        return number, spoken.name if spoken is not None else ""
    named = [port for port in pod.ports if port.name == target.port]
    for port in named:
        if port.protocol == TCP:
            return port.container_port, port.name
    if named:
        raise _invalid(target, _not_tcp(named[0].protocol))
    raise _invalid(target, f"the pod has no port named {quoted(target.port)}: {ports_declared(pod.ports)}")


def _invalid(target: Target, why: str, word: Word = NO_SUCH_PORT) -> StatusError:
    return error_of(word, f"invalid pod request {quoted(target.id)}", why, code=400)


def _not_tcp(protocol: str) -> str:
    return f"the port is of {protocol}, and HTTP is spoken over TCP"


def _is_number(text: str) -> bool:
    return text.isdigit() and text.isascii()


def port_number(text: str) -> int | None:
    number = int(text) if _is_number(text) and len(text) <= 5 else 0
    return number if 1 <= number <= 65535 else None


def spoken(target: Target, protocol: str, app_protocol: str | None, name: str, number: int) -> Spoken:
    """`protocol` is what an annotation says, empty where none does.

    In this order: the annotation, the port's appProtocol, its name, and with TLS what the handshake chooses.
    Never by a probe: that would send a request which may not be sent twice.  Whether TLS is spoken is the
    id's to say first.
    """
    if target.scheme:
        tls = target.scheme == "https"
    elif protocol in _OF_ANNOTATIONS:
        tls = _OF_ANNOTATIONS[protocol]
    else:
        tls = _speaks_tls(app_protocol, name, number)
    if tls:
        alpn = HTTP1 if protocol == "http1" else (HTTP2,) if protocol in _OF_ANNOTATIONS else EITHER
        return Spoken(replace(UNVERIFIED, alpn=alpn))
    return Spoken(None, _by_prior_knowledge(protocol, app_protocol, name))


def _by_prior_knowledge(protocol: str, app_protocol: str | None, name: str) -> bool:
    if protocol:
        return protocol != "http1"
    if app_protocol:
        return app_protocol.lower() in _H2C
    # gRPC-Web is HTTP/1.1's as well, and what answers to it is a proxy.
    first = name.partition("-")[0]
    return first in ("grpc", "h2c") and not name.startswith("grpc-web")


def _speaks_tls(app_protocol: str | None, name: str, number: int) -> bool:
    said = _APP_PROTOCOLS.get(app_protocol.lower()) if app_protocol else None
    if said is not None:
        return said
    first = name.partition("-")[0]
    if first in ("grpcs", "h2c"):
        return first == "grpcs"
    if name.startswith("http"):
        return name.startswith("https")
    return number in _TLS_PORTS


def ports_offered(ports: Sequence[ServicePort]) -> str:
    return _offered([_port(port.name, port.port, port.protocol) for port in ports])


def ports_declared(ports: Sequence[ContainerPort]) -> str:
    """Those of a pod."""
    return _offered([_port(port.name, port.container_port, port.protocol) for port in ports])


def _offered(ports: list[str]) -> str:
    if not ports:
        return "it has no ports"
    more = f" and {len(ports) - PORTS_NAMED} more" if len(ports) > PORTS_NAMED else ""
    return f"it has {', '.join(ports[:PORTS_NAMED])}{more}"


def _port(name: str, number: int, protocol: str) -> str:
    offered = f"{name}:{number}" if name else str(number)
    return offered if protocol == TCP else f"{offered}/{protocol}"
