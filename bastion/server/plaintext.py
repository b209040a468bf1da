"""The response to a client that speaks plain HTTP to a TLS port: a 400 that says so; pure."""

from __future__ import annotations

import re
import ssl

from bastion.kube.errors import unreadable
from bastion.kube.status import CONTENT_TYPE

_REQUEST = re.compile(rb"[A-Z]{3,20} ")  # a TLS record begins with a byte below 32
_OPENSSL = ("HTTP_REQUEST", "HTTPS_PROXY_REQUEST")  # OpenSSL's reasons, also where it came byte by byte


def answer(error: ssl.SSLError, came: memoryview) -> bytes:
    """For a handshake that failed with `error` on these bytes; empty where they are not an HTTP request."""
    if error.reason in _OPENSSL or _REQUEST.match(came[:32]):
        return _ANSWER
    return b""


def _whole() -> bytes:
    refusal = unreadable("client sent an HTTP request to an HTTPS server: use https:// here")
    body = refusal.body()
    head = (
        b"HTTP/1.1 400 Bad Request",
        b"Content-Type: " + CONTENT_TYPE,
        b"Content-Length: %d" % len(body),
        b"X-Bastion-Error: " + refusal.name.encode(),
    )
    return b"\r\n".join((*head, b"Connection: close", b"", body))


_ANSWER = _whole()
