"""Where in a stream of HTML are the start tags, and nothing but start tags?

The part of the WHATWG tokenizer that tells them from text, comments, scripts and the like, over bytes: all that
matters is ASCII, and no ASCII-compatible charset hides `<`, `>` or a quote in a longer character.  What is no start
tag of interest passes as the bytes that came, and at once: nothing is held but a tag whose end is still to come, and
the few bytes that may begin one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping

from bastion.message.grammar import ATTRIBUTES, BLANK, NAME, OpenTag

MAX_TAG = 65536  # bytes of a start tag; a longer one passes unedited
MAX_EVENTS = 200_000  # tags and script comments looked at; then editing stops, for whoever sends a million of them
MAX_GROWTH = 4 << 20  # bytes that edits may add to a page
STEP = 32768  # bytes walked at once, which bounds what the regular expressions remember

FOREIGN = frozenset((b"svg", b"math"))
_SCRIPT = b"script"
_PLAINTEXT = b"plaintext"
_RAW = {  # elements whose content is text up to their own end tag
    name: re.compile(rb"</%b[%b/>]" % (name, BLANK), re.IGNORECASE)
    for name in (b"style", b"title", b"textarea", b"xmp", b"iframe", b"noembed", b"noframes")
}
_CONTENT = FOREIGN | _RAW.keys() | {_SCRIPT, _PLAINTEXT}
_COMMENT, _BOGUS, _CDATA = re.compile(rb"--!?>"), re.compile(rb">"), re.compile(rb"\]\]>")
# Within a script, `<!--` changes what ends it: then a `<script>` is nested, until `-->`.
_PLAIN, _ESCAPED, _NESTED = (
    re.compile(pattern % {b"b": BLANK}, re.IGNORECASE)
    for pattern in (rb"<!--|</script[%(b)b/>]", rb"-->|</?script[%(b)b/>]", rb"-->|</script[%(b)b/>]")
)
_SLASH = ord("/")
_LONGEST_END = len(b"</textarea>")
# What an opening of markup may still turn into, at the end of a chunk.
_UNSURE = re.compile(rb"<(?:/|!(?:-(?:--?)?|\[(?:C(?:D(?:A(?:T(?:A)?)?)?)?)?)?)?")

Edit = Callable[[bytes], bytes]
_Mode = Callable[[bytes, int, list[bytes]], int]


class TagScanner:
    """`edits`, by lower-case name: what is called with a start tag and returns what takes its place; `stops`: at these names."""

    def __init__(self, edits: Mapping[bytes, Edit], stops: re.Pattern[bytes]) -> None:
        self._edits = edits
        self._next = stops.match
        self._mode: _Mode = self._data
        self._held = b""  # the start of something that more bytes decide
        self._open: OpenTag | None = None
        self._foreign = 0  # open svg and math elements: only in these is `<![CDATA[` no comment
        self._end = _COMMENT
        self._events = 0
        self._growth = 0

    def feed(self, data: bytes) -> bytes:
        out: list[bytes] = []
        for start in range(0, len(data), STEP):
            buffer = self._held + data[start : start + STEP]
            self._held = b""
            position = 0
            while position < len(buffer):
                position = self._mode(buffer, position, out)
        return b"".join(out)

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
        position = start
        while True:
            match = self._next(buffer, position)
            assert match is not None  # it may match nothing
            position = match.end()
            if match.lastindex is None:
                break
            tag = match[1]
            name = match[2].lower()
            placed = self._placed(name, tag, self._edits.get(name))
            if placed is not tag:
                out += (buffer[start : match.start(1)], placed)
                start = position
            if self._mode != self._data:
                out.append(buffer[start:position])
                return position
        out.append(buffer[start:position])
        return self._markup(buffer, position, out) if position < len(buffer) else position

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

    def _until(self, end: re.Pattern[bytes], opening: int, buffer: bytes, start: int, out: list[bytes]) -> int:
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
                self._placed(tag.name, tag.bare, None)  # for what its content is
            else:
                out.append(self._placed(tag.name, tag.taken(), self._edits.get(tag.name)))
        return end

    # --- what they share

    def _hold(self, most: int, buffer: bytes, start: int, seen: int, out: list[bytes]) -> int:
        """Keep the last `most` bytes, in which an end may have begun; those before `seen` are settled."""
        keep = max(seen, len(buffer) - most)
        out.append(buffer[start:keep])
        self._held = buffer[keep:]
        return len(buffer)

    def _placed(self, name: bytes, tag: bytes, edit: Edit | None) -> bytes:
        """What takes the place of a complete tag: the very same object where nothing does."""
        content = name in _CONTENT
        if tag[1] == _SLASH:
            self._foreign -= name in FOREIGN and self._foreign > 0 and not self._spent()
            return tag
        if not (content or edit) or self._spent():
            return tag
        if content:
            self._enter(name, closed=tag.endswith(b"/>"))
        if edit is None:
            return tag
        edited = edit(tag)
        self._growth += len(edited) - len(tag)
        return edited

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
        elif name == _SCRIPT:
            self._end, self._mode = _PLAIN, self._in_script
        elif name == _PLAINTEXT:
            self._mode = self._pass
        else:
            self._end, self._mode = _RAW[name], self._in_raw


def stops_at(names: Iterable[bytes]) -> re.Pattern[bytes]:
    """Passes over what is no start tag of these names and changes nothing; then matches such a tag, if complete."""
    letters: dict[bytes, list[bytes]] = {}
    for name in sorted(_CONTENT.union(names)):
        letters.setdefault(name[:1], []).append(re.escape(name[1:]))
    # By first letter, which the engine tells from the next character alone.
    stops = b"|".join(b"[%b%b](?i:%b)" % (letter, letter.upper(), b"|".join(rest)) for letter, rest in letters.items())
    return re.compile(
        rb"""(?: [^<]*+
          (?: <+ (?=[^a-zA-Z/!?])
            | < (?: / (?!(?i:svg|math)[%(b)b/>]) (?: [a-zA-Z][^>"'=]*+> | %(name)b %(rest)b> | [^a-zA-Z>][^>]*+> | > )
                  | (?!(?:%(stops)b)[%(b)b/>]) %(name)b (?: > | %(rest)b> )
                  | !-- (?: -?> | (?:[^-]++|-(?!-!?>))*+ --!?> )
                  | ! (?!--|\[CDATA\[) [^>]*+>
                  | \?[^>]*+> )
        ))* [^<]*+
        (?: (</?(%(name)b)(?:>|%(rest)b>)) )?"""
        % {b"stops": stops, b"b": BLANK, b"name": NAME, b"rest": ATTRIBUTES},
        re.VERBOSE,
    )
