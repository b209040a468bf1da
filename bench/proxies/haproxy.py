"""HAProxy: one thread, connections to the backends reused as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.fixture import BACKEND_PORT, Service
from bench.ground import Ground, require

# The seventh piece of /api/v1/namespaces/bench/services/web-00:80/proxy/ between slashes is the backend's
# name.
FRONTEND = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option forwardfor
frontend all
  bind 127.0.0.1:{port} ssl crt {certificate}
  http-request del-header authorization
  use_backend %[path,field(7,/)]
"""
BACKEND = """
backend {service.name}:80
  http-request replace-path {service.prefix}(/.*) \\1
  {servers}
"""

FRONT = """
global
  nbthread 1
defaults
  mode http
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  http-reuse always
  option forwardfor
frontend calls
  bind 127.0.0.1:{port} ssl crt {certificate} alpn http/1.1
  default_backend api
backend api
  server api 127.0.0.1:{api} ssl verify required ca-file {authority} alpn http/1.1
"""


def front(ground: Ground, port: int, api: int) -> list[str]:
    """The command of one in front of an API server.  Raises Unable."""
    require("haproxy", "haproxy")
    text = FRONT.format(port=port, api=api, certificate=_both(ground), authority=ground.directory / "ca.crt")
    return ["haproxy", "-db", "-f", str(ground.file("front.cfg", text))]


def proxy(ground: Ground, port: int, services: Sequence[Service]) -> list[str]:
    """The command.  Raises Unable."""
    require("haproxy", "haproxy")
    text = FRONTEND.format(port=port, certificate=_both(ground)) + "".join(map(_backend, services))
    return ["haproxy", "-db", "-f", str(ground.file("haproxy.cfg", text))]


def _backend(service: Service) -> str:
    servers = (f"server s{i} {address}:{BACKEND_PORT}" for i, address in enumerate(service.addresses))
    return BACKEND.format(service=service, servers="\n  ".join(servers))


def _both(ground: Ground) -> Path:
    return ground.file("haproxy.pem", ground.certificate.read_text() + ground.key.read_text())
