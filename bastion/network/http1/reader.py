"""Where does a backend's response begin, what does its head say, and where does its body end?

httptools (llhttp, strict) reads it; what it lets pass and RFC 9112 does not is refused here.  Backends are
hostile: heads are bounded, interim responses counted, and bytes beyond the response show as `surplus`.
No I/O: bytes in; a Response that is filled, or a Malformed, out.
"""

from __future__ import annotations

from enum import Enum

import httptools

from bastion.http.fields import Field
from bastion.kube.errorword import Word
from bastion.kube.errorwords import ANSWER_NOT_UNDERSTOOD, BACKEND_SPEAKS_TLS
from bastion.network.http1.response import Response, Source, framing, kept_for
from bastion.network.logins import CHALLENGES, binds_answer

MAX_HEAD = 65536  # bytes of a response's head
MAX_FIELDS = 200
MAX_INTERIM = 10
MAX_TRAILERS = 50
PORTION = 2048  # bytes of a head or a chunked body fed at once,
LARGE_PORTION = 16384  # after a portion that held
FEW = 8  # chunks at most

_BODILESS = (204, 304)
_REASON = bytes(b for b in range(256) if b == 0x09 or (b >= 0x20 and b != 0x7F))  # RFC 9112, 4


class Malformed(Exception):
    """The message says what is wrong, in words for the client."""

    def __init__(self, message: str, word: Word = ANSWER_NOT_UNDERSTOOD) -> None:
        super().__init__(message)
        self.word = word


def not_http(data: bytes) -> Malformed:
    """For what begins an answer and is no head of HTTP/1.1; not a byte of it is told."""
    if data[:2] == b"\x15\x03":  # a TLS alert (RFC 8446, 5.1 and 6)
        return Malformed("it answered with a TLS alert", BACKEND_SPEAKS_TLS)
    if data[3:4] == b"\x04" and data[5:9] == b"\0\0\0\0" and data[:1] == b"\0":  # SETTINGS (RFC 9113, 3.4)
        return Malformed("it speaks HTTP/2 alone, and was asked in HTTP/1.1")
    return Malformed("what it says is not HTTP/1.1")


class Expected(Enum):
    """What a response to this request may be."""

    ORDINARY = "any final response"
    BODILESS = "one without a body, because the request was HEAD"
    SWITCH = "a 101, too, because the request asked for an upgrade"


