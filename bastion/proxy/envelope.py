"""· As what does a request leave for its backend?

The lines that some rule reads come first, then those that carry a secret, then those that none reads, then
where the request came from: each in the order in which the client sent them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from bastion.http.fields import Field
from bastion.message.headers import Forwarded, to_backend
from bastion.message.identity import asserts_identity
from bastion.network.logins import binds_request
from bastion.proxy.introduction import NOTHING, Introduction
from bastion.runtime.turns import USER, Key

# Those of the fields that decide which reach a backend and are a secret: written from each request.
SECRETS = frozenset((b"authorization", b"cookie", b"sec-websocket-protocol"))


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """What the bastion itself decided about a request: where it came from, whose Authorization it carries,
    whether a browser may have shown its credential unasked, which of its headers are kept back, and whose
    share of what all share it takes.  `cookie` is set with the response, empty for none.  `introduction`:
    what the backend is told of who asks; `trace`: of the trace, empty where nothing is traced.
    """

    forwarded: Forwarded
    keep_authorization: bool
    ambient: bool = True
    withheld: Callable[[bytes], bool] = asserts_identity
    asker: Key = (USER, "")
    cookie: bytes = b""
    introduction: Introduction = NOTHING
    trace: bytes = b""

    @property
    def owner(self) -> str:
        """Whose a connection is that carried its body: a user's name, empty where nobody said it."""
        return self.asker[1] if self.asker[0] is USER else ""

    def lines(self, fields: Iterable[Field], *, editing: bool) -> list[bytes]:
        lines = to_backend(
            list(fields),
            self.forwarded,
            keep_authorization=self.keep_authorization,
            withheld=self.withheld,
            editing=editing,
        )
        lines[-1] += self.introduction.lines + self.trace
        return lines


class BackendLines(msgspec.Struct, frozen=True, gc=False):
    """The backend's head around what passes.

    `secrets`: whether fields of `SECRETS` are sent, too; they are not here.
    """

    front: bytes
    tail: bytes
    secrets: bool


def backend_lines(
    method: str, target: bytes, fields: Sequence[Field], envelope: Envelope, *, editing: bool
) -> BackendLines:
    open_ = [field for field in fields if field[0] not in SECRETS]
    *front, tail = envelope.lines(open_, editing=editing)
    request_line = b"%b %b HTTP/1.1\r\n" % (method.encode(), target)
    return BackendLines(b"".join((request_line, *front)), tail, bool(secret_lines(fields, envelope)))


def logs_in(fields: list[Field], envelope: Envelope) -> bool:
    """Whether the request may log its connection in."""
    return envelope.keep_authorization and binds_request(fields)


def secret_lines(fields: Iterable[Field], envelope: Envelope) -> list[bytes]:
    """Connection may name one of them."""
    secret = [field for field in fields if field[0] in SECRETS or field[0] == b"connection"]
    return envelope.lines(secret, editing=False)[:-1]


def head_of(
    lines: BackendLines, fields: Iterable[Field], passed: Sequence[bytes], envelope: Envelope, framing: bytes
) -> bytes:
    secret = secret_lines(fields, envelope) if lines.secrets else ()
    return b"".join((lines.front, *secret, *passed, lines.tail, framing))
