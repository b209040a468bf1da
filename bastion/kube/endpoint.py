"""· One place that may be dialled: an address the API gave, a port, and how to speak there."""

from __future__ import annotations

import msgspec


class TLSProfile(msgspec.Struct, frozen=True, gc=False):
    """How TLS is spoken to an endpoint.

    `authority` names whose certificates are trusted, empty where none is verified; `identity` the client
    certificate that is shown, empty for none.  `server_name` is what is asked for and verified, empty for the
    address; `alpn` the protocols offered.
    """

    authority: str = ""
    identity: str = ""
    server_name: str = ""
    alpn: tuple[str, ...] = ("http/1.1",)


UNVERIFIED = TLSProfile()
KUBELET = TLSProfile(authority="kubelet", identity="kubelet")


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """`address` is a literal IP; `tls` is None where plain text is spoken.

    Connections are kept per endpoint, so that nothing of a kubelet's is ever used for a pod.
    """

    address: str
    port: int
    tls: TLSProfile | None = None

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"
