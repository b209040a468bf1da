"""· Is this an HTTP/2 request's head, and which HTTP/1.1 head says the same?

Its pseudo-fields become a request line and a Host, its fields lines, and what judges them is what judges
every head of HTTP/1.1: two judges would part one day.  Here is only what HTTP/1.1 does not have, or says
otherwise.  What is malformed is refused, never mended (RFC 9113, 8.1.1): it would go on to a parser that is
not ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from bastion.kube.errors import unreadable
from bastion.message.upgrade import WEBSOCKET

# RFC 9113, 8.2.2: connection-specific fields make a request malformed.
_OF_A_CONNECTION = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"transfer-encoding",
        b"upgrade",
        b"http2-settings",
    )
)
_PSEUDO = frozenset((b":method", b":scheme", b":authority", b":path", b":protocol"))
# RFC 9110, 8.6: a request of these methods says so where it has no body.
_WITH_A_LENGTH = frozenset((b"POST", b"PUT", b"PATCH"))


MOST, LONGEST = 16, 2048  # heads of a connection that are remembered, and bytes of one
STRANGE, ONE_OF = 8, 16  # after so many that had not come before, one of so many is looked for

Fields = Sequence[tuple[bytes, bytes]]


class Translated(msgspec.Struct, frozen=True, gc=False):
    """`head` is HTTP/1.1's, with the empty line that ends it.

    `websocket`: it asks for one by extended CONNECT (RFC 8441), and stands for the GET of RFC 6455.
    """

    head: bytes
    websocket: bool = False


class Translator:
    """Of one connection, whose client mostly sends the same few heads."""

    __slots__ = ("_key", "_known", "_scheme", "_strange")

    def __init__(self, scheme: bytes, key: Callable[[], bytes]) -> None:
        """As for `translate`."""
        self._scheme = scheme
        self._key = key
        self._known: dict[tuple[bool, Fields], Translated] = {}
        self._strange = 0  # heads in a row that had not come before

    def __call__(self, fields: Fields, *, ended: bool) -> Translated:
        """`fields` can be hashed.  Raises StatusError."""
        if self._strange >= STRANGE and self._strange % ONE_OF:
            self._strange += 1
            return translate(fields, self._scheme, ended=ended, key=self._key)
        translated = self._known.get((ended, fields))
        if translated is not None:
            self._strange = 0
            return translated
        self._strange += 1
        translated = translate(fields, self._scheme, ended=ended, key=self._key)
        if not translated.websocket and len(translated.head) <= LONGEST:
            if len(self._known) >= MOST:
                self._known.clear()
            self._known[(ended, fields)] = translated
        return translated


def translate(
    fields: Sequence[tuple[bytes, bytes]], scheme: bytes, *, ended: bool, key: Callable[[], bytes]
) -> Translated:
    """`scheme` is that of the connection; `ended`: no body follows; `key` makes a Sec-WebSocket-Key,
    which HTTP/2 does not have.  Raises StatusError.
    """
    pseudo, lines = _split(fields)
    method, authority = pseudo.get(b":method", b""), pseudo.get(b":authority")
    if method == b"CONNECT" and b":protocol" not in pseudo:
        return _connect(pseudo, lines)
    websocket = b":protocol" in pseudo
    # What a browser sends to an HTTPS proxy for a URL that begins with http:, and never to a server, so that
    # no page of a rebound domain can make it do so.
    to_proxy = scheme == b"https" and pseudo.get(b":scheme") == b"http" and not websocket
    if pseudo.get(b":scheme") != scheme and not (to_proxy and authority):
        raise unreadable("malformed request: :scheme is not that of this connection")
    if websocket:
        lines += _handshake(pseudo, lines, key(), ended=ended)
        method = b"GET"
    elif not ended:
        if not _has(lines, b"content-length"):
            lines.append(b"transfer-encoding: chunked")
    elif method in _WITH_A_LENGTH and not _has(lines, b"content-length"):
        lines.append(b"content-length: 0")
    path = pseudo.get(b":path", b"")
    if path[:1] != b"/":
        raise unreadable("malformed request: :path must begin with /")
    if to_proxy:
        path = b"http://%b%b" % (authority or b"", path)
    lines.insert(0, b"%b %b HTTP/1.1" % (method, path))
    if authority is not None:
        lines.insert(1, b"host: %b" % authority)
    return Translated(_joined(lines), websocket)


def _connect(pseudo: dict[bytes, bytes], lines: list[bytes]) -> Translated:
    """RFC 9113, 8.5."""
    authority = pseudo.get(b":authority", b"")
    if len(pseudo) != 2 or not authority:
        raise unreadable("malformed request: CONNECT has :method and :authority alone")
    return Translated(_joined([b"CONNECT %b HTTP/1.1" % authority, b"host: %b" % authority, *lines]))


def _joined(lines: list[bytes]) -> bytes:
    """Raises StatusError where what ends a line within a field would make two of it."""
    head = b"\r\n".join(lines)
    if head.count(b"\n") != len(lines) - 1 or head.count(b"\r") != len(lines) - 1:
        raise unreadable("malformed request: a control character")
    return head + b"\r\n\r\n"


def _split(fields: Sequence[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], list[bytes]]:
    pseudo: dict[bytes, bytes] = {}
    lines: list[bytes] = []
    cookies: list[bytes] = []
    hosts = 0
    for name, value in fields:
        if name[:1] == b":":
            # RFC 9113, 8.3: before all other fields, each once, none that is not defined
            if name in pseudo or name not in _PSEUDO or lines or cookies:
                raise unreadable("malformed request: a pseudo-field that is late, unknown or there twice")
            pseudo[name] = value
        elif name == b"cookie":
            cookies.append(value)
        elif name == b"host":
            hosts += 1
            _check_host(value, pseudo)
        else:
            if name in _OF_A_CONNECTION or (name == b"te" and value.lower() != b"trailers"):
                raise unreadable("malformed request: a field that is for one connection alone")
            # a colon would end the name in HTTP/1.1
            if b":" in name or name != name.lower() or value != value.strip(b" \t"):
                raise unreadable("malformed request: a name with a capital or a colon, or a value in blanks")
            lines.append(b"%b: %b" % (name, value))
    if hosts > 1:
        raise unreadable("malformed request: Host must be given once, as host or host:port")
    if cookies:  # RFC 9113, 8.2.3: HTTP/1.1 has them in one field
        lines.append(b"cookie: %b" % b"; ".join(cookies))
    return pseudo, lines


def _check_host(value: bytes, pseudo: dict[bytes, bytes]) -> None:
    """RFC 9113, 8.3.1: without :authority it is what names the host; beside it, it must say the same."""
    if pseudo.setdefault(b":authority", value).lower() != value.lower():
        raise unreadable("malformed request: Host names another host than :authority")


def _has(lines: list[bytes], name: bytes) -> bool:
    return any(line.startswith(name) and line[len(name) : len(name) + 1] == b":" for line in lines)


def _handshake(pseudo: dict[bytes, bytes], lines: list[bytes], key: bytes, *, ended: bool) -> list[bytes]:
    """The lines that a WebSocket's request has in HTTP/1.1 beside its own."""
    if pseudo.get(b":method") != b"CONNECT":
        raise unreadable("malformed request: :protocol without CONNECT")
    if pseudo[b":protocol"] != WEBSOCKET:
        raise unreadable("the only :protocol understood is websocket", code=501)
    if ended or _has(lines, b"content-length"):
        raise unreadable("an upgrade request may have neither a body nor an expectation")
    lines[:] = [line for line in lines if not line.startswith(b"sec-websocket-key:")]
    return [b"connection: Upgrade", b"upgrade: websocket", b"sec-websocket-key: %b" % key]
