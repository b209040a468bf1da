"""The certificate shown to clients: from files, or made here where none is given."""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path

from bastion.runtime.certificates import Pair
from bastion.runtime.private import write_private

_DER = 2  # _ssl.ENCODING_DER


def serving_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Forward secrecy and authenticated encryption only (Mozilla's intermediate list).
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM")
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(certificate, key)
    return context


def context_of(pair: Pair) -> ssl.SSLContext:
    """OpenSSL reads pairs from files only; these live for as long as it takes."""
    with tempfile.TemporaryDirectory(prefix="bastion-") as folder:
        certificate, key = Path(folder, "tls.crt"), Path(folder, "tls.key")
        certificate.write_bytes(pair.certificate)
        write_private(key, pair.key)
        return serving_context(certificate, key)


def own_names(address: str) -> list[str]:
    """The names in the certificate of a server that was given none."""
    everywhere = address in ("0.0.0.0", "::")  # noqa: S104
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *([] if everywhere else [address])]))


# --- clients' certificates

MAX_CHAIN = 8  # certificates of a client that are looked at


def ask_for_certificates(context: ssl.SSLContext, authorities: Iterable[Path]) -> None:
    """Clients may show a certificate of any of these authorities; another one fails the handshake.

    Raises OSError or ssl.SSLError.

    Whom a certificate makes its owner is decided later, against one authority at a time: OpenSSL does not say
    which it was.
    """
    for authority in authorities:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_OPTIONAL
    if context.verify_mode == ssl.CERT_OPTIONAL:
        # an intermediate in the file is an authority, as it is for Go
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # A ticket would outlive what it was given for: who resumes without a certificate has none.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0


def peer_certificates(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """What the client showed, DER, its own first; empty where it showed none."""
    own = tls.getpeercert(binary_form=True)
    if own is None:
        return ()
    if hasattr(tls, "get_unverified_chain"):  # from Python 3.13 on
        return tuple(tls.get_unverified_chain()[:MAX_CHAIN])
    # The same call, where it is not public yet; without it a chain with intermediates could not be verified
    # again.
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return tuple(certificate.public_bytes(_DER) for certificate in chain[:MAX_CHAIN])
