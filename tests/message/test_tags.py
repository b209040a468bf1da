"""Are start tags told from all else, in whatever pieces a page comes?"""

from __future__ import annotations

from typing import Any

import pytest
import turbohtml
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.message.page.stops import stops_at
from bastion.message.page.tags import MAX_EVENTS, MAX_GROWTH, MAX_TAG, TagScanner
from tests.present import present

NAMES = [b"a", b"b", b"img", b"script", b"title", b"iframe", b"svg"]
STOPS = stops_at(NAMES)


def seen(*pieces: Any) -> Any:
    """The start tags of interest, in order; what goes in comes out."""
    found = []

    def note(tag: Any) -> Any:
        found.append(tag)
        return tag

    scanner = TagScanner(dict.fromkeys(NAMES, note), STOPS)
    assert b"".join(done for piece in pieces for done in scanner.feed(piece)) + scanner.stop() == b"".join(
        pieces
    )
    return found


def in_bytes(page: Any) -> Any:
    return [page[i : i + 1] for i in range(len(page))]


A = b"<a href=/x>"
PAGES = [
    (b"", []),
    (b"a < b <a> c", [b"<a>"]),
    (b"<A\nHREF='>'>", [b"<A\nHREF='>'>"]),
    (b"<a b=\">\" c='>' d=>e", [b"<a b=\">\" c='>' d=>"]),
    (b'<a ="b>', [b'<a ="b>']),  # a name may begin with `=`
    (b'<a b"c>', [b'<a b"c>']),
    (b'<a b=c"d>', [b'<a b=c"d>']),
    (b"<a/=b><a / =b>", [b"<a/=b>", b"<a / =b>"]),
    (b"<a b = \"c\"d='e'f>", [b"<a b = \"c\"d='e'f>"]),
    (b"<a<b>", []),  # the name is `a<b`
    (b"<<a>>", [b"<a>"]),
    (b"<abbr><a-b><ab><\x00a>", []),
    (b"</a><a b=</a>", [b"<a b=</a>"]),
    (b'<p title="<a>"><a>', [b"<a>"]),
    (b"<p title='<a>' x=\"<a>\"><a>", [b"<a>"]),
    (b'</p title="<a>"><a>', [b"<a>"]),
    (b"<a href=/x", []),
    (b'<a href="/x><b>', []),
    # comments, and what is read as one
    (b"<!--" + A + b"-->" + A, [A]),
    (b"<!-->" + A, [A]),
    (b"<!--->" + A, [A]),
    (b"<!--!>" + A + b"--!>" + A, [A]),
    (b"<!---!>" + A + b"-->", []),
    (b"<!----!>" + A, [A]),
    (b"<!-- - -- " + A, []),
    (b"<!->" + A, [A]),
    (b'<!DOCTYPE html "<a>' + A, [A]),
    (b"<?php echo '<a>'; ?>" + A, [A]),
    (b"</ <a>" + A + b"</>" + A, [A, A]),
    (b"<![CDATA[ " + A + b" ]]>" + A, [A]),
    (b"<svg><![CDATA[ " + A + A + b" ]]>" + A + b"</svg><![CDATA[ " + A + A, [b"<svg>", A, A]),
    (b"<svg/><![CDATA[ > " + A, [b"<svg/>", A]),
    # elements of text
    (b"<title>" + A + b"</title>" + A, [b"<title>", A]),
    (b"<style>" + A + b"</styles></ style></STYLE\n>" + A, [A]),
    (b"<textarea>" + A + b"</title></textarea/>" + A, [A]),
    (b"<iframe>" + A + b"</iframe>" + A + b"<xmp>" + A + b"</xmp>", [b"<iframe>", A]),
    (b"<noembed>" + A + b"</noembed><noframes>" + A, []),
    (b"<noscript>" + A + b"</noscript>", [A]),
    (b"<plaintext>" + A + b"</plaintext>" + A, []),
    (b"<script>'" + A + b"'</script>" + A, [b"<script>", A]),
    (b"<script><!--<script>" + A + b"</script>" + A + b"--></script>" + A, [b"<script>", A]),
    (b"<script><!--<script>" + A + b"</script></script>" + A, [b"<script>", A]),
    (b"<script><!--<script>" + A + b"--></script>" + A, [b"<script>", A]),
    (b"<script><!--<scripts>" + A + b"</script>" + A, [b"<script>", A]),
    (b"<script><!--><script>" + A + b"</script>" + A, [b"<script>", A]),
    (b"<script>--><!</script x='>'>" + A, [b"<script>", A]),
    (b"<script/>" + A + b"</script>" + A, [b"<script/>", A]),
    (b"<svg><script/><title />" + A + b"</svg>" + A, [b"<svg>", b"<script/>", b"<title />", A, A]),
]


