"""· Errors for clients: a Kubernetes `Status`.

Messages, reasons and key order are kube-apiserver's, so that kubectl and client-go read them.  The bastion's
own errors have a word and more to say after `: ` (`kube.errors`).  Sources: apimachinery `api/errors`,
apiserver `endpoints/handlers/responsewriters`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import orjson

from bastion.kube.errorword import Word

if TYPE_CHECKING:
    from bastion.kube.attributes import Attributes

# Go's JSON encoder writes these escaped, so that a Status embedded in HTML stays inert.
_GO_ESCAPES = (
    (b"<", b"\\u003c"),
    (b">", b"\\u003e"),
    (b"&", b"\\u0026"),
    ("\u2028".encode(), b"\\u2028"),
    ("\u2029".encode(), b"\\u2029"),
)

_GO_CONTROLS = {"\a": "\\a", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"}

CONTENT_TYPE = b"application/json"


class Cause(msgspec.Struct, frozen=True, gc=False):
    """One of `metav1.StatusDetails.causes`."""

    reason: str
    message: str
    field: str


E = TypeVar("E", bound="StatusError")


class StatusError(Exception):
    """A response of the bastion itself.

    `details` follows `metav1.StatusDetails` (name, group, kind, causes, retryAfterSeconds); `headers` are
    added to the response; `close` ends the client's connection after it; `cause` is for the log only.
    `word` is None for what stands in for an API server; with it `causes[0]` tells the word and its hop.
    """

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        *,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        close: bool = False,
        cause: str = "",
        word: Word | None = None,
        causes: tuple[Cause, ...] = (),
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.headers = headers
        self.close = close
        self.cause = cause
        self.word = word
        self.causes = causes
        self.user = ""  # who is told, for a page; set as it is sent
        self.pods: tuple[tuple[str, str], ...] = ()  # names and reasons, for a page of who may see pods

    def of(self, kind: type[E]) -> E:
        """The same as one of a subclass."""
        return kind(
            self.code,
            self.reason,
            self.message,
            self.details,
            headers=self.headers,
            close=self.close,
            cause=self.cause,
            word=self.word,
            causes=self.causes,
        )

    @property
    def name(self) -> str:
        """What `X-Bastion-Error` says."""
        return self.word.name if self.word is not None else self.reason or str(self.code)

    def body(self) -> bytes:
        """The Status as JSON, ended by a newline."""
        return status_body(self.code, self.reason, self.message, self._details())

    def _details(self) -> Mapping[str, Any] | None:
        """In the key order of metav1.StatusDetails."""
        if not self.causes:
            return self.details
        details = dict(self.details or {})
        after = details.pop("retryAfterSeconds", None)
        details["causes"] = [msgspec.structs.asdict(cause) for cause in self.causes]
        return details if after is None else {**details, "retryAfterSeconds": after}


def status_body(code: int, reason: str, message: str, details: Mapping[str, Any] | None = None) -> bytes:
    """A failure `Status` in kube-apiserver's key order; `reason` and `details` are left out when empty or
    None.
    """
    status: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
    }
    if reason:
        status["reason"] = reason
    if details is not None:
        status["details"] = details
    status["code"] = code
    try:
        body = orjson.dumps(status)
    except TypeError:  # a lone surrogate stands for a byte of a path that is no UTF-8; JSON cannot carry it
        body = orjson.dumps(_printable(status))
    for raw, escaped in _GO_ESCAPES:
        if raw in body:
            body = body.replace(raw, escaped)
    return body + b"\n"


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {key: _printable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_printable(inner) for inner in value]
    return value


def quoted(text: str) -> str:
    """`text` as Go's %q writes it: in double quotes, control and unprintable characters escaped."""
    out = []
    for char in text:
        code = ord(char)
        if char in '"\\':
            out.append("\\" + char)
        elif 0xDC80 <= code <= 0xDCFF:
            out.append(f"\\x{code - 0xDC00:02x}")
        elif char.isprintable():
            out.append(char)
        elif code < 0x80:
            out.append(_GO_CONTROLS.get(char, f"\\x{code:02x}"))
        else:
            out.append(f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")
    return '"' + "".join(out) + '"'


def bad_request(message: str, *, close: bool = False) -> StatusError:
    return StatusError(400, "BadRequest", message, close=close)


def unauthorized(cause: str = "") -> StatusError:
    """401 that never says why: the cause is for the log only."""
    return StatusError(
        401,
        "Unauthorized",
        "Unauthorized",
        headers=((b"WWW-Authenticate", b'Bearer realm="kubernetes"'),),
        cause=cause,
    )


def forbidden(user: str, attributes: Attributes, reason: str = "") -> StatusError:
    """403 in kube-apiserver's words, `: reason` after them where there is one."""
    kind, group, name = attributes.resource, attributes.group, attributes.name
    if not kind:
        text = _inert(
            f"forbidden: User {quoted(user)} cannot {attributes.verb} path {quoted(attributes.path)}"
        )
        return StatusError(403, "Forbidden", _with_reason(text, reason), {})
    qualified = f"{kind}.{group}" if group else kind
    full = f"{kind}/{attributes.subresource}" if attributes.subresource else kind
    where = (
        f"in the namespace {quoted(attributes.namespace)}" if attributes.namespace else "at the cluster scope"
    )
    text = f"{qualified}{' ' + quoted(name) if name else ''} is forbidden: " + _inert(
        f"User {quoted(user)} cannot {attributes.verb} resource {quoted(full)} in API group {quoted(group)}"
        f" {where}"
    )
    details = {k: v for k, v in (("name", name), ("group", group), ("kind", kind)) if v}
    return StatusError(403, "Forbidden", _with_reason(text, reason), details)


def _inert(text: str) -> str:
    """Text as kube-apiserver writes it into messages: inert in HTML."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _with_reason(text: str, reason: str) -> str:
    return f"{text}: {reason}" if reason else text


def no_such_route() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed(*allowed: str) -> StatusError:
    """`allowed`: the methods for `Allow` (RFC 9110, 15.5.6), which kube-apiserver's router omits."""
    headers = ((b"Allow", ", ".join(allowed).encode()),)
    return StatusError(
        405,
        "MethodNotAllowed",
        "the server does not allow this method on the requested resource",
        {},
        headers=headers,
    )


def internal_error(message: str = "Internal error occurred") -> StatusError:
    return StatusError(500, "InternalError", message)
