"""The certificate that is shown to clients, and the certificates that clients show."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from pathlib import Path

from bastion.runtime.trust import server_context

_DER = 2  # _ssl.ENCODING_DER


def serving_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Raises OSError or ssl.SSLError."""
    context = server_context()
    context.load_cert_chain(certificate, key)
    return context


def own_names(address: str) -> list[str]:
    """The names in the certificate of a server without a configured one."""
    everywhere = address in ("0.0.0.0", "::")  # noqa: S104
    return list(dict.fromkeys(["localhost", "127.0.0.1", "::1", *([] if everywhere else [address])]))


# --- clients' certificates

MAX_CHAIN = 8  # certificates of a client that are read


def ask_for_certificates(context: ssl.SSLContext, authorities: Iterable[Path]) -> None:
    """Clients may send a certificate of any of these authorities; another one fails the handshake.

    Raises OSError or ssl.SSLError.

    The user is derived later, against one authority at a time: OpenSSL does not say which one matched.
    """
    for authority in authorities:
        context.load_verify_locations(authority)
        context.verify_mode = ssl.CERT_OPTIONAL
    if context.verify_mode == ssl.CERT_OPTIONAL:
        # an intermediate in the file is an authority, as it is for Go
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        # A ticket would outlive the certificate: a resumed session without one would have no user.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0


def peer_certificates(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """The client's chain, DER, its own certificate first; empty where it sent none."""
    own = tls.getpeercert(binary_form=True)
    if own is None:
        return ()
    if hasattr(tls, "get_unverified_chain"):  # from Python 3.13 on
        return tuple(tls.get_unverified_chain()[:MAX_CHAIN])
    # The same call, not public yet; without it a chain with intermediates could not be verified again.
    chain = tls._sslobj.get_unverified_chain()  # type: ignore[attr-defined]
    return tuple(certificate.public_bytes(_DER) for certificate in chain[:MAX_CHAIN])
