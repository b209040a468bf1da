"""How does a server here speak TLS?  A pair in memory in, a context of OpenSSL out."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

from bastion.runtime.certificates import Pair
from bastion.runtime.private import write_private


def server_context(pair: Pair) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    # for the owner only; OpenSSL takes a pair from files and nothing else
    with tempfile.TemporaryDirectory() as folder:
        certificate, key = Path(folder, "certificate"), Path(folder, "key")
        certificate.write_bytes(pair.certificate)
        write_private(key, pair.key)
        context.load_cert_chain(certificate, key)
    return context
