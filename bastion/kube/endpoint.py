"""· Something that can be dialled: an address that the API gave, a port, and a TLS profile."""

from __future__ import annotations

import msgspec


class TLSProfile(msgspec.Struct, frozen=True, gc=False):
    """How a TLS connection to an endpoint is made.

    `authority` names the trusted authorities, empty where nothing is verified; `identity` the client
    certificate, empty for none.  `server_name` is sent and verified, empty for the address; `alpn` the
    protocols offered.
    """

    authority: str = ""
    identity: str = ""
    server_name: str = ""
    alpn: tuple[str, ...] = ("http/1.1",)


UNVERIFIED = TLSProfile()
KUBELET = TLSProfile(authority="kubelet", identity="kubelet")


class Endpoint(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`address` is a literal IP; `tls` is None for plain text.

    Connections are kept per endpoint, so that nothing of a kubelet's is ever used for a pod.
    """

    address: str
    port: int
    tls: TLSProfile | None = None

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"
