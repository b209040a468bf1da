"""Which servers `bastion lb` balances among, and what checks those that are API servers."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from urllib.parse import urlsplit

from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import load_access
from bastion.discovery.apiserver import api_server_endpoints, look_once
from bastion.discovery.catalog import Catalog
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.l4.servers import Named
from bastion.network.addresses import DialPolicy
from bastion.network.dial import Dialer
from bastion.network.names import ApiSockets
from bastion.network.sockets import prepare
from bastion.proxy.probing import Prober
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Followed, follow
from bastion.runtime.trust import client_context
from bastion.settings.balancing import Balancing
from bastion.settings.kinds import network
from bastion.wiring.background import in_background

EVERYWHERE = (network("0.0.0.0/0"), network("::/0"))
DISCOVERED_NAME = "kubernetes.default.svc"  # which every API server's certificate is for
DISCOVER_EVERY = 2.0  # seconds
CONNECT = 2.0  # seconds

_log = logging.getLogger("bastion.lb")


class Checks:
    """`server` is the kubeconfig's, empty where there is none; no check shows credentials."""

    def __init__(
        self,
        context: Callable[[], ssl.SSLContext],
        deadlines: Deadlines,
        access: ApiAccess | None,
        api: ApiClient | None,
    ) -> None:
        self.server = access.server if access is not None else ""
        self.api = api
        self._context = context
        self._dialer = Dialer(DialPolicy(EVERYWHERE), self, deadlines, CONNECT, prepare)

    async def context(self, profile: TLSProfile) -> ssl.SSLContext:
        """Of `network.tls.contexts.Contexts`."""
        return self._context()

    def readyz(self, named: Named, lost: Callable[[], None]) -> Prober:
        profile = TLSProfile("apiserver", "", named.server_name) if named.secure else None
        endpoint = Endpoint(named.address, named.port, profile)
        return Prober(self._dialer, endpoint, _head, lost)


async def _head(at: Endpoint) -> bytes:
    return f"GET /readyz HTTP/1.1\r\nHost: {at}\r\nUser-Agent: bastion-lb\r\n\r\n".encode()


async def open_checks(options: Balancing, deadlines: Deadlines, stack: AsyncExitStack) -> Checks:
    """Raises StartError."""
    access = api = None
    if options.kubeconfig is not None:
        access = await asyncio.to_thread(load_access, options.kubeconfig)
        in_background(stack, access.keep(), "credentials")
        urls = [*options.apiservers] or [access.server]
        api = await stack.enter_async_context(ApiClient(access, ApiServers(urls)))
    file = options.certificate_authority
    verify = not options.insecure_skip_tls_verify
    if file is None and access is not None and verify:
        known = access
        return Checks(lambda: _http1(known.trust.plain()), deadlines, access, api)

    def made() -> ssl.SSLContext:
        return _http1(client_context(file.read_bytes() if file is not None else None, verify=verify))

    try:
        context = Followed("--certificate-authority", (file,), made)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise StartError(f"--certificate-authority: {file}: {reason}") from error
    in_background(stack, follow([context]), "certificate authority")
    return Checks(context, deadlines, access, api)


def _http1(context: ssl.SSLContext) -> ssl.SSLContext:
    context.set_alpn_protocols(["http/1.1"])
    return context


async def open_members(
    options: Balancing,
    urls: list[str],
    backends: list[tuple[str, int]],
    checks: Checks,
    stack: AsyncExitStack,
    *,
    discover: bool,
) -> Callable[[], frozenset[Named]]:
    """Names are resolved every 30 seconds."""
    looks: list[tuple[ApiSockets, bool, str, bool]] = []
    for url in dict.fromkeys(urls):
        parts = urlsplit(url)
        name = options.tls_server_name or parts.hostname or ""
        looks.append((await _resolved(url, stack), True, name, parts.scheme == "https"))
    for host, port in dict.fromkeys(backends):
        literal = f"[{host}]" if ":" in host else host
        looks.append((await _resolved(f"tcp://{literal}:{port}", stack), False, "", False))
    told = await _discovered(checks, stack) if discover else None

    def members() -> frozenset[Named]:
        # a kubeconfig may name the virtual IP itself: what comes there must not come back
        return frozenset(one for one in named() if one.address not in options.virtual_ips)

    def named() -> frozenset[Named]:
        found: dict[tuple[str, int], Named] = {}
        for sockets, readyz, name, secure in looks:
            for address, port in sockets():
                found.setdefault((address, port), Named(address, port, readyz, name, secure))
        for address, port in told() if told is not None else ():
            found.setdefault((address, port), Named(address, port, readyz=True, server_name=DISCOVERED_NAME))
        return frozenset(found.values())

    return members


async def _resolved(url: str, stack: AsyncExitStack) -> ApiSockets:
    sockets = ApiSockets((url,), time.monotonic)
    await sockets.look()
    in_background(stack, sockets.keep(), f"addresses of {url}")
    return sockets


async def _discovered(checks: Checks, stack: AsyncExitStack) -> Callable[[], frozenset[tuple[str, int]]]:
    """Once some were told, never none."""
    api = checks.api
    assert api is not None
    catalog = Catalog()
    known: list[frozenset[tuple[str, int]]] = [frozenset()]

    async def look() -> None:
        await look_once(api, catalog)
        known[0] = api_server_endpoints(catalog) or known[0]

    async def keep() -> None:
        while True:
            await asyncio.sleep(DISCOVER_EVERY)
            await look()

    await look()
    in_background(stack, keep(), "discovery of API servers")
    return lambda: known[0]
