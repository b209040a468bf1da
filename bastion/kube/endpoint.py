"""· One place that may be dialled: an address the API gave, a port, and how to speak there."""

from __future__ import annotations

import msgspec

KUBELET = "kubelet"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """`address` is a literal IP; `identity` names the TLS identity used there: empty (none, unverified) or
    KUBELET.

    Connections are kept per endpoint, so that nothing of a kubelet's is ever used for a pod.
    """

    address: str
    port: int
    tls: bool = False
    identity: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"
