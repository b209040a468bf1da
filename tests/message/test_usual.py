"""Do usual tags, which take the short way, read as the long way would have them?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.message.mount import Mount
from bastion.message.page.attributes import NAMES, TagEditor
from bastion.message.page.html import HtmlRewriter
from bastion.message.page.stops import stops_at
from bastion.message.page.tags import MAX_EVENTS, MAX_GROWTH, TagScanner
from bastion.message.usual import USUAL
from tests.message.test_rewrite import BACKEND, P
from tests.present import present

LONG_WAY, SHORT_WAY = stops_at(NAMES), stops_at(NAMES, USUAL)
PATHS = [b"/r/s", b"/", b"", b"/a/./b", b"/a/b/c/d/", b"/%2e/x"]
MOUNTS = [Mount(P, frozenset((BACKEND,)), path, True, b"bastion.test") for path in PATHS]
MOUNTS += [Mount(b"/p'\"<&>", frozenset(), b"/r/s", True), Mount(b"/p", frozenset((b"h",)), b"/r/s", False)]


def long_way(page: Any, mount: Any) -> Any:
    scanner = TagScanner(TagEditor(mount).edits(), LONG_WAY)
    return b"".join(scanner.feed(page)) + scanner.stop()


def rewritten(mount: Any, *pieces: Any) -> Any:
    rewriter = HtmlRewriter(mount)
    return b"".join(done for piece in pieces for done in rewriter.feed(piece)) + rewriter.finish()


@pytest.mark.parametrize(
    "tag",
    [
        b'<a href="/x/y.html?a=1&b#c">',
        b"<a class=b id='c' href='/x' download>",
        b"<img alt=x src=/x/y.png />",
        b'<a\n  class="b"\n  href="../x"\n>',
        b'<link rel="next" href="x%20y">',
        b'<form method="post" action="/">',
        b'<input type="text" name="/x">',
        b'<a href="https://example.test/x">',
        b'<a href="%b/x">' % P,
        b"<a href=mailto:a@b>",
        b"<use href=#i />",
    ],
)
def test_what_is_usual(tag: Any) -> None:
    match = SHORT_WAY.match(tag)
    assert present(match).end() == len(tag)
    assert present(match).lastindex is not None and present(match).lastindex <= 6  # type: ignore[operator]


VALUES = rb"""
    /x /x/y.html / // //e.test/x /.x /x/../y /x?y=1&b /x?y&amp;z#f #f ?q=/../ x ../x ../../../x ../../.. ..
    ./x a..b/c .../x a/../../../../y ..%2f..%2fx %2e%2e/%2e%2e/%2e%2e/x /%20x %20x /a%2E /a/%2e%2e/x /% /%5c
    /a%5C..%5cb /a%2fb /x\y /p /p/x /px https://e.test https://e.test/x https://e.test?x http://e.test:80/x
    https://e.test.&#47;x https://bastion.test/y http://10.0.0.5:8080/z http://127.1/x https:///x
    https://e.test:x/ javascript:f(1) mailto:a@b data:a,b=c ../mailto:x &#47;x /&eacute; x'y /x'y = /x= x>y
    /x>y x<y /x<y x/ /x/""".split()
VALUES += [
    b"",
    P,
    P + b"/x",
    P + b"x",
    b"https://bastion.test" + P,
    b"/\xe9",
    b"/a b",
    b" /x",
    b"/x ",
    b"/x\n",
    b'x"y',
    b"java\tscript:x",
]
NAME = st.sampled_from([b"href", b"src", b"action"]) | st.sampled_from(
    b"HREF class id srcset ping title data-href disabled xlink:href @click :x usemap =".split()
)
ATTRIBUTE = st.builds(
    lambda name, form, value: name + form % value if b"%" in form else name,
    NAME,
    st.sampled_from([b'="%b"'] * 4 + [b"='%b'", b"=%b", b' = "%b"', b"= %b", b" ='%b'", b""]),
    st.sampled_from(VALUES),
)
BETWEEN = st.sampled_from([b" "] * 6 + [b"  ", b"\n", b"/", b"", b" / "])
ELEMENT = st.sampled_from([b"a", b"link", b"img", b"form"]) | st.sampled_from(
    b"A area div svg span input script base style p button use my-el h1 math iframe aX title".split()
)
TAG = st.builds(
    lambda name, attributes, end: b"<" + name + b"".join(attributes) + end,
    ELEMENT,
    st.lists(st.builds(bytes.__add__, BETWEEN, ATTRIBUTE), max_size=3),
    st.sampled_from([b">"] * 5 + [b"/>", b" />", b" >", b"", b"<", b'"']),
)
TEXT = st.sampled_from(
    b"""text < << > " ' </ <!-- --> <!- <!-> <! <?x <![CDATA[ ]]> ="/x" </script> </title> </style> </svg>"""
    b""" </SVG > </a> </span x="/x">\n    <!--> --!> \x00 &amp; </iframe>""".split(b" ")
)
PAGE = st.lists(TAG | TAG | TEXT, max_size=12).map(b"".join)


@settings(max_examples=600, deadline=None)
@given(PAGE, st.sampled_from(MOUNTS))
def test_the_short_way_leads_where_the_long_one_does(page: Any, mount: Any) -> None:
    assert rewritten(mount, page) == long_way(page, mount)


@settings(max_examples=150, deadline=None)
@given(PAGE, st.sampled_from(MOUNTS))
def test_a_page_reads_the_same_wherever_it_is_cut(page: Any, mount: Any) -> None:
    whole = rewritten(mount, page)
    for cut in range(len(page) + 1):
        assert rewritten(mount, page[:cut], page[cut:]) == whole
    assert rewritten(mount, *(page[i : i + 1] for i in range(len(page)))) == whole


@settings(max_examples=300, deadline=None)
@given(PAGE)
def test_without_a_prefix_bytes_are_the_same(page: Any) -> None:
    assert rewritten(Mount(b"", frozenset((BACKEND,)), b"/r/s", True, b"bastion.test"), page) == page


def cut(page: Any, size: Any) -> Any:
    return (page[i : i + size] for i in range(0, len(page), size))


@pytest.mark.parametrize(
    ("tag", "placed"),
    [
        (b'<a href="/x">', b'<a href="P/x">'),
        (b"<a href='/x'>", b'<a href="P/x">'),
        (b"<a href=/x>", b'<a href="P/x">'),
    ],
)
def test_where_usual_tags_have_made_a_page_grow_too_much_editing_stops(tag: Any, placed: Any) -> None:
    mount = Mount(b"/" + b"p" * 999, frozenset(), b"/r/s", True)
    placed = placed.replace(b"P", mount.prefix)
    edited = MAX_GROWTH // (len(placed) - len(tag)) + 1  # the one that goes beyond is the last
    page, expected = tag * (edited + 100), placed * edited + tag * 100
    assert rewritten(mount, page) == rewritten(mount, *cut(page, 99)) == expected


@pytest.mark.parametrize("tag", [b"<a>", b"<a href=x>", b'<a href="https://example.test/x">', b"<base>"])
def test_usual_tags_are_counted_like_others(tag: Any) -> None:
    mount, link = MOUNTS[0], b'<a href="/x">'
    expected = tag * (MAX_EVENTS - 3) + (b'<a href="%b/x">' % P) * 3 + link * 9
    assert rewritten(mount, *cut(tag * (MAX_EVENTS - 3) + link * 12, 16384)) == expected
