"""One context's API server: its connections, and what each request carries there."""

from __future__ import annotations

from bastion.cluster.access import AccessData, Trust
from bastion.kube.endpoint import Endpoint, TLSProfile
from bastion.localproxy.credentials import Credentials
from bastion.localproxy.dial import ApiDialer
from bastion.localproxy.request import Identity
from bastion.localproxy.server import Server
from bastion.network.connections import ConnectionPool
from bastion.network.transport import Transport
from bastion.runtime.deadlines import Deadlines
from bastion.settings.sections import Timeouts

OWNER = "local"  # all requests are of the one user whose kubeconfig it is
FOREVER = float("inf")
ALPN = ["http/1.1"]


class Upstream:
    """`path` is put before the path of every request."""

    def __init__(
        self,
        name: str,
        server: Server,
        credentials: Credentials,
        deadlines: Deadlines,
        *,
        append_path: bool,
        keepalive: float,
    ) -> None:
        self.name = name
        self.server = server
        self.path = server.path.encode() if append_path else b""
        self.credentials = credentials
        self._trusts: dict[TLSProfile | None, Trust] = {}
        self._pool = ConnectionPool(ApiDialer(self._trusts, deadlines, keepalive), deadlines)
        # as kubectl, and as watches need it: whatever lasts, lasts
        self.transport = Transport(self._pool, Timeouts(response_header=FOREVER, response_idle=FOREVER))
        self._loaded: AccessData | None = None
        self._generation = 0
        self.endpoint = Endpoint(server.host, server.port)
        self.identity = Identity(b"")

    async def prepare(self) -> AccessData:
        """The credentials of the moment; `endpoint` and `identity` are of these.  Raises CredentialsError."""
        loaded = await self.credentials.current()
        if loaded is not self._loaded:
            self._adopt(loaded)
        return loaded

    def close(self) -> None:
        self._pool.close()

    def _adopt(self, loaded: AccessData) -> None:
        if self._loaded is None or loaded.trust is not self._loaded.trust:
            # another identity in TLS: no connection of the one before serves it
            self._generation += 1
            profile = TLSProfile(identity=str(self._generation)) if self.server.tls else None
            loaded.trust.context.set_alpn_protocols(ALPN)
            self._trusts[profile] = loaded.trust
            self._trusts.pop(TLSProfile(identity=str(self._generation - 3)), None)
            self.endpoint = Endpoint(self.server.host, self.server.port, profile)
        self._loaded = loaded
        self.identity = Identity(
            b"Host: %b\r\n" % self.server.netloc.encode(),
            b"Authorization: %b\r\n" % loaded.authorization.encode() if loaded.authorization else b"",
            b"".join(b"%b: %b\r\n" % pair for pair in loaded.impersonation),
        )
