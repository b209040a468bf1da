"""· How a container says that its health is checked, as far as a proxy can do that."""

from __future__ import annotations

from bastion.kube.metadata import Struct


class HttpHeader(Struct, frozen=True):
    name: str = ""
    value: str = ""


class HttpGet(Struct, frozen=True):
    """`host` is not read: it may name any address, and a pod is probed at its own."""

    path: str = "/"
    port: int | str = 0
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] | None = None


class TcpSocket(Struct, frozen=True):
    port: int | str = 0


class GrpcCheck(Struct, frozen=True):
    port: int = 0
    service: str | None = None


class DeclaredProbe(Struct, frozen=True):
    """What a container says of its health; none of the three: a command, which only the kubelet can run."""

    http_get: HttpGet | None = None
    tcp_socket: TcpSocket | None = None
    grpc: GrpcCheck | None = None
    timeout_seconds: int = 1
    success_threshold: int = 1
    failure_threshold: int = 3
