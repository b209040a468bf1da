"""The TLS contexts of all clients and servers here.

Python requires more of an authority than the clients of Kubernetes do (Go's crypto/x509): since 3.13 it wants
the key identifiers that RFC 5280, 4.2.1.1 lets a self-signed authority leave out, and before that a root
where Go takes any certificate of the bundle.  Clusters whose authority was made years ago have neither.
"""

from __future__ import annotations

import re
import ssl
import tempfile
from pathlib import Path
from typing import Any

from cryptography import x509

from bastion.runtime.certificates import CertificatePair

_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def client_context(
    authorities: bytes | None = None, *, verify: bool = True, server_name: str = "", and_system: bool = False
) -> ssl.SSLContext:
    """One that trusts `authorities` (PEM), or without any (or `and_system`) those of the system.

    Raises ValueError where they hold no certificate.

    `server_name`: what the server's certificate must be for, whatever is dialled.
    """
    pem = _certificates_in(authorities) if authorities is not None else None
    context = _FixedNameContext(server_name) if server_name else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags = (context.verify_flags & ~ssl.VERIFY_X509_STRICT) | ssl.VERIFY_X509_PARTIAL_CHAIN
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if verify and (pem is None or and_system):
        context.load_default_certs()
    if pem is None:
        return context
    try:
        context.load_verify_locations(cadata=pem)
    except ssl.SSLError as error:
        raise ValueError(_cause(error)) from error
    return context


def server_context(pair: CertificatePair | None = None) -> ssl.SSLContext:
    """That of a server for HTTP/1.1; without a `pair` its certificate is still to be loaded."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Forward secrecy and authenticated encryption only (Mozilla's intermediate list).
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    if pair is not None:
        show(context, pair.certificate, pair.key)
    return context


def show(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Loads a certificate and its key, both PEM.  Raises ValueError where they are no pair."""
    # for the owner only; OpenSSL takes a pair from files and nothing else
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "certificate"), Path(folder, "key")
        for file, content in zip(files, (certificate, key), strict=True):
            file.write_bytes(content)
        try:
            context.load_cert_chain(*files, password=_no_password)
        except ssl.SSLError as error:
            raise ValueError(_cause(error)) from error


def _no_password() -> str:
    """Without this OpenSSL asks for it at the terminal."""
    raise ValueError("the key is encrypted")


class _FixedNameContext(ssl.SSLContext):
    """Always verifies `name`: httpcore would use another name behind an HTTP proxy."""

    name: str

    def __new__(cls, name: str) -> _FixedNameContext:
        context = super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)
        context.name = name
        return context

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: Any = None,
        session: Any = None,
    ) -> ssl.SSLObject:
        return super().wrap_bio(incoming, outgoing, server_side, self.name, session)


def _certificates_in(pem: bytes) -> str:
    """Without the text around them, which may be in any language: Python takes ASCII only."""
    found = _CERTIFICATE.findall(pem)
    if not found:
        raise ValueError("holds no certificate in PEM")
    return b"\n".join(found).decode("ascii", "replace")


def _cause(error: ssl.SSLError) -> str:
    return (error.reason or "not PEM").lower().replace("_", " ")


# --- expiry


def not_after(pem: bytes) -> float | None:
    """When the first of the certificates expires, in seconds of the epoch; None where none can be read."""
    ends = []
    for found in _CERTIFICATE.findall(pem):
        try:
            ends.append(x509.load_pem_x509_certificate(found).not_valid_after_utc.timestamp())
        except ValueError:
            continue  # whether it can be used is OpenSSL's decision
    return min(ends, default=None)
