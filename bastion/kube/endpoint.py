"""· Something that can be dialled: an address that the API gave, a port, and a TLS profile."""

from __future__ import annotations

import msgspec

HTTP2 = "h2"
HTTP1 = ("http/1.1",)  # what is offered in a TLS handshake (RFC 7301)
EITHER = (HTTP2, *HTTP1)


class TLSProfile(msgspec.Struct, frozen=True, gc=False):
    """How a TLS connection to an endpoint is made.

    `authority` names the trusted authorities, empty where nothing is verified; `identity` the client
    certificate, empty for none.  `server_name` is sent and verified, empty for the address; `alpn` the
    protocols offered.
    """

    authority: str = ""
    identity: str = ""
    server_name: str = ""
    alpn: tuple[str, ...] = HTTP1

    @property
    def verified(self) -> bool:
        return self.authority != ""


# Authorities: of --backend-certificate-authority, the system's, and those in ConfigMaps.
BACKENDS, SYSTEM, CONFIG_MAPS = "backends", "system", "configmaps:"


def config_maps(namespace: str, *names: str) -> str:
    """The authority that these hold together."""
    return f"{CONFIG_MAPS}{namespace}/{','.join(names)}"


UNVERIFIED = TLSProfile()
KUBELET = TLSProfile(authority="kubelet", identity="kubelet")


class Endpoint(msgspec.Struct, frozen=True, gc=False, cache_hash=True):
    """`address` is a literal IP; `tls` is None for plain text.

    `h2c`: HTTP/2 is spoken without TLS, by prior knowledge (RFC 9113, 3.3).  Connections are kept per
    endpoint, so that nothing of a kubelet's is ever used for a pod.
    """

    address: str
    port: int
    tls: TLSProfile | None = None
    h2c: bool = False

    @property
    def may_speak_http2(self) -> bool:
        """Either it does, or its TLS handshake may choose it."""
        return self.h2c or (self.tls is not None and HTTP2 in self.tls.alpn)

    @property
    def over_http1(self) -> Endpoint:
        """The same, where HTTP/2 will not do."""
        if self.tls is None or self.tls.alpn == HTTP1:
            return self
        return msgspec.structs.replace(self, tls=msgspec.structs.replace(self.tls, alpn=HTTP1))

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{host}:{self.port}"
