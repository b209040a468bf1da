"""· How is a refusal or a failure of ours told to a gRPC client?

As a response of trailers alone (gRPC over HTTP/2, "Responses"): HTTP's 200, a status of gRPC's, a message.
From an HTTP status a client would make up a code of its own, 404 UNIMPLEMENTED among them, and never show
what was said.
"""

from __future__ import annotations

from collections.abc import Iterable

from bastion.http.fields import Field, first_value
from bastion.kube.status import StatusError

CONTENT_TYPE = b"application/grpc"
# google.rpc.Code by the HTTP status that the failure has for everybody else.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 408: 4, 409: 10, 413: 8, 429: 8, 431: 8, 500: 13, 501: 12}
_CODES |= {502: 14, 503: 14, 504: 4}
_UNKNOWN = 2
_PLAIN = frozenset(b for b in range(0x20, 0x7F) if b != 0x25)  # not written as %XX
_BY_HOST = "; a gRPC service is called by its host name, <service>--<port>--<namespace>.svc.<suffix>"


def is_grpc(fields: Iterable[Field]) -> bool:
    """`application/grpc`, `application/grpc+proto`; not gRPC-Web, which is HTTP's own."""
    said = first_value(fields, b"content-type").partition(b";")[0].strip().lower()
    return said == CONTENT_TYPE or said.startswith(CONTENT_TYPE + b"+")


def grpc_fields(error: StatusError, target: bytes) -> list[Field]:
    """`target` of the request: a client cannot be given a prefix for its paths."""
    message = error.message
    if error.code == 404 and not target.startswith(b"/api/"):
        message += _BY_HOST
    code = b"%d" % _CODES.get(error.code, _UNKNOWN)
    return [
        (b"content-type", b"Content-Type", CONTENT_TYPE),
        (b"grpc-status", b"Grpc-Status", code),
        (b"grpc-message", b"Grpc-Message", _percent_encoded(message)),
        (b"x-bastion-error", b"X-Bastion-Error", error.reason.encode() or b"%d" % error.code),
    ]


def _percent_encoded(text: str) -> bytes:
    return b"".join(b"%c" % byte if byte in _PLAIN else b"%%%02X" % byte for byte in text.encode())
