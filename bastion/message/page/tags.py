"""· Where in a stream of HTML are the start tags, and nothing but start tags?

The part of the WHATWG tokenizer that separates them from text, comments and scripts, over bytes: all that
matters is ASCII, and no ASCII-compatible charset hides `<`, `>` or a quote in a longer character.  What is
not a start tag of interest passes as the bytes that came, and at once: nothing is held but a tag whose end is
still to come, and the few bytes that may begin one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Set
from typing import NamedTuple

from bastion.message.mount import API, is_placed
from bastion.message.page.grammar import BLANK, NAME, OpenTag
from bastion.message.page.stops import BARE, CLIMB, CONTENT, FOREIGN, NOTHING, ORIGIN, PLAINTEXT, RAW, SCRIPT

MAX_TAG = 65536  # bytes of a start tag; a longer one passes unedited
# tags and script comments looked at; then editing stops: a page may have a million of them
MAX_EVENTS = 200_000
MAX_GROWTH = 4 << 20  # bytes that edits may add to a page
STEP = 16384  # bytes walked at once, which bounds what the regular expressions remember
# units in a step: a usual tag, 64 bytes that go in before its path, 8 bytes of a tag that takes a closer look
WORK = 512

_COMMENT, _BOGUS, _CDATA = re.compile(rb"--!?>"), re.compile(rb">"), re.compile(rb"\]\]>")
# Within a script, `<!--` changes what ends it: then a `<script>` is nested, until `-->`.
_PLAIN, _ESCAPED, _NESTED = (
    re.compile(pattern % {b"b": BLANK}, re.IGNORECASE)
    for pattern in (rb"<!--|</script[%(b)b/>]", rb"-->|</?script[%(b)b/>]", rb"-->|</script[%(b)b/>]")
)
_TAG_NAME = re.compile(rb"</?(%b)" % NAME)
_SLASH = ord("/")
_LONGEST_END = len(b"</textarea>")
# What an opening of markup may still turn into, at the end of a chunk.
_UNSURE = re.compile(rb"<(?:/|!(?:-(?:--?)?|\[(?:C(?:D(?:A(?:T(?:A)?)?)?)?)?)?)?")

Edit = Callable[[bytes], bytes]
_Mode = Callable[[bytes, int, list[bytes]], int]


class Usual(NamedTuple):
    """What becomes of usual tags: `prefix` goes in before a path, empty where it takes a closer look.

    References that climb by at most so many bytes of `../`, and URLs of origins that are `elsewhere`, stay as
    they are.
    """

    prefix: bytes
    climb: int
    elsewhere: Set[bytes]


class TagScanner:
    """`edits`, by lower-case name: what is called with a start tag and returns what takes its place; `stops`:
    at these names.

    `usual` may change at any edit.
    """

    def __init__(self, edits: Mapping[bytes, Edit], stops: re.Pattern[bytes]) -> None:
        self._edits = edits
        self._stops = stops
        self.usual = Usual(b"", -1, frozenset())
        self._mode: _Mode = self._data
        self._held = b""  # the start of something that more bytes decide
        self._open: OpenTag | None = None
        self._foreign = 0  # open svg and math elements: only in these is `<![CDATA[` no comment
        self._end = _COMMENT
        self._events = 0
        self._growth = 0
        self._left = 0  # of the work of this step

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What becomes of it, in steps: each walks at most STEP bytes, and fewer where these are much
        work.
        """
        for start in range(0, len(data), STEP):
            buffer = self._held + data[start : start + STEP]
            self._held = b""
            position = 0
            while position < len(buffer):
                out: list[bytes] = []
                self._left = WORK
                while position < len(buffer) and self._left > 0:
                    position = self._mode(buffer, position, out)
                yield b"".join(out)

    def stop(self) -> bytes:
        """No more is edited: what was held, as it came."""
        held = self._held if self._open is None else self._open.taken()
        self._held, self._open, self._mode = b"", None, self._pass
        return held

    # --- modes: each takes the buffer from a position on, and returns where the next one goes on

    def _pass(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        out.append(buffer[start:])
        return len(buffer)

    def _data(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        """Until the mode changes, the step's work is done, or at markup that does not end in this buffer."""
        end = start
        prefix, climb, elsewhere = self.usual
        left, cost = self._left, 1 + len(prefix) // 64
        for match in self._stops.finditer(buffer, start):  # each begins where the last one ended
            if left <= 0:
                self._left = left
                out.append(buffer[start:end])
                return end
            kind, end = match.lastindex, match.end()
            if kind is None:
                break
            at = match.start(kind)
            if self._events < MAX_EVENTS and self._growth <= MAX_GROWTH:
                if (
                    kind == NOTHING
                    or (kind == CLIMB and len(match[kind]) <= climb)
                    or (kind == ORIGIN and match[kind] in elsewhere)
                ):
                    self._events += 1
                    left -= 1
                    continue
                if kind <= BARE and prefix:
                    self._events += 1
                    left -= cost
                    if kind == BARE:
                        path = match[kind].strip(b"'")
                        if not (path.startswith((prefix, API)) and is_placed(prefix, path)):
                            out += (buffer[start:at], b'"', prefix, path, b'"')
                            start = match.end(kind)
                            self._growth += len(prefix) + len(path) + 2 - (start - at)
                    elif not (buffer.startswith((prefix, API), at) and is_placed(prefix, match[kind])):
                        out += (buffer[start:at], prefix)
                        start = at
                        self._growth += len(prefix)
                    continue
            at = buffer.rfind(b"<", start, at)
            self._left = left
            out += (buffer[start:at], self._placed(buffer[at:end]))
            start, left = end, self._left
            if self._mode != self._data:
                return end
            prefix, climb, elsewhere = self.usual
        self._left = left
        out.append(buffer[start:end])
        return self._markup(buffer, end, out) if end < len(buffer) else end

    def _markup(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        """At a `<` of something that does not end in this buffer."""
        opening = buffer[start : start + 9]
        if _UNSURE.fullmatch(opening):
            self._held = buffer[start:]
            return len(buffer)
        if opening[1:2].isalpha() or (opening[1:2] == b"/" and opening[2:3].isalpha()):
            self._open, self._mode = OpenTag(), self._in_tag
            return start
        if opening.startswith(b"<!--"):
            return self._until(_COMMENT, 4, buffer, start, out)
        if opening == b"<![CDATA[":
            if self._spent():
                return start
            if self._foreign:
                return self._until(_CDATA, 9, buffer, start, out)
        return self._until(_BOGUS, 2, buffer, start, out)

    def _until(
        self, end: re.Pattern[bytes], opening: int, buffer: bytes, start: int, out: list[bytes]
    ) -> int:
        out.append(buffer[start : start + opening])
        self._end, self._mode = end, self._in_comment
        return start + opening

    def _in_comment(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        match = self._end.search(buffer, start)
        if match is None:
            return self._hold(0 if self._end is _BOGUS else 3, buffer, start, start, out)
        out.append(buffer[start : match.end()])
        self._mode = self._data
        return match.end()

    def _in_raw(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        match = self._end.search(buffer, start)
        if match is None:
            return self._hold(_LONGEST_END - 1, buffer, start, start, out)
        out.append(buffer[start : match.start()])
        self._mode = self._data
        return match.start()

    def _in_script(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        position = start
        while match := self._end.search(buffer, position):
            if self._spent():
                break
            found, position = match[0], match.end()
            if found == b"<!--":
                self._end, position = _ESCAPED, match.start() + 2  # `<!-->` opens and closes
            elif found == b"-->":
                self._end = _PLAIN
            elif found[1:2] != b"/":
                self._end = _NESTED
            elif self._end is _NESTED:
                self._end = _ESCAPED
            else:
                out.append(buffer[start : match.start()])
                self._mode = self._data
                return match.start()
        return self._hold(_LONGEST_END - 1, buffer, start, position, out)

    def _in_tag(self, buffer: bytes, start: int, out: list[bytes]) -> int:
        tag = self._open
        assert tag is not None
        end = tag.walk(buffer, start)
        if tag.size > MAX_TAG:
            out.append(tag.taken())
        if tag.ended:
            self._open, self._mode = None, self._data
            if tag.size > MAX_TAG:
                self._placed(tag.bare, edited=False)  # for what its content is
            else:
                out.append(self._placed(tag.taken()))
        return end

    # --- what they share

    def _hold(self, most: int, buffer: bytes, start: int, seen: int, out: list[bytes]) -> int:
        """Keep the last `most` bytes, in which an end may have begun; those before `seen` are settled."""
        keep = max(seen, len(buffer) - most)
        out.append(buffer[start:keep])
        self._held = buffer[keep:]
        return len(buffer)

    def _placed(self, tag: bytes, *, edited: bool = True) -> bytes:
        """What takes the place of a complete tag."""
        self._left -= 2
        match = _TAG_NAME.match(tag)
        assert match is not None
        name = match[1].lower()
        edit = self._edits.get(name) if edited else None
        content = name in CONTENT
        if tag[1] == _SLASH:
            self._foreign -= name in FOREIGN and self._foreign > 0 and not self._spent()
            return tag
        if not (content or edit) or self._spent():
            return tag
        if content:
            self._enter(name, closed=tag.endswith(b"/>"))
        if edit is None:
            return tag
        placed = edit(tag)
        self._left -= (len(tag) + len(placed)) // 8
        self._growth += len(placed) - len(tag)
        return placed

    def _spent(self) -> bool:
        """Whether editing stops here, which it does for good."""
        self._events += 1
        if self._events <= MAX_EVENTS and self._growth <= MAX_GROWTH:
            return False
        self._mode = self._pass
        return True

    def _enter(self, name: bytes, *, closed: bool) -> None:
        """What the content of an element is read as."""
        if name in FOREIGN:
            self._foreign += not closed
        elif closed and self._foreign:
            return  # only in foreign content does `/>` close an element
        elif name == SCRIPT:
            self._end, self._mode = _PLAIN, self._in_script
        elif name == PLAINTEXT:
            self._mode = self._pass
        else:
            self._end, self._mode = RAW[name], self._in_raw
