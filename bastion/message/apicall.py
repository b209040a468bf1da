"""· Which header fields of a call reach an API server, and which of its response reach the client?

All but those of a connection, and those by which a client could say who it is without proof: an API server
believes X-Remote-* on a front proxy's connection, and writes every X-Forwarded-For into its audit log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bastion.http.fields import HOP_BY_HOP, Field, nominated
from bastion.kube.user import AUTHENTICATED_GROUP, User
from bastion.message.cookies import restore_cookies
from bastion.message.headers import TOKEN_SUBPROTOCOL, without_token
from bastion.message.lines import LineTable, Read
from bastion.message.remoteuser import extra_lines, field_line

_REWRITTEN = frozenset((b"content-length", b"expect"))
_NOT_ANSWERED = HOP_BY_HOP | frozenset((b"content-length", b"audit-id", b"x-bastion-error"))
# What some rule reads in a response; Audit-Id beside: it is another one in each.
_DECIDING_RESPONSE = HOP_BY_HOP | frozenset((b"content-length", b"date"))
_NOTED_RESPONSE = (b"audit-id",)
_IMPERSONATION = b"impersonate-"
# What nearly every call carries, and always passes where Connection does not name it.
_ORDINARY = frozenset(
    (
        b"host",
        b"accept",
        b"accept-encoding",
        b"user-agent",
        b"content-type",
        b"kubectl-command",
        b"kubectl-session",
        b"audit-id",
    )
)


def withheld_from(from_backends: Callable[[bytes], bool], *, impersonation: bool) -> Callable[[bytes], bool]:
    """Which names are not passed on: those that `from_backends` withholds.

    `impersonation`: the API server itself decides whether the client may impersonate, so that
    `Impersonate-Extra-Scopes%2Fx` passes, too.
    """

    def withheld(name: bytes) -> bool:
        if name.startswith(_IMPERSONATION):
            return not impersonation
        return from_backends(name)

    return withheld


def to_api_server(
    fields: list[Field], withheld: Callable[[bytes], bool], *, with_credentials: bool
) -> list[bytes]:
    """The lines (with CRLF) of the client's own fields.

    `with_credentials`: its Authorization, and the token among the subprotocols of a WebSocket, are passed on.
    Raises StatusError 400.
    """
    named: frozenset[bytes] = frozenset()
    for lower, _, value in fields:
        if lower == b"connection" and value != b"keep-alive":
            named = nominated(fields)
            break
    lines = []
    for lower, name, value in fields:
        if lower in _ORDINARY and lower not in named:
            lines.append(b"%b: %b\r\n" % (name, value))
            continue
        if lower in HOP_BY_HOP or lower in _REWRITTEN or lower in named or withheld(lower):
            continue
        if lower == b"authorization" and not with_credentials:
            continue
        if lower == b"cookie":
            value = restore_cookies(value, renamed=False) or b""
            if not value:
                continue
        if lower == b"sec-websocket-protocol" and not with_credentials and TOKEN_SUBPROTOCOL in value:
            value = without_token(value)
            if not value:
                continue
        lines.append(b"%b: %b\r\n" % (name, value))
    return lines


def to_caller(fields: list[Field]) -> list[Field]:
    """The response's fields as they are, without those of the connection."""
    named: frozenset[bytes] = frozenset()
    for lower, _, value in fields:
        if lower == b"connection":
            named |= frozenset(part.strip(b" \t").lower() for part in value.split(b","))
    if not named:
        return [field for field in fields if field[0] not in _NOT_ANSWERED]
    return [field for field in fields if field[0] not in _NOT_ANSWERED and field[0] not in named]


def response_lines(read: Read) -> LineTable:
    """What becomes of a line of a response, by `to_caller`."""
    return LineTable(
        read,
        _DECIDING_RESPONSE.__contains__,
        lambda lower: bool(to_caller([(lower, lower, b"")])),
        _NOTED_RESPONSE,
    )


# --- whom a request is for


def impersonation_lines(user: User, *, whole: bool) -> list[bytes]:
    """Raises ValueError where a name cannot stand in a header field.

    `whole`: uid and extras, too; each needs a right of its own.  The API server adds system:authenticated,
    and to name it would need one.
    """
    lines = [field_line("Impersonate-User", user.name)]
    lines += [field_line("Impersonate-Group", group) for group in _named(user.groups)]
    if whole:
        lines += [field_line("Impersonate-Uid", user.uid)] if user.uid else []
        lines += extra_lines("Impersonate-Extra-", user.extra)
    return lines


def front_proxy_lines(user: User) -> list[bytes]:
    """As kubeadm names them (--requestheader-*-headers).  Raises ValueError as above."""
    lines = [field_line("X-Remote-User", user.name)]
    return lines + [field_line("X-Remote-Group", group) for group in _named(user.groups)]


def _named(groups: Iterable[str]) -> list[str]:
    return [group for group in groups if group != AUTHENTICATED_GROUP]
