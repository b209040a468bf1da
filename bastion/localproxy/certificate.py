"""A certificate for --tls, made at the start: its fingerprint can be compared with what a browser shows."""

from __future__ import annotations

import hashlib
import ssl

from bastion.localproxy.lines import write
from bastion.runtime.certificates import Authority
from bastion.server.tls import context_of, own_names

_END = "-----END CERTIFICATE-----"


def made(address: str) -> tuple[ssl.SSLContext, bytes]:
    """(the server's context, the authority that signed it, PEM)."""
    authority = Authority("bastion proxy")
    pair = authority.issue([*own_names(address.strip("[]") or "localhost"), "*.localhost", "*.svc.localhost"])
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode().partition(_END)[0] + _END)
    write(f"Serving TLS with a certificate made now, SHA-256 {hashlib.sha256(der).hexdigest().upper()}")
    return context_of(pair), authority.pem