class ResponseReader:
    """Reads one response after the other, each from `begin` to the next one.

    `last`: no other may follow on this connection.  `chunks` counts the pieces of bodies, and `portion` is
    how many bytes are best fed at once, for turns of the loop that stay short.
    """

    __slots__ = (
        "_expected",
        "_fields",
        "_interim",
        "_parser",
        "_pieces",
        "_reason",
        "_size",
        "_source",
        "_unmoved",
        "chunks",
        "kept_for",
        "last",
        "portion",
        "response",
        "surplus",
    )

    def __init__(self) -> None:
        self._source: Source | None = None
        self._parser: httptools.HttpResponseParser | None = None
        self._expected = Expected.ORDINARY
        self._fields: list[Field] = []
        self._pieces: list[bytes] = []  # of the head
        self._reason = b""
        self._interim = self._size = self._unmoved = 0
        self.response: Response | None = None
        self.surplus = False
        self.last = False
        self.kept_for: float | None = None  # seconds, where the last response said so
        self.chunks = 0
        self.portion = PORTION

    def begin(self, source: Source, expected: Expected) -> None:
        """`source` is what the response comes from."""
        self._source = source
        self._expected = expected
        self.response = None
        self.surplus = False
        self._fields = []
        self._reason = b""
        self._interim = 0  # responses so far
        self._size = 0  # bytes of the head so far
        self._unmoved = 0  # bytes since the last that were some of the body

    @property
    def begun(self) -> bool:
        return self._size > 0

    def feed(self, data: bytes) -> bytes | None:
        """None, or what follows a 101: HTTP ends there.  Raises Malformed."""
        if self.response is not None:
            return self._feed_body(data)
        if not self._size and not data.startswith(b"HTTP/1."[: len(data)]):
            raise not_http(data)
        self._size += len(data)
        self._pieces.append(data)
        behind = self._parse(data)
        if self.response is not None:
            self._pieces.clear()
        elif self._size > MAX_HEAD:
            raise Malformed(f"the response's head is larger than {MAX_HEAD} bytes")
        return behind

    def _feed_body(self, data: bytes) -> bytes | None:
        before = self.chunks
        behind = self._parse(data)
        chunks = self.chunks - before
        self.portion = PORTION if chunks > FEW else LARGE_PORTION
        assert self.response is not None
        if chunks or self.response.complete:
            self._unmoved = 0
        else:
            self._unmoved += len(data)
            if self._unmoved > MAX_HEAD:
                raise Malformed(f"more than {MAX_HEAD} bytes of trailers or of a chunk's size line")
        return behind

    def _parse(self, data: bytes) -> bytes | None:
        parser = self._parser
        if parser is None:
            parser = self._parser = httptools.HttpResponseParser(self)
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as error:
            # Behind a 101, or behind a response that names another protocol, which llhttp takes for one.
            if self.response is None or self.response.status != 101:
                raise Malformed("a switch of protocols that was not asked for") from error
            return data[error.args[0] :]
        except httptools.HttpParserCallbackError as error:
            raise Malformed(str(error.__context__ or error)) from error
        except httptools.HttpParserError as error:
            raise Malformed("malformed HTTP response: what it says is not HTTP/1.1") from error
        if self.response is not None and self.response.status == 101:
            raise Malformed("a 101 that names no protocol")
        return None

    def close(self) -> None:
        """Let go of what holds this object: in a cycle, what came and was not read would stay until the next
        full collection.
        """
        self._parser = self._source = None
        if self.response is not None:
            self.response.let_go()

    # --- the parser's callbacks

    def on_message_begin(self) -> None:
        if self.response is not None:
            self.surplus = True  # an error here would not reach us through llhttp

    def on_status(self, reason: bytes) -> None:
        if self.surplus:
            raise ValueError("bytes behind the response")
        if reason.translate(None, _REASON):
            raise ValueError("a control character in the reason phrase")
        self._reason += reason

    def on_header(self, name: bytes, value: bytes | None) -> None:
        stripped = (value or b"").strip(b" \t")
        lower = name.lower()
        if self.response is not None:
            self._trailer(self.response, (lower, name, stripped))
            return
        if stripped != value and lower == b"transfer-encoding":
            raise ValueError("blanks behind a Transfer-Encoding")  # llhttp would not take it for chunked
        if len(lower) > 15 and lower in CHALLENGES and binds_answer(stripped):
            self.last = True  # the next user of the connection would be taken for the user who logged in
        elif lower == b"keep-alive":
            self.kept_for = kept_for(stripped)
        self._fields.append((lower, name, stripped))
        if len(self._fields) > MAX_FIELDS:
            raise ValueError(f"the response has more than {MAX_FIELDS} header fields")

    def _trailer(self, response: Response, field: Field) -> None:
        """Never one of the head's fields."""
        if self.surplus:
            raise ValueError("bytes behind the response")
        if len(response.trailers) == MAX_TRAILERS:
            raise ValueError(f"the response has more than {MAX_TRAILERS} trailer fields")
        response.trailers = (*response.trailers, field)

    def on_headers_complete(self) -> None:
        if self.surplus:
            return
        parser, source = self._parser, self._source
        assert parser is not None
        assert source is not None
        status: int = parser.get_status_code()
        version: str = parser.get_http_version()
        if status < 100 or version not in ("1.1", "1.0") or (self._interim and not self._speaks_http()):
            raise ValueError("not an HTTP/1 response")
        if status < 200:
            self._interim_response(source, status, version)
            return
        length, chunked = framing(self._fields)
        if chunked and version == "1.0":  # RFC 9112, 6.1: faulty framing
            raise ValueError("chunks in HTTP/1.0")
        bodiless = status in _BODILESS or self._expected is Expected.BODILESS
        self.response = response = Response(source, status, self._reason, self._fields, length, bodiless)
        response.keep_alive = parser.should_keep_alive()
        if bodiless:
            # llhttp has no way to know that this response has no body: it would take the next one for it.
            self._parser = None
            response.end()
        elif chunked:
            response.chunked = True
        elif length is None:
            response.until_close = True

    def _interim_response(self, source: Source, status: int, version: str) -> None:
        # HTTP/1.0 knows no upgrade (RFC 9110, 7.8)
        if status == 101 and self._expected is Expected.SWITCH and version == "1.1":
            self.response = Response(source, status, self._reason, self._fields, None, bodiless=True)
            return
        self._interim += 1
        if status == 101:
            raise ValueError("a switch of protocols that was not asked for")
        if self._interim > MAX_INTERIM:
            raise ValueError(f"more than {MAX_INTERIM} interim responses")
        fields, self._fields = self._fields, []
        reason, self._reason = self._reason, b""
        # RFC 9110, 15.2: a proxy forwards them, but for those that it caused; HTTP/1.0 has none
        if source.interim is not None and status != 100 and version == "1.1":
            source.interim(status, reason, fields)

    def on_body(self, data: bytes) -> None:
        response = self.response
        if response is None or self.surplus:
            return
        self.chunks += 1
        if response.bodiless:
            self.surplus = True
        else:
            response.feed(data)

    def on_message_complete(self) -> None:
        if self.response is not None:
            self.response.end()

    def _speaks_http(self) -> bool:
        """Whether the head behind the interim responses is HTTP's too: to llhttp RTSP and ICE are as good."""
        heads = b"".join(self._pieces).split(b"\r\n\r\n", self._interim)
        return heads[self._interim].startswith(b"HTTP/1.")
