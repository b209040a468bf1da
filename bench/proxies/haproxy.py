"""HAProxy: one thread, connections to the backends reused as far as it goes."""

from __future__ import annotations

from collections.abc import Sequence

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


def proxy(ground: Ground, port: int, services: Sequence[Service]) -> list[str]:
    """The command.  Raises Unable."""
    require("haproxy", "haproxy")
    both = ground.file("haproxy.pem", ground.certificate.read_text() + ground.key.read_text())
    text = FRONTEND.format(port=port, certificate=both) + "".join(map(_backend, services))
    return ["haproxy", "-db", "-f", str(ground.file("haproxy.cfg", text))]


def _backend(service: Service) -> str:
    servers = (f"server s{i} {address}:{BACKEND_PORT}" for i, address in enumerate(service.addresses))
    return BACKEND.format(service=service, servers="\n  ".join(servers))
