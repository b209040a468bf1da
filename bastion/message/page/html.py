"""· Is a page rewritten on its way to the client, and what becomes of it then?

So that the links of an application that believes in its own `/` stay under its prefix.  A page passes as it
comes, in the encoding it came in; only tags that name places change.  Pages are hostile: memory is bounded,
whatever they hold.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from bastion.http.fields import Field, values
from bastion.message.mount import Mount
from bastion.message.page.attributes import NAMES, TagEditor, charset_named, names_refresh
from bastion.message.page.encoding import ENCODINGS, Decoder, Encoder, NotEncoded, RewriteAborted
from bastion.message.page.stops import stops_at
from bastion.message.page.tags import TagScanner
from bastion.message.usual import USUAL

__all__ = ["HtmlRewriter", "Plan", "RewriteAborted", "plan"]

MAX_EDITED = 8 << 20  # decoded bytes of a page; what is behind them passes unedited
_UNDECIDED = 65536  # encoded bytes that may decode to nothing before the body is given up
_BODILESS = frozenset((204, 205, 206, 304))
# Of bytes that are not sent; a part of a rewritten page cannot be asked for.
_STALE = frozenset(
    (b"content-length", b"digest", b"content-digest", b"repr-digest", b"content-md5", b"accept-ranges")
)
_CHARSET = re.compile(rb""";[ \t]*+charset[ \t]*+=[ \t]*+["']?([^"';\s]++)""", re.IGNORECASE)
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")
# Where a byte that reads `<` may be a part of another character (WHATWG Encoding; the rest is what no browser
# knows).
_NOT_ASCII = (
    b"utf-16",
    b"utf16",
    b"utf-32",
    b"utf32",
    b"utf-7",
    b"ucs-",
    b"iso-10646",
    b"csunicode",
    b"unicodef",
    b"iso-2022-",
    b"csiso2022",
    b"hz-gb",
)
_STOPS = stops_at(NAMES, USUAL)
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Plan:
    """A page that is rewritten: its fields as the client is to have them (its length is not known), and how
    its body goes on.
    """

    fields: list[Field]
    mount: Mount
    encoding: bytes
    charset: bytes | None

    def rewriter(self) -> HtmlRewriter:
        return HtmlRewriter(self.mount, self.encoding, self.charset)


def plan(mount: Mount, status: int, fields: list[Field]) -> Plan | None:
    """None where the answer passes as it is.

    A HEAD gets the fields that a GET would get.
    """
    if not (mount.prefix or mount.secure) or status < 200 or status in _BODILESS:
        return None
    types = values(fields, b"content-type")
    if len(types) != 1 or types[0].partition(b";")[0].strip(b" \t").lower() != b"text/html":
        return None
    names = {field[0] for field in fields}
    if (
        b"location" in names
        or b"content-range" in names
        or _is_download(values(fields, b"content-disposition"))
        or not _fits(values(fields, b"content-length"))
    ):
        return None
    encodings = [
        name
        for value in values(fields, b"content-encoding")
        for part in value.split(b",")
        if (name := part.strip(b" \t").lower())
    ]
    encoding = b",".join(name for name in encodings if name != b"identity")
    if encoding and encoding not in ENCODINGS:
        return None  # one that is not known here, or several
    named = _CHARSET.search(types[0])
    charset = named and named[1]
    if charset is not None and not _ascii_compatible(charset):
        return None
    return Plan([_corrected(field) for field in fields if field[0] not in _STALE], mount, encoding, charset)


class HtmlRewriter:
    """Rewrites one body.  Fed in any chunks, it gives the same page.

    `feed` does nothing but when it is asked for the next step, and a step is bounded by the work it takes,
    however much the chunk unfolds to: each is to be taken before the next chunk.  `feed` and `finish` raise
    RewriteAborted, and nothing else.
    """

    def __init__(self, mount: Mount, encoding: bytes = b"", charset: bytes | None = None) -> None:
        self._page = _Page(mount, charset)
        self._decoder = Decoder(encoding) if encoding else None
        self._encoder: Encoder | None = None
        self._undecided = bytearray()  # what came before anything was decoded
        self._untouched = False  # the body is not what its Content-Encoding says

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._untouched:
            yield data
        elif self._decoder is None:
            yield from self._page.feed(data)
        else:
            yield from self._decoded(self._decoder, data)

    def _decoded(self, decoder: Decoder, data: bytes) -> Iterator[bytes]:
        if not decoder.begun:
            self._undecided += data
        given = False
        try:
            for piece in decoder.feed(data):
                for edited in self._page.feed(piece):
                    given = True
                    yield self._encoded(decoder, edited)
        except NotEncoded as error:
            if decoder.begun:
                raise RewriteAborted(f"the body cannot be decoded: {error}") from error
            yield self._give_back()
            return
        if decoder.begun:
            self._undecided.clear()
        elif len(self._undecided) > _UNDECIDED:
            raise RewriteAborted("the body decodes to nothing")
        if given and self._encoder is not None:
            yield self._encoder.flush(zlib.Z_SYNC_FLUSH)  # a page that comes slowly is seen as it comes

    def finish(self) -> bytes:
        if self._untouched:
            return b""
        if self._decoder is None:
            return self._page.finish()
        if not self._decoder.begun:
            return self._give_back()
        out = self._encoded(self._decoder, self._page.finish())
        assert self._encoder is not None
        # What was cut short stays cut short, so that the client can notice.
        return out + self._encoder.flush(zlib.Z_FINISH if self._decoder.ended else zlib.Z_SYNC_FLUSH)

    def _encoded(self, decoder: Decoder, data: bytes) -> bytes:
        if self._encoder is None:
            self._encoder = decoder.encoder()
        return self._encoder.compress(data)

    def _give_back(self) -> bytes:
        """Nothing was sent yet: the body goes on as it came."""
        self._untouched = True
        came, self._undecided = bytes(self._undecided), bytearray()
        return came


class _Page:
    """The decoded page: what of it is edited."""

    def __init__(self, mount: Mount, charset: bytes | None) -> None:
        self._editor = TagEditor(mount)
        edits = self._editor.edits()
        self._meta, edits[b"meta"] = edits[b"meta"], self._edit_meta
        self._base, edits[b"base"] = edits[b"base"], self._edit_base
        self._scanner = TagScanner(edits, _STOPS)
        self._scanner.usual = self._editor.usual
        self._charset = charset
        self._room = MAX_EDITED
        self._mark: bytes | None = b""  # the first bytes, as long as they may be a byte order mark

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._mark is not None and data:
            data, self._mark = self._mark + data, None
            if data in (b"\xff", b"\xfe"):
                self._mark = data
                return
            if data.startswith(_UTF16_MARKS):
                self._scanner.stop()
        edited, rest = data[: self._room], data[self._room :]
        self._room -= len(edited)
        yield from self._scanner.feed(edited)
        if rest:
            yield self._scanner.stop()
            yield from self._scanner.feed(rest)

    def finish(self) -> bytes:
        return (self._mark or b"") + self._scanner.stop()

    def _edit_base(self, tag: bytes) -> bytes:
        edited = self._base(tag)
        self._scanner.usual = self._editor.usual
        return edited

    def _edit_meta(self, tag: bytes) -> bytes:
        if self._charset is None:
            self._charset = charset_named(tag)
            # A browser takes a UTF-16 named here for UTF-8: the page could not have been read so far
            # otherwise.
            if self._charset is not None and self._charset.lower().startswith(b"iso-2022-jp"):
                self._scanner.stop()
        return self._meta(tag) if names_refresh(tag) else tag


def _corrected(field: Field) -> Field:
    lower, name, value = field
    return (lower, name, b"W/" + value) if lower == b"etag" and value.startswith(b'"') else field


def _is_download(dispositions: list[bytes]) -> bool:
    """Whether it is a file for the disk, where no link under a prefix leads anywhere.

    What is not `inline` is (RFC 6266 section 4.2); a parameter alone, as browsers have it, is not.
    """
    kinds = [value.partition(b";")[0].strip(b" \t").lower() for value in dispositions]
    return any(_TOKEN.fullmatch(kind) is not None and kind != b"inline" for kind in kinds)


def _ascii_compatible(charset: bytes) -> bool:
    lower = charset.lower()
    return lower != b"unicode" and not lower.startswith(_NOT_ASCII)


def _fits(lengths: list[bytes]) -> bool:
    """Whether a page, where its length is known, is short enough to be edited whole, and not empty."""
    return all(length.isdigit() and len(length) < 16 and 0 < int(length) <= MAX_EDITED for length in lengths)
