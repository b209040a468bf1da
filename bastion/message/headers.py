"""· Which header fields pass on to a backend, and which come back to the client?

RFC 9110 section 7.6.1 (Connection), RFC 9112 section 6 (framing); order of decisions as in kube-apiserver,
without what a client might assert (`identity`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec

from bastion.http.fields import HOP_BY_HOP, Field, nominated, values
from bastion.message.accepted import offered
from bastion.message.cookies import restore_cookies
from bastion.message.identity import asserts_identity

# Fields that this hop writes anew, or acts on itself.
_OWN_REQUEST = frozenset((b"content-length", b"expect", b"authorization"))
# an entry of Sec-WebSocket-Protocol that carries a credential
TOKEN_SUBPROTOCOL = b"base64url.bearer.authorization.k8s.io."
# What nearly every request carries, and always passes.
_ORDINARY = frozenset(
    (
        b"host",
        b"accept",
        b"user-agent",
        b"accept-language",
        b"content-type",
        b"cache-control",
        b"origin",
        b"referer",
    )
)
_NOT_ANSWERED = HOP_BY_HOP | frozenset(
    (
        b"content-length",
        b"access-control-allow-credentials",
        b"access-control-allow-headers",
        b"access-control-allow-methods",
        b"access-control-allow-origin",
        b"audit-id",  # this request's is ours
        b"x-bastion-error",  # marks a response that the bastion itself made
    )
)


class Forwarded(msgspec.Struct, frozen=True, gc=False):
    """Where the request came from, for the backend; bytes as they are written."""

    client: bytes
    host: bytes
    proto: bytes
    prefix: bytes
    uri: bytes


def to_backend(
    fields: list[Field],
    forwarded: Forwarded,
    *,
    keep_authorization: bool,
    withheld: Callable[[bytes], bool] = asserts_identity,
    editing: bool = False,
) -> list[bytes]:
    """The lines (with CRLF) of the request's own fields, and the forwarding fields.

    `keep_authorization`: the client's own Authorization is meant for the backend.  `withheld`: which names
    are dropped. `editing`: a page in the response is edited.
    """
    named: frozenset[bytes] = frozenset()
    for field in fields:
        if field[0] == b"connection" and field[2] != b"keep-alive":  # a hop's own in any case
            named = nominated(fields)
            break
    lines = []
    for lower, name, value in fields:
        if lower not in _ORDINARY or lower in named:
            if lower in HOP_BY_HOP or lower in named:
                continue
            if lower == b"accept-encoding":
                lines.append(b"%b: %b\r\n" % (name, offered(value, fields) if editing else value))
                continue
            if lower in _OWN_REQUEST and not (keep_authorization and lower == b"authorization"):
                continue
            if withheld(lower):
                continue
            if lower == b"cookie":
                value = restore_cookies(value, renamed=bool(forwarded.prefix)) or b""
                if not value:
                    continue
            if lower == b"sec-websocket-protocol" and TOKEN_SUBPROTOCOL in value:
                value = without_token(value)
                if not value:
                    continue
        lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(_forwarded_lines(forwarded))
    return lines


def _forwarded_lines(forwarded: Forwarded) -> bytes:
    prefix = b"X-Forwarded-Prefix: %b\r\n" % forwarded.prefix if forwarded.prefix else b""
    return (
        b"X-Forwarded-For: %b\r\nX-Forwarded-Host: %b\r\nX-Forwarded-Proto: %b\r\n%bX-Forwarded-Uri: %b\r\n"
        % (forwarded.client, forwarded.host, forwarded.proto, prefix, forwarded.uri)
    )


def subprotocols(fields: Iterable[Field]) -> list[bytes]:
    """The entries of all Sec-WebSocket-Protocol fields, in order."""
    return [
        entry.strip(b" \t")
        for value in values(fields, b"sec-websocket-protocol")
        for entry in value.split(b",")
    ]


def without_token(protocols: bytes) -> bytes:
    """A credential reaches no backend, also where a header authenticated the request."""
    entries = (entry.strip(b" \t") for entry in protocols.split(b","))
    return b",".join(entry for entry in entries if not entry.startswith(TOKEN_SUBPROTOCOL))


def to_client(fields: list[Field]) -> list[Field]:
    """The response's fields without those of the hop, and without what only the bastion may say."""
    named: frozenset[bytes] = frozenset()
    for lower, _, value in fields:
        if lower == b"connection" and value != b"keep-alive":  # a hop's own in any case, as most servers say
            named |= frozenset(part.strip(b" \t").lower() for part in value.split(b","))
    if named:
        return [field for field in fields if field[0] not in _NOT_ANSWERED and field[0] not in named]
    return [field for field in fields if field[0] not in _NOT_ANSWERED]
