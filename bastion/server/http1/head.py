"""· Is this a request head, and what does it say?

Strict: each rule stands under the RFC sentence it enforces.

What another parser might read differently is refused (400, connection closed), because the request goes
on to a parser that is not ours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from bastion.http.authority import is_authority
from bastion.http.fields import HOP_BY_HOP, Field, field_of
from bastion.kube.authority import in_cluster
from bastion.kube.errors import unreadable
from bastion.kube.status import StatusError
from bastion.observe.auditids import is_ours

MAX_HEAD = 65536  # bytes
MAX_FIELDS = 100
MAX_LENGTH_DIGITS = 18  # a Content-Length below 2^60

# RFC 9110, 5.5: field values are visible characters, SP, HTAB and obs-text; CR and LF are counted apart.
_LEGAL = bytes(b for b in range(256) if b in (0x09, 0x0A, 0x0D) or (b >= 0x20 and b != 0x7F))
# RFC 9112, 3: request-line = method SP request-target SP HTTP-version; the target is visible ASCII without a
# fragment.
_REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([!\"$-~]+) HTTP/([0-9])\.([0-9])")
_ANY_TARGET = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,32}) ([^\x00-\x20\x7f]+) HTTP/([0-9])\.([0-9])")
# RFC 9110, 15.5.15: 414 instead of 431 where the target is most of an oversized head.
_LONG_TARGET = re.compile(rb"[!#$%%&'*+\-.^_`|~0-9A-Za-z]{1,32} [!\"$-~]{%d}" % (MAX_HEAD // 2))
_SPECIAL = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"audit-id", b"upgrade")
)
# What Connection may name without that another field of the head is dropped for it.
_OF_THE_HOP = HOP_BY_HOP | {b"close", b""}


class Head(msgspec.Struct):
    """`length` is None without Content-Length; `host` is empty only in HTTP/1.0; `keep_alive` is what the
    client asks for.

    `fields` are those that some rule reads; `passed` the lines that none does, as a backend gets them, and
    `lines` all there were.  `own_hops`: what Connection names is dropped without it.  `key` names all that
    decides; empty where that is not remembered.  `decided`: what was decided is
    remembered, and `fields` are read from `lines` where they are needed at all.

    `to_proxy`: it asks for a tunnel to `target` (CONNECT), or for the URL http://`host``target`.
    """

    method: str
    target: bytes
    minor: int
    fields: list[Field]
    keep_alive: bool
    host: bytes = b""
    length: int | None = None
    chunked: bool = False
    expects_continue: bool = False
    audit_id: str = ""
    upgrade: bool = False
    passed: Sequence[bytes] = ()
    lines: Iterable[bytes] = ()
    key: bytes = b""
    decided: bool = False
    own_hops: bool = True
    to_proxy: bool = False


class Sorted(NamedTuple):
    """The lines of a head, and how `message.lines` sorts them."""

    request_line: bytes
    lines: list[bytes]
    passed: Sequence[bytes]
    deciding: Sequence[bytes]
    noted: Sequence[Field]


def read_head(
    data: bytes,
    known: Sorted | None = None,
    *,
    any_target: bool = False,
    secure: bool = False,
    tunnels: bool = False,
) -> Head:
    """`data` is everything before the empty line, without the CRLF that ends it.  Raises StatusError.

    `known` tells which of its lines some rule reads: without it all of them are in `fields`.
    `any_target` as in `read_request_line`.  `secure`: it came over TLS, where a proxy may be asked;
    `tunnels`: there is one, and so every http URL is for it, whatever it names.
    """
    # RFC 9112, 2.2: CRLF ends a line; a bare CR or LF is no line end, and nothing else may be made of it.
    if known is None:
        request_line, *lines = data.split(b"\r\n")
    else:
        request_line, lines = known.request_line, known.lines
    breaks = len(lines)
    if data.count(b"\n") != breaks or data.count(b"\r") != breaks or data.translate(None, _LEGAL):
        raise _malformed("a control character, or a line that does not end in CRLF")
    method, target, minor = read_request_line(request_line, any_target=any_target)
    if breaks > MAX_FIELDS:
        raise too_large(f"more than {MAX_FIELDS} header fields")
    try:
        fields = [field_of(line) for line in (lines if known is None else known.deciding)]
        own_hops = are_hops_own(fields)
        if known is not None and not own_hops:
            # any field may be one that is dropped
            known, fields = None, [field_of(line) for line in lines]
    except ValueError as error:
        # RFC 9112, 5.1: no whitespace between name and colon; 5.2: no line folding (such a line has no token
        # for a name).
        raise _malformed("a header field whose name is not a token") from error
    passed, noted = (known.passed, known.noted) if known is not None else ((), ())
    head = Head(method, target, minor, fields, minor == 1, passed=passed, lines=lines, own_hops=own_hops)
    _read_special(head, [field for field in (*fields, *noted) if field[0] in _SPECIAL])
    if target[:1] != b"/" or method == "CONNECT":
        if secure and _asks_proxy(method, target, tunnels=tunnels):
            _read_as_proxy(head)
        else:
            head.target = _origin_form(head)
    return head


def are_hops_own(fields: Iterable[Field]) -> bool:
    """Whether Connection names only what is dropped without it."""
    for lower, _, value in fields:
        if lower == b"connection" and not _OF_THE_HOP.issuperset(
            part.strip(b" \t") for part in value.lower().split(b",")
        ):
            return False
    return True


def said_audit_id(value: bytes) -> str:
    """That of a client; empty where it is none that may be taken over."""
    if value.isascii() and len(value) <= 64 and not is_ours(said := value.decode("ascii")):
        return said
    return ""


def read_request_line(line: bytes, *, any_target: bool = False) -> tuple[str, bytes, int]:
    """(method, target, minor version).

    `any_target` takes bytes that no URI holds, as browsers and scripts send them.  Raises StatusError.
    """
    match = (_ANY_TARGET if any_target else _REQUEST_LINE).fullmatch(line)
    if match is None:
        raise _malformed("the request line is not `method SP target SP HTTP-version`")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in (b"0", b"1"):
        raise unreadable("this server speaks HTTP/1.1 and HTTP/1.0", code=505, close=True)
    return method.decode("ascii"), target, int(minor)


def _read_special(head: Head, special: list[Field]) -> None:
    host: bytes | None = None
    codings: list[bytes] = []
    options: list[bytes] = []
    for lower, _, value in special:
        if lower == b"host":
            # RFC 9112, 3.2: 400 to a request that lacks Host, has more than one, or an invalid one.
            if host is not None:
                raise _malformed("Host must be given once, as host or host:port")
            # a port of CONNECT may be a name, and what Host says beside it decides nothing
            if not is_authority(value) and not (head.method == "CONNECT" and value == head.target):
                raise _malformed("Host must be given once, as host or host:port").of(UnfitAuthority)
            host = value
        elif lower == b"content-length":
            # RFC 9110, 8.6: 1*DIGIT.  The same value twice would be tolerable, if every backend agreed.
            if head.length is not None or not value.isdigit() or len(value) > MAX_LENGTH_DIGITS:
                raise _malformed("Content-Length must be given once, as decimal digits")
            head.length = int(value)
        elif lower == b"transfer-encoding":
            codings.append(value)
        elif lower == b"connection":
            options += [option.strip(b" \t") for option in value.lower().split(b",")]
        elif lower == b"expect":
            _read_expect(head, value)
        elif lower == b"upgrade":
            head.upgrade = True
        else:
            head.audit_id = head.audit_id or said_audit_id(value)
    if host is None and head.minor == 1:
        raise _malformed("HTTP/1.1 requires a Host header")
    head.host = host or b""
    if options:  # RFC 9112, 9.3: close wins, and HTTP/1.0 must ask to be kept
        head.keep_alive = b"close" not in options and (head.minor == 1 or b"keep-alive" in options)
    if codings:
        _read_codings(head, codings)


def _read_expect(head: Head, value: bytes) -> None:
    # RFC 9110, 10.1.1: 417 for an expectation that cannot be met; one from HTTP/1.0 is ignored.
    if value.lower() != b"100-continue":
        raise unreadable("the only expectation that can be met is 100-continue", code=417, close=True)
    head.expects_continue = head.minor == 1


def _read_codings(head: Head, codings: list[bytes]) -> None:
    # RFC 9112, 6.1: a message with both, or from HTTP/1.0 with a coding, has faulty framing: no attempt to
    # repair it.
    if head.length is not None or head.minor == 0 or len(codings) > 1:
        raise _malformed("Transfer-Encoding beside Content-Length, twice, or in HTTP/1.0")
    if codings[0].lower() != b"chunked":
        raise unreadable("the only transfer coding understood is chunked", code=501, close=True)
    head.chunked = True


def _origin_form(head: Head) -> bytes:
    """The path and query of an absolute-form target (RFC 9112, 3.2.2), whose authority must be Host's."""
    for scheme in (b"http://", b"https://"):
        if head.target[: len(scheme)].lower() == scheme:
            authority, slash, rest = head.target[len(scheme) :].partition(b"/")
            if scheme == b"https://" and in_cluster(authority):
                raise _malformed("a proxy is asked for an https URL by CONNECT")
            if slash and authority.lower() == head.host.lower():
                return b"/" + rest
            raise _malformed("the absolute target names another authority than Host").of(UnfitAuthority)
    if head.method == "CONNECT":
        raise _malformed("a tunnel is opened on the TLS port alone")
    raise _malformed("a request target must begin with /")


