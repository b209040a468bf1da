"""As which fields does a request leave for a backend over HTTP/2, and is what comes back a response?"""

from __future__ import annotations

from collections.abc import Sequence

from bastion.http.fields import HOP_BY_HOP, Field
from bastion.network.http1.reader import MAX_FIELDS, MAX_HEAD
from bastion.network.http1.response import framing
from bastion.network.http2.codec import Pair
from bastion.network.logins import CHALLENGES, binds_answer


class MalformedResponse(Exception):
    """The message says what is wrong, in words for the client."""


def pairs_of(head: bytes, scheme: bytes) -> list[Pair]:
    """`head` is a whole one of HTTP/1.1, as this hop writes it."""
    request_line, *lines = head.removesuffix(b"\r\n\r\n").split(b"\r\n")
    method, target, _ = request_line.split(b" ")
    authority = b""
    fields: list[Pair] = []
    for line in lines:
        name, _, value = line.partition(b":")
        lower, value = name.lower(), value.strip(b" \t")
        if lower == b"host":
            authority = value
        elif lower == b"te":  # RFC 9113, 8.2.2: the one thing that it may say
            fields.append((lower, b"trailers"))
        elif lower not in HOP_BY_HOP:
            fields.append((lower, value))
    pseudo = [(b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", target)]
    return pseudo + fields


def trailer_pairs(lines: bytes) -> list[Pair]:
    pairs = []
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        if colon:
            pairs.append((name.lower(), value.strip(b" \t")))
    return pairs


def response_of(pairs: Sequence[Pair]) -> tuple[int, list[Field], int | None]:
    """(status, fields, length of the body in bytes, None where that is not told).

    The codec has refused what is malformed by itself.  Raises MalformedResponse.
    """
    name, said = pairs[0]
    if name != b":status" or len(said) != 3 or not said.isdigit() or not 200 <= int(said) <= 599:
        raise MalformedResponse("malformed HTTP/2 response: no status between 200 and 599")
    if len(pairs) > MAX_FIELDS + 1:
        raise MalformedResponse(f"the response has more than {MAX_FIELDS} header fields")
    if sum(len(name) + len(value) for name, value in pairs) > MAX_HEAD:
        raise MalformedResponse(f"the response's head is larger than {MAX_HEAD} bytes")
    fields = [(name, name, value) for name, value in pairs[1:]]
    try:
        length, chunked = framing(fields)
    except ValueError as error:
        raise MalformedResponse(str(error)) from error
    if chunked:
        raise MalformedResponse("malformed HTTP/2 response: Transfer-Encoding")
    return int(said), fields, length


def logs_in(pairs: Sequence[Pair]) -> bool:
    """Whether a challenge would log the whole connection in, and so everything else that shares it."""
    return any(name in CHALLENGES and binds_answer(value) for name, value in pairs)
