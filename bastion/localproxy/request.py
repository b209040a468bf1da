"""· What does the API server get of a request, and the client of its response?

End-to-end header fields pass as they came; the API server's own Host, the credentials of the kubeconfig and
X-Forwarded-For are added.
"""

from __future__ import annotations

import msgspec

from bastion.http.fields import HOP_BY_HOP, Field, nominated
from bastion.message.upgrade import UpgradeRequest

COOKIE = b"bastion-proxy-token"
TOKEN_FIELD = b"x-bastion-token"
_IMPERSONATE = b"impersonate-"
_NOT_SENT = HOP_BY_HOP | {
    b"host",
    b"content-length",
    b"expect",
    b"authorization",
    b"x-forwarded-for",
    TOKEN_FIELD,
}
_NOT_ANSWERED = HOP_BY_HOP | {b"content-length"}
# What most requests carry, and what always passes.
_ORDINARY = frozenset((b"accept", b"accept-encoding", b"user-agent", b"content-type", b"accept-language"))


class Identity(msgspec.Struct, frozen=True, gc=False):
    """As whom the API server is asked: lines with CRLF.

    `impersonation` is empty where nobody is impersonated.
    """

    host: bytes
    authorization: bytes = b""
    impersonation: bytes = b""

    @property
    def lines(self) -> bytes:
        return self.host + self.authorization + self.impersonation


class Rules(msgspec.Struct, frozen=True, gc=False):
    """`pass_authorization`: the client's is for the application behind a bastion, which takes ours from
    another field. `compress`: gzip is asked for where the client says nothing of encodings.
    """

    allow_impersonation: bool = False
    pass_authorization: bool = False
    compress: bool = True


def compresses(method: str, fields: list[Field], rules: Rules) -> bool:
    """Whether this hop alone may be compressed, as by Go's transport: what is asked for in parts is not; an
    empty Accept-Encoding says nothing.
    """
    return (
        rules.compress
        and method != "HEAD"
        and not any(value and lower in (b"accept-encoding", b"range") for lower, _, value in fields)
    )


def has_authorization(fields: list[Field]) -> bool:
    """Of the client's own, which goes before the kubeconfig's; an empty one counts as none."""
    return any(lower == b"authorization" and value for lower, _, value in fields)


def request_lines(
    fields: list[Field], identity: Identity, rules: Rules, client: bytes, *, consumed: bool = False
) -> list[bytes]:
    """All lines but the framing; `consumed`: the client's Authorization was for the proxy itself.

    Raises StatusError 400 where Connection names what the message needs."""
    named = nominated(fields) if any(field[0] == b"connection" for field in fields) else frozenset()
    lines: list[bytes] = []
    own = b""  # the client's Authorization
    chain = client
    impersonates = False
    for lower, name, value in fields:
        if lower in _ORDINARY and lower not in named:
            lines.append(b"%b: %b\r\n" % (name, value))
        elif lower == b"authorization":
            own = own or (
                b"%b: %b\r\n" % (name, value) if value and lower not in named and not consumed else b""
            )
        elif lower == b"x-forwarded-for":
            chain = b"%b, %b" % (value, chain) if chain else value
        elif lower in _NOT_SENT or lower in named:
            continue
        elif lower.startswith(_IMPERSONATE) and identity.impersonation:
            # a client that may choose itself whom to be makes the configured `as` worth nothing
            if rules.allow_impersonation:
                impersonates = impersonates or lower == b"impersonate-user"
                lines.append(b"%b: %b\r\n" % (name, value))
        elif lower == b"cookie":
            if (kept := _without_own_cookie(value)) is not None:
                lines.append(b"%b: %b\r\n" % (name, kept))
        else:
            lines.append(b"%b: %b\r\n" % (name, value))
    lines.append(identity.host)
    lines.append(_authorization(own, identity, rules))
    if not impersonates:
        lines.append(identity.impersonation)
    if chain:
        lines.append(b"X-Forwarded-For: %b\r\n" % chain)
    return lines


def _authorization(own: bytes, identity: Identity, rules: Rules) -> bytes:
    if not own:
        return identity.authorization
    if rules.pass_authorization and identity.authorization:
        return own + b"X-Bastion-" + identity.authorization
    return own


def _without_own_cookie(value: bytes) -> bytes | None:
    if COOKIE not in value:
        return value
    kept = [part for part in value.split(b";") if part.partition(b"=")[0].strip() != COOKIE]
    return b";".join(kept).strip() or None


def request_head(method: str, target: bytes, lines: list[bytes], framing: bytes) -> bytes:
    """`framing`: the lines that say how the body is delimited."""
    return b"%b %b HTTP/1.1\r\n%b%b\r\n" % (method.encode(), target, b"".join(lines), framing)


def upgrade_asked(fields: list[Field]) -> UpgradeRequest | None:
    """None for an ordinary request.

    As kubectl, any protocol but HTTP/2, which would carry requests past the filter.
    """
    offered = key = b""
    options: list[bytes] = []
    for lower, _, value in fields:
        if lower == b"upgrade":
            offered = offered + b", " + value if offered else value
        elif lower == b"connection":
            options += [option.strip(b" \t").lower() for option in value.split(b",")]
        elif lower == b"sec-websocket-key":
            key = value
    if b"upgrade" not in options or not offered or b"," in offered or offered.lower() in (b"h2c", b"h2"):
        return None
    return UpgradeRequest(offered, key)


def response_fields(fields: list[Field]) -> list[Field]:
    """Those for the client."""
    named: set[bytes] = set()
    passed = True
    for lower, _, value in fields:
        if lower in _NOT_ANSWERED:
            passed = False
            if lower == b"connection":
                named.update(part.strip(b" \t").lower() for part in value.split(b","))
    if passed:
        return fields
    return [field for field in fields if field[0] not in _NOT_ANSWERED and field[0] not in named]