@pytest.mark.parametrize(("page", "tags"), PAGES)
def test_only_start_tags_are_start_tags(page: Any, tags: Any) -> None:
    assert seen(page) == seen(*in_bytes(page)) == tags
    for cut in range(len(page)):
        assert seen(page[:cut], page[cut:]) == tags


def test_what_cannot_be_a_tag_is_not_held() -> None:
    scanner = TagScanner({}, STOPS)
    for piece in (b"some text ", b"<p>more</p>", b"<script>", b"var a;" * 10):
        assert len(b"".join(scanner.feed(piece))) >= len(piece) - 10
    assert scanner.stop() == b"ar a;var a;"[-10:]


def grown(page: Any, size: Any) -> Any:
    scanner = TagScanner({b"a": lambda tag: tag + b"!" * size}, STOPS)
    return (
        b"".join(done for i in range(0, len(page), 7000) for done in scanner.feed(page[i : i + 7000]))
        + scanner.stop()
    )


def test_a_tag_too_long_passes_and_those_after_it_are_seen() -> None:
    for fill in (b"b " * MAX_TAG, b'b="' + b"x" * MAX_TAG + b'"', b"b=" + b"x" * MAX_TAG):
        page = b"<a " + fill + b"><script " + fill + b">" + A + b"</script>" + A
        assert seen(page) == seen(*(page[i : i + 9999] for i in range(0, len(page), 9999))) == [A]
    exact = b"<a " + b"b" * (MAX_TAG - 4) + b">"
    assert seen(exact) == seen(*(exact[i : i + 9999] for i in range(0, len(exact), 9999))) == [exact]


def test_editing_stops_after_so_many_tags() -> None:
    page = b"<a>" * (MAX_EVENTS + 100)
    assert grown(page, 1) == b"<a>!" * MAX_EVENTS + b"<a>" * 100


def test_editing_stops_where_a_page_has_grown_too_much() -> None:
    size = 1 << 17
    edited = MAX_GROWTH // size + 1  # the one that goes beyond is the last
    assert grown(b"<a>" * 100, size) == (b"<a>" + b"!" * size) * edited + b"<a>" * (100 - edited)


PIECES = [
    b"<",
    b">",
    b"/",
    b"!",
    b"-",
    b"--",
    b"-->",
    b"<!--",
    b"--!>",
    b"a",
    b"<a ",
    A,
    b'"',
    b"'",
    b"=",
    b" ",
    b"\n",
    b"<?",
    b"</",
    b"</a>",
    b"x",
]
PIECES += [
    b"<script>",
    b"</script>",
    b"<script",
    b"</script",
    b"<SCRIPT ",
    b"<title>",
    b"</title>",
    b"<style>",
    b"</style ",
    b"<iframe>",
    b"</iframe>",
]
PIECES += [
    b"<textarea>",
    b"</textarea>",
    b"<!DOCTYPE",
    b"<!",
    b"<![CDATA[",
    b"]]>",
    b'<p a="',
    b"<img src='/y'/>",
    b"\x00",
    b"\xe9",
    b"\x0b",
    b"<a<",
]
FOREIGN = [b"<svg>", b"</svg>", b"<svg/>", b"<math ", b"</math>", b"/>", b"<noscript>", b"</noscript>"]


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.sampled_from(PIECES + FOREIGN), max_size=25).map(b"".join),
    st.lists(st.integers(1, 12), max_size=40),
)
def test_pieces_of_any_size_show_the_same_tags(page: Any, sizes: Any) -> None:
    whole = seen(page)
    assert seen(*in_bytes(page)) == whole
    pieces = []
    for size in sizes:
        pieces.append(page[:size])
        page = page[size:]
    assert seen(*pieces, page) == whole


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=25).map(b"".join))
def test_another_tokenizer_sees_the_same_tags(page: Any) -> None:
    """It reads no CDATA, and the content of noscript as text: both are a tree builder's to say."""
    tokens = turbohtml.tokenize(page.decode("latin-1"), capture_source=True, resolve_references=False)
    theirs = [
        present(token.source).encode("latin-1")
        for token in tokens
        if token.type == 1 and present(token.tag).encode("latin-1", "replace") in NAMES
    ]
    assert seen(page) == theirs
