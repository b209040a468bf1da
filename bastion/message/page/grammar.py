"""· How is a tag written, and where does it end?

WHATWG HTML 13.2.5.6 to 13.2.5.40, over bytes.  Once as an expression, for tags that are there from `<` to
`>`; and once state by state, for a tag that comes in pieces: no byte is looked at twice, however small they
are.
"""

from __future__ import annotations

import re

BLANK = rb"\t\n\f\r "
NAME = rb"[a-zA-Z][^%b/>]*+" % BLANK
# A value, certainly complete: what follows it is there.
_VALUE = rb"""(?: "[^"]*+" | '[^']*+' | [^%(b)b"'>][^%(b)b>]*+(?=[%(b)b>]) | (?=>) )""" % {b"b": BLANK}
# An attribute, complete.  The first character of its name may be `=`.
ATTRIBUTE = rb"[^%(b)b/>][^%(b)b/>=]*+ (?: [%(b)b]*+=[%(b)b]*+ %(value)b | (?![%(b)b]*+(?:=|\Z)) )" % {
    b"b": BLANK,
    b"value": _VALUE,
}
ATTRIBUTES = rb"(?:[%(b)b/]*+ %(attribute)b)* [%(b)b/]*+" % {b"b": BLANK, b"attribute": ATTRIBUTE}
# All three are written for re.VERBOSE.

_LONGEST_NAME = 32  # bytes kept of a tag's name; none of interest is as long


class OpenTag:
    """A tag from its `<` on, walked as its bytes come."""

    def __init__(self) -> None:
        self.size = 0
        self.ended = False
        self.name = b""
        self._opening = b""
        self._bytes = bytearray()
        self._state = "open"

    def walk(self, buffer: bytes, start: int) -> int:
        """Where in the buffer the tag ends, or the buffer does."""
        position = start
        while position < len(buffer) and not self.ended:
            skip, then, otherwise = _STATES[self._state]
            match = skip.match(buffer, position)
            assert match is not None  # it may match nothing
            position = match.end()
            if self._state == "open":
                self._opening = match[0]
            elif self._state == "name":
                self.name = (self.name + match[0].lower())[:_LONGEST_NAME]
            if position < len(buffer):
                state = then.get(buffer[position], "")
                position += state != "" or otherwise == "attribute"
                self._state = state = state or otherwise
                self.ended = state == "end"
        self._bytes += buffer[start:position]
        self.size += position - start
        return position

    @property
    def bare(self) -> bytes:
        """The tag without its attributes."""
        return self._opening + self.name + b">"

    def taken(self) -> bytes:
        """The bytes that came since this was last asked."""
        taken, self._bytes = bytes(self._bytes), bytearray()
        return taken


def _state(skip: bytes, otherwise: str, **then: str) -> tuple[re.Pattern[bytes], dict[int, str], str]:
    codes = {"slash": b"/", "equals": b"=", "gt": b">", "double": b'"', "single": b"'", "blank": b"\t\n\f\r "}
    return (
        re.compile(skip, re.VERBOSE),
        {code: state for key, state in then.items() for code in codes[key]},
        otherwise,
    )


# State: what is passed over there, and to which state the character behind it leads; one not named leads to
# the second, and is looked at again there, but that it begins an attribute whatever it is.
_STATES = {
    "open": _state(rb"</?", "name"),
    "name": _state(rb"[^%b/>]*+" % BLANK, "name", blank="before", slash="before", gt="end"),
    "before": _state(ATTRIBUTES, "attribute", gt="end"),
    "attribute": _state(
        rb"[^%b/>=]*+" % BLANK, "attribute", blank="after", slash="before", equals="value", gt="end"
    ),
    "after": _state(rb"[%b]*+" % BLANK, "before", slash="before", equals="value", gt="end"),
    "value": _state(rb"[%b]*+" % BLANK, "unquoted", double="double", single="single", gt="end"),
    "double": _state(rb'[^"]*+', "double", double="before"),
    "single": _state(rb"[^']*+", "single", single="before"),
    "unquoted": _state(rb"[^%b>]*+" % BLANK, "unquoted", blank="before", gt="end"),
}