def _asks_proxy(method: str, target: bytes, *, tunnels: bool) -> bool:
    """Where no proxy is, an absolute URL that names nothing in the cluster is read as any server reads it
    (RFC 9112, 3.2.2).
    """
    if method == "CONNECT":
        return target[:1] != b"/"
    return target[:7].lower() == b"http://" and (tunnels or in_cluster(_authority_of(target)))


def _authority_of(url: bytes) -> bytes:
    rest = url[len(b"http://") :]
    return rest[: min(at for at in (rest.find(b"/"), rest.find(b"?"), len(rest)) if at >= 0)]


def _read_as_proxy(head: Head) -> None:
    """CONNECT, or an absolute URL; that its authority is one is judged once it is known who asks."""
    head.to_proxy = True
    if head.method == "CONNECT":
        # RFC 9110, 9.3.6: what follows the head is the tunnel's
        if head.chunked or head.length:
            raise _malformed("CONNECT has no body")
        head.length = None
        return
    # RFC 9112, 3.2.2: the URL's authority, whatever Host says
    head.host = _authority_of(head.target)
    rest = head.target[len(b"http://") + len(head.host) :]
    head.target = rest if rest[:1] == b"/" else b"/" + rest
    head.fields = [field for field in head.fields if field[0] != b"host"]
    head.fields.append((b"host", b"Host", head.host))


class UnfitAuthority(StatusError):
    """The head is well read, but does not name a host that could be this one."""


def _malformed(why: str) -> StatusError:
    return unreadable(f"malformed request: {why}", close=True)


def oversized(data: bytes) -> StatusError:
    """For a head that begins with `data` and is too large."""
    if _LONG_TARGET.match(data):
        return unreadable(
            f"the request target is too long: a head may have {MAX_HEAD} bytes with it", code=414, close=True
        )
    return too_large(f"more than {MAX_HEAD} bytes")


def too_large(why: str) -> StatusError:
    return unreadable(f"the request head is too large: {why}", code=431, close=True)
