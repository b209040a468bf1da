"""How a test's API servers are reached, and what they answer."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from typing import Any

from bastion.cluster.apiservers import ApiServer, ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.proxies import Proxies
from bastion.cluster.throttle import Throttle
from tests.fakes import LOOPBACK

GOOD = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


class Access:
    """`others` are the tokens that there are after one is refused."""

    proxies, proxy_tls, impersonation = Proxies(), None, ()

    def __init__(self, *ports: Any, tls: Any = None, others: Any = ()) -> None:
        scheme = "http" if tls is None else "https"
        self.servers = [f"{scheme}://{LOOPBACK}:{port}" for port in ports]
        self.server = self.servers[0]
        self.tls = tls or ssl.create_default_context()
        self.token = "Bearer first"
        self._others = list(others)

    async def authorization(self) -> str:
        return self.token

    async def refused(self, authorization: str) -> bool:
        if self.token == authorization and self._others:
            self.token = self._others.pop(0)
        return self.token != authorization


def first(servers: Sequence[ApiServer]) -> ApiServer:
    return servers[0]


def client(access: Access, throttle: Throttle | None = None, **options: Any) -> ApiClient:
    return ApiClient(access, ApiServers(access.servers, first), throttle, **options)  # type: ignore[arg-type]


def answer(status: int, body: bytes = b"{}", fields: bytes = b"") -> bytes:
    return b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n%b\r\n%b" % (status, len(body), fields, body)
