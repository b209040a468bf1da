"""· Which attributes of an HTML tag hold URLs, and how does the tag read once these are under the prefix?

kube-apiserver's table, and what it forgot: srcset, track, SVG links, meta refresh.  An edit is as small as
can be: the prefix goes in before what the page's author wrote (in double quotes, as kube-apiserver has it),
and all other bytes stay.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from bastion.message.mount import Mount, depth, is_placed, rewrite_url, with_base
from bastion.message.page.grammar import ATTRIBUTE, BLANK
from bastion.message.page.tags import Usual
from bastion.message.rewrite import rewrite_refresh

MAX_ATTRIBUTES = 16  # rewritten in a tag
MAX_REFERENCES = 16  # decoded in a URL
MAX_CANDIDATES = 64  # rewritten in a tag's srcset
MAX_ORIGINS = 64  # remembered of a page

_URLS = {
    "a area": "href",
    "link": "href",
    "applet": "codebase",
    "audio embed script source track": "src",
    "blockquote del ins q": "cite",
    "body": "background",
    "button": "formaction",
    "command": "icon",
    "form": "action",
    "frame iframe": "longdesc src",
    "head": "profile",
    "html": "manifest",
    "img": "longdesc src usemap",
    "input": "src usemap formaction",
    "object": "classid codebase data usemap",
    "video": "poster src",
    "use image": "href xlink:href",
    "a": "xlink:href",
}
_CANDIDATES = {"img source": "srcset", "link": "imagesrcset"}
_WORDS = {"a area": "ping"}
_DOUBLE, _UNQUOTED = 2, 4  # the groups of a value in double quotes, and without
_SPACE = b"\t\n\f\r "
_C0_AND_SPACE = bytes(range(0x21))
_DROPPED = b"\t\n\r"  # a browser reads URLs without these
# What needs no closer look, in whatever quotes: a path on this host with nothing in it that could mean
# another place; a reference that climbs by its first segments (a group) alone, or of a scheme that is left
# alone whatever follows; the origin of a URL.  Atomic groups: possessive repeats of groups are right from
# Python 3.11.5 on (gh-106052).
_PLAIN = rb"""[^\x00-\x20\x7f"'<>=`/\\%&?\#]"""
_ESCAPE = rb"%(?!2[eEfF]|5[cC])"
_REST = rb"""(?:[?\#][^\x00-\x20"'<>`]*+)?"""
PATH = rb"(?=/)(?>(?:(?:/(?![/.])|%b)%b*+)+)%b" % (_ESCAPE, _PLAIN, _REST)
_NO_PLACE = rb"""(?:mailto|tel|data|javascript):[^\x00-\x20"'<>`]*+"""
_RELATIVE = rb"""(?!/)(?>(?:[^\x00-\x20\x7f"'<>=`\\:%%&?\#.]++|\.(?!\.)|%b)*)%b""" % (_ESCAPE, _REST)
REFERENCE = rb"((?:\.\./)*+)(?:%b|%b)" % (_NO_PLACE, _RELATIVE)
_CLEAR = re.compile(rb"(%b)|%b" % (PATH, REFERENCE))
ORIGIN = rb"https?://[a-z0-9.:-]{1,100}+(?=/)"
_ORIGIN = re.compile(ORIGIN)
# A candidate: what is before its URL, the URL, and the descriptors up to the next comma outside of
# parentheses.
_CANDIDATE = re.compile(
    rb"([%(b)b,]*+)([^%(b)b]*+)((?:(?<!,)[^,(]*+(?:\([^)]*+\)?[^,(]*+)*+)?)" % {b"b": BLANK}
)
_WORD = re.compile(rb"([%(b)b]*+)([^%(b)b]*+)" % {b"b": BLANK})
_REFRESH = re.compile(
    rb"""http-equiv[%(b)b]*+=[%(b)b]*+["']?[%(b)b]*+refresh[%(b)b"'/>]""" % {b"b": BLANK}, re.IGNORECASE
)
_CHARSET = re.compile(rb"""charset[%(b)b]*+=[%(b)b"']*+([^%(b)b"'/;>]++)""" % {b"b": BLANK}, re.IGNORECASE)
_ESCAPES = {b"&": b"&amp;", b'"': b"&#34;", b"'": b"&#39;", b"<": b"&lt;", b">": b"&gt;", b" ": b"&#32;"}
_SPECIAL = re.compile(rb"[&\"'<> ]")


class TagEditor:
    """Edits the tags of one page; `base` in it changes where the others point."""

    def __init__(self, mount: Mount) -> None:
        self._prefix = _escape(mount.prefix)
        self._based = False
        self._candidates = 0  # that may still be rewritten in this tag
        self._elsewhere: set[bytes] = set()  # origins that were seen, and are not the application's
        self._start_from(replace(mount, document=True))

    @property
    def usual(self) -> Usual:
        plain = self._own and self._prefix == self._mount.prefix
        return Usual(self._prefix if plain else b"", self._depth, self._elsewhere)

    def edits(self) -> dict[bytes, Callable[[bytes], bytes]]:
        """By lower-case tag name: what gives the tag as the client is to have it, of a complete one as it
        came.
        """
        return {name: partial(self._edit, kind) for name, kind in _KINDS.items()}

    def _edit(self, kind: _Kind, tag: bytes) -> bytes:
        if not (b"/" in tag or b"&" in tag or b"%" in tag or b".." in tag or self._depth < 0):
            return tag  # nothing in it names a place that moved
        if not self._prefix and b":" not in tag and b"&" not in tag:
            return tag  # on a host of its own only whole URLs change
        match = kind.find(tag, kind.start)
        self._candidates = MAX_CANDIDATES
        pieces: list[bytes] = []
        done = count = 0
        while match is not None and count < MAX_ATTRIBUTES:
            count += 1
            group = match.lastindex or 0
            start, end = match.span(group)
            raw = match[group]
            quote = group < _UNQUOTED
            placed = kind.rules[match[1].lower()](self, raw)
            if placed != raw:
                if group != _DOUBLE:
                    placed = placed.replace(b'"', b"&#34;")
                pieces += (tag[done : start - quote], b'"', placed, b'"')
                done = end + quote
            if end + 2 >= len(tag):
                break  # a quote and `>`
            match = kind.find(tag, end + quote)
        if not done:
            return tag
        pieces.append(tag[done:])
        return b"".join(pieces)

    def base(self, raw: bytes) -> bytes:
        """The first base counts, and only for what comes after it."""
        placed = self.url(raw)
        if not self._based:
            self._based = True
            base = _read(raw)
            self._start_from(with_base(self._mount, b"\\" if base is None else base))
        return placed

    def _start_from(self, mount: Mount) -> None:
        """What references are relative to, and how far (in bytes of `../`) they may climb there."""
        self._mount = mount
        path = mount.request_path
        self._own = path is not None
        self._depth = 1 << 30 if path is None else 3 * depth(path)

    def url(self, raw: bytes) -> bytes:
        """An attribute's value as it stands in the page, its URL under the prefix; what cannot be judged
        stays as it is.
        """
        mount = self._mount
        clear = _CLEAR.fullmatch(raw)
        if clear is not None:
            if clear.lastindex == 2:
                if clear.end(2) <= self._depth:
                    return raw
            elif self._own:
                return raw if is_placed(mount.prefix, raw) else self._prefix + raw
        origin = _ORIGIN.match(raw)
        if origin is not None and self._is_elsewhere(origin[0]):
            return raw
        # Only what is before the query decides, and only that is ever written anew.
        cut = raw.find(b"?")
        head, tail = (raw, b"") if cut < 0 else (raw[:cut], raw[cut:])
        text = _read(head)
        placed = None if text is None else rewrite_url(mount, text)
        if text is None or placed is None or placed == text:
            return raw
        indent = len(raw) - len(raw.lstrip(_SPACE))
        if placed == mount.prefix + text and raw[indent : indent + 1] == b"/":
            return raw[:indent] + self._prefix + raw[indent:]
        if b"&" in head and not text.isascii():
            return raw  # a reference's letter would need the page's charset
        return _escape(placed) + tail

    def _is_elsewhere(self, origin: bytes) -> bool:
        """Whether URLs that begin like this are another host's, whatever follows."""
        if origin in self._elsewhere:
            return True
        root = origin + b"/"
        if len(self._elsewhere) == MAX_ORIGINS or rewrite_url(self._mount, root) != root:
            return False
        self._elsewhere.add(origin)
        return True

    def refresh(self, raw: bytes) -> bytes:
        return rewrite_refresh(raw, self.url) or raw

    def candidates(self, raw: bytes) -> bytes:
        return self._each(_CANDIDATE, raw)

    def words(self, raw: bytes) -> bytes:
        return self._each(_WORD, raw)

    def _each(self, item: re.Pattern[bytes], raw: bytes) -> bytes:
        pieces = []
        done = 0
        for match in islice(item.finditer(raw), self._candidates):
            self._candidates -= 1
            start, end = match.span(2)
            url = raw[start:end].rstrip(b",") if item is _CANDIDATE else raw[start:end]
            pieces += [raw[done:start], self.url(url), raw[start + len(url) : end]]
            done = end
        return b"".join([*pieces, raw[done:]])


def names_refresh(tag: bytes) -> bool:
    """Whether a complete meta tag is `http-equiv=refresh`."""
    return _REFRESH.search(tag) is not None


def charset_named(tag: bytes) -> bytes | None:
    """The charset that a complete meta tag names."""
    match = _CHARSET.search(tag)
    return match and match[1]


def _read(raw: bytes) -> bytes | None:
    """A URL as a browser reads it from a page: references decoded, what is around it and in it dropped.

    A byte stands for itself, whatever the charset.  None where a reference is no single byte, or there are
    many.
    """
    text = raw
    if b"&" in raw:
        if raw.count(b"&") > MAX_REFERENCES:
            return None
        try:
            text = html.unescape(raw.decode("latin-1")).encode("latin-1")
        except ValueError:
            return None
    return text.strip(_C0_AND_SPACE).translate(None, _DROPPED)


def _escape(value: bytes) -> bytes:
    return _SPECIAL.sub(lambda match: _ESCAPES[match[0]], value)


Rule = Callable[[TagEditor, bytes], bytes]
Match = Callable[[bytes, int], re.Match[bytes] | None]


@dataclass(frozen=True, slots=True)
class _Kind:
    """Of one tag: its rules by attribute, and what finds the next of these from a position on, behind the
    name first.
    """

    rules: dict[bytes, Rule]
    find: Match
    start: int


def _kinds() -> dict[bytes, _Kind]:
    table: dict[bytes, dict[bytes, Rule]] = {}
    for rows, rule in (
        (_URLS, TagEditor.url),
        (_CANDIDATES, TagEditor.candidates),
        (_WORDS, TagEditor.words),
    ):
        for names, attributes in rows.items():
            for name in names.encode().split():
                table.setdefault(name, {}).update(dict.fromkeys(attributes.encode().split(), rule))
    table[b"base"] = {b"href": TagEditor.base}
    table[b"meta"] = {b"content": TagEditor.refresh}
    return {name: _kind(name, rules) for name, rules in table.items()}


def _kind(name: bytes, rules: dict[bytes, Rule]) -> _Kind:
    """`find` has the groups: the attribute's name, and its value in double quotes, in single ones, or
    without.
    """
    words = {b"b": BLANK, b"any": ATTRIBUTE, b"names": b"|".join(map(re.escape, rules))}
    others = rb"(?:[%(b)b/]*+ (?!(?i:%(names)b)[%(b)b]*+=) %(any)b)* [%(b)b/]*+"
    find = (
        others
        + rb"""((?i:%(names)b)) [%(b)b]*+=[%(b)b]*+
               (?: "([^"]*+)" | '([^']*+)' | ([^%(b)b"'>][^%(b)b>]*+) )"""
    )
    return _Kind(rules, re.compile(find % words, re.VERBOSE).match, 1 + len(name))


_KINDS = _kinds()
NAMES = frozenset(_KINDS)
ATTRIBUTES = frozenset(attribute for kind in _KINDS.values() for attribute in kind.rules)
