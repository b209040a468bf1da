"""A certificate for --tls, made at the start: its fingerprint can be compared with what a browser shows."""

from __future__ import annotations

import hashlib
import ssl
import tempfile
from pathlib import Path

from bastion.localproxy.lines import write
from bastion.runtime.certificates import Authority, CertificatePair
from bastion.server.tls import own_names, serving_context

_END = "-----END CERTIFICATE-----"


def made(address: str) -> tuple[ssl.SSLContext, bytes]:
    """(the server's context, the authority that signed it, PEM)."""
    authority = Authority("bastion proxy")
    pair = authority.issue([*own_names(address.strip("[]") or "localhost"), "*.localhost", "*.svc.localhost"])
    der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode().partition(_END)[0] + _END)
    write(f"Serving TLS with a certificate made now, SHA-256 {hashlib.sha256(der).hexdigest().upper()}")
    return _context(pair), authority.pem


def _context(pair: CertificatePair) -> ssl.SSLContext:
    """OpenSSL takes a pair from files only; these live for as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="bastion-") as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_bytes(pair.certificate)
        key.touch(mode=0o600)
        key.write_bytes(pair.key)
        return serving_context(certificate, key)
