"""nginx, as the backend of all proxies and as one of them."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bench.fixture import BACKEND_PORT, Service
from bench.ground import Ground, require

MIB = 1 << 20
FILES = {"1k": 1 << 10, "64k": 1 << 16, "100m": 100 * MIB, "1g": 1024 * MIB}
GREETING = "hello from backend\n"

# The body of a POST is read to its end before it is answered, as a real backend would: `return` alone answers
# at once.
BACKEND = """
  upstream answered {{ server unix:{directory}/answered.sock; keepalive 64; keepalive_requests 10000000; }}
  server {{ listen unix:{directory}/answered.sock; return 200 "ok\\n"; }}
  server {{
    {listens}
    sendfile on; default_type application/octet-stream;
    location = / {{ default_type text/plain; return 200 "hello from backend\\n"; }}
    location / {{ root {directory}/www; }}
    location = /post {{
      client_max_body_size 1m; client_body_buffer_size 64k;
      proxy_http_version 1.1; proxy_method GET; proxy_pass_request_body off;
      proxy_set_header Content-Length ""; proxy_set_header Connection ""; proxy_pass http://answered/;
    }}
  }}"""

API = """
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {ground.certificate}; ssl_certificate_key {ground.key};
    keepalive_requests 10000000; default_type application/json;
    location /api {{ return 200 '{{"kind":"Status","apiVersion":"v1","metadata":{{}},"status":"Success"}}'; }}
    location / {{ root {ground.directory}/www; }}
  }}"""

PROXY = """
  {upstreams}
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {ground.certificate}; ssl_certificate_key {ground.key};
    client_max_body_size 0; proxy_request_buffering off; proxy_http_version 1.1; proxy_max_temp_file_size 0;
    proxy_set_header Connection {connection}; proxy_set_header Upgrade {upgrade};
    proxy_set_header Authorization ""; proxy_set_header X-Forwarded-For $remote_addr;
    {locations}
  }}"""

FRONT = """
  upstream api {{ server 127.0.0.1:{api}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    listen 127.0.0.1:{port} ssl; ssl_certificate {ground.certificate}; ssl_certificate_key {ground.key};
    client_max_body_size 0; proxy_request_buffering off; proxy_buffering off; proxy_http_version 1.1;
    proxy_set_header Connection ""; proxy_set_header X-Forwarded-For $remote_addr;
    proxy_ssl_verify on; proxy_ssl_trusted_certificate {ground.directory}/ca.crt; proxy_ssl_name localhost;
    location / {{ proxy_pass https://api; }}
  }}"""


def front(ground: Ground, port: int, api: int) -> list[str]:
    """The command of one in front of an API server.  Raises Unable."""
    require("nginx", "nginx")
    return _command(ground, "front", FRONT.format(ground=ground, port=port, api=api))


def backend(ground: Ground, services: Sequence[Service]) -> list[str]:
    """The command.  The files it serves are holes: they cost no disk."""
    require("nginx", "nginx")
    www = ground.directory / "www"
    www.mkdir()
    for name, size in FILES.items():
        with (www / name).open("wb") as file:
            file.truncate(size)
    listens = " ".join(
        f"listen {address}:{BACKEND_PORT};" for service in services for address in service.addresses
    )
    return _command(ground, "backend", BACKEND.format(directory=ground.directory, listens=listens))


def api(ground: Ground, port: int) -> list[str]:
    """The command of what stands in for an API server: a small object, and a large file.  Raises Unable."""
    require("nginx", "nginx")
    www = ground.directory / "www"
    www.mkdir()
    with (www / "1g").open("wb") as file:
        file.truncate(FILES["1g"])
    return _command(ground, "api", API.format(ground=ground, port=port))


def proxy(ground: Ground, port: int, services: Sequence[Service], *, tunnels: bool = False) -> list[str]:
    """The command.  Raises Unable."""
    require("nginx", "nginx")
    http = PROXY.format(
        ground=ground,
        port=port,
        upstreams="\n  ".join(_upstream(service) for service in services),
        locations="\n    ".join(
            f"location ^~ {s.prefix}/ {{ proxy_pass http://{s.name}/; }}" for s in services
        ),
        connection="$connection_upgrade" if tunnels else '""',
        upgrade="$http_upgrade" if tunnels else '""',
    )
    return _command(ground, "nginx", http)


def _upstream(service: Service) -> str:
    servers = " ".join(f"server {address}:{BACKEND_PORT};" for address in service.addresses)
    return f"upstream {service.name} {{ {servers} keepalive 128; keepalive_requests 10000000; }}"


def _command(ground: Ground, name: str, http: str) -> list[str]:
    directory = ground.directory
    configuration = [
        "worker_processes 1;",
        "daemon off;",
        f"pid {directory}/{name}.pid;",
        "error_log stderr error;",
        "events { worker_connections 16384; }",
        "http {",
        "  access_log off; keepalive_requests 10000000; keepalive_timeout 300s;",
        *(
            f"  {kind}_temp_path {directory}/{name}-{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        ),
        f"{http}\n}}\n",
    ]
    if os.geteuid() == 0:
        configuration.insert(0, "user root;")  # nobody could not read a directory that is ours alone
    return [
        "nginx",
        "-e",
        "stderr",
        "-p",
        str(directory),
        "-c",
        str(ground.file(f"{name}.conf", "\n".join(configuration))),
    ]
