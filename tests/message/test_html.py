"""Which pages are rewritten, and how do they read then?"""

from __future__ import annotations

import gzip
import random
import zlib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.message.mount import Mount
from bastion.message.page.html import MAX_EDITED, HtmlRewriter, plan
from bastion.message.page.tags import STEP, WORK
from tests.message.test_rewrite import BACKEND, MOUNT, P
from tests.present import present

NOWHERE = Mount(b"", frozenset((BACKEND,)), b"/r/s", True, b"bastion.test")


def rewritten(page: Any, mount: Any = MOUNT, charset: Any = None) -> Any:
    """The page in one piece; in single bytes it is the same."""
    once, slowly = HtmlRewriter(mount, charset=charset), HtmlRewriter(mount, charset=charset)
    result = b"".join(once.feed(page)) + once.finish()
    if len(page) < 5000:
        assert (
            b"".join(done for i in range(len(page)) for done in slowly.feed(page[i : i + 1]))
            + slowly.finish()
            == result
        )
    return result


URLS = """
    a.href area.href base.href link.href applet.codebase audio.src embed.src script.src source.src track.src
    blockquote.cite del.cite ins.cite q.cite body.background button.formaction command.icon form.action
    frame.longdesc frame.src iframe.longdesc iframe.src head.profile html.manifest img.longdesc img.src
    img.usemap input.src input.usemap input.formaction object.classid object.codebase object.data
    object.usemap video.poster video.src img.srcset source.srcset link.imagesrcset a.ping a.xlink:href
    use.href use.xlink:href image.href image.xlink:href
"""


@pytest.mark.parametrize("place", URLS.split())
def test_every_attribute_that_holds_a_url(place: Any) -> None:
    tag, _, attribute = place.encode().partition(b".")
    assert rewritten(b'<%b %b="/x">' % (tag, attribute)) == b'<%b %b="%b/x">' % (tag, attribute, P)


PAGES = [
    # as it stands in the page, but for what was put in
    (b"<a href='/x'>t</a>", b'<a href="P/x">t</a>'),
    (b"<a href='/x\"y'>", b'<a href="P/x&#34;y">'),
    (b"<a href=/x>t</a>", b'<a href="P/x">t</a>'),
    (b"<a href=/x/>", b'<a href="P/x/">'),
    (b'<A HREF="/x">t</A>', b'<A HREF="P/x">t</A>'),
    (b'<a   href = "/x"  class=b >t</a>', b'<a   href = "P/x"  class=b >t</a>'),
    (b"<a class='b' href=\t'/x'id=c>", b"<a class='b' href=\t\"P/x\"id=c>"),
    (b'<img src="/x"/>', b'<img src="P/x"/>'),
    (b'<a href="/x?a=1&b=2&amp;c">', b'<a href="P/x?a=1&b=2&amp;c">'),
    (b'<a href="/a%2Fb">', b'<a href="P/a%2Fb">'),
    (b'<a href=" \n/x\t">', b'<a href=" \nP/x\t">'),
    (b'<a href="/\xe9\xff">\xe9', b'<a href="P/\xe9\xff">\xe9'),
    (b'<a href="/x" href="/y">', b'<a href="P/x" href="P/y">'),
    (
        b'<img longdesc="/y" src="/x" alt="/z" usemap="/z">',
        b'<img longdesc="P/y" src="P/x" alt="/z" usemap="P/z">',
    ),
    (b'<a title=">" href="/x">', b'<a title=">" href="P/x">'),
    # what needs more than the prefix put in
    (b'<a href="http://10.0.0.5:8080/x?y">', b'<a href="P/x?y">'),
    (b"<a href=http://10.0.0.5:8080>", b'<a href="P/">'),
    (b'<a href="https://bastion.test/x">', b'<a href="https://bastion.testP/x">'),
    (b'<a href="/a/../../x?b">', b'<a href="P/x?b">'),
    (b'<a href="../../x y">', b'<a href="P/x&#32;y">'),
    (b'<a href="http://10.0.0.5:8080/<\'">', b'<a href="P/&lt;&#39;">'),
    # character references
    (b'<a href="&#47;x">', b'<a href="P/x">'),
    (b'<a href="/a&amp;b">', b'<a href="P/a&amp;b">'),
    (b'<a href="&#x2F;caf&eacute;">', None),
    (b'<a href="/caf&eacute;&euro;/x">', None),
    (b'<a href="&#x2f;&#x2f;example.test/">', None),
    (b'<a href="java&#115;cript:x">', None),
    (b'<a href="&#%b;">' % (b"9" * 5000), None),
    (b'<a href="/%b">' % (b"&lt;" * 99), None),
    # lists, and a page that moves on
    (b'<img srcset="/a 1x, /b,/c  2x">', b'<img srcset="P/a 1x, P/b,/c  2x">'),
    (b'<img srcset=" ,/a, b 2w,/c (x,/y) , /d">', b'<img srcset=" ,P/a, b 2w,P/c (x,/y) , P/d">'),
    (b'<source srcset="data:image/png,x 1x">', None),
    (b'<a ping="/a b\t/c">', b'<a ping="P/a b\tP/c">'),
    (b'<meta http-equiv="refresh" content="0; url=/x">', b'<meta http-equiv="refresh" content="0; url=P/x">'),
    (b"<META content='5;/x' HTTP-EQUIV=Refresh>", b'<META content="5;P/x" HTTP-EQUIV=Refresh>'),
    (b'<meta name="refresh" content="0; url=/x">', None),
    (
        b'<svg><use href="/x#i" xlink:href="/x#i"/></svg>',
        b'<svg><use href="P/x#i" xlink:href="P/x#i"/></svg>',
    ),
    # left as it is
    (b'<a href="x/y">t</a><a href="./x"><a href="../x"><a href="?x"><a href="#x"><a href="">', None),
    (b'<a href><a href=><a href=">', None),
    (b'<a href="https://example.test/x"><a href="//example.test/x">', None),
    (b'<a href="javascript:f(1)"><a href="mailto:a@b"><img src="data:image/png;base64,AA==">', None),
    (b'<a href="/\\example.test"><a href="http:/x"><a href="///x"><a href="/..%2fx">', None),
    (b'<a href="P/x"><a href="https://bastion.testP/x">', None),
    (b'<div data-src="/x" href="/y"><p style="background:url(/x)">', None),
    (b'<script>var a = "<a href=\\"/x\\">"; fetch(\'/api\')</script>', None),
    (b'<!-- <a href="/x"> --><title><a href="/x"></title>', None),
    (b"just text /x", None),
    (b"", None),
    (b'<a href="/x"<b><img src="/y"', b'<a href="P/x"<b><img src="/y"'),
    (b'<a href="Pevil">', b'<a href="PPevil">'),
    (b'<noscript><img src="/x"></noscript>', b'<noscript><img src="P/x"></noscript>'),
    (b'<script src="/x.js"></script>', b'<script src="P/x.js"></script>'),
    (b'<!DOCTYPE html><link href="/a.css"><p>t', b'<!DOCTYPE html><link href="P/a.css"><p>t'),
    # a base: what is relative is so to it
    (
        b'<base href="/a/b/"><a href="../../x"><a href="../../../x">',
        b'<base href="P/a/b/"><a href="../../x"><a href="P/x">',
    ),
    (b'<base href="//cdn.test/"><base href="/y"><a href="/x"><a href="../../../x">', None),
    (b"<base target=_top><a href=/x>", b'<base target=_top><a href="P/x">'),
    # two listings and an image, as directory servers write them
    (
        b'<pre><a href="k.log">k</a><a href="/g.log">g</a></pre>',
        b'<pre><a href="k.log">k</a><a href="P/g.log">g</a></pre>',
    ),
    (
        b'<pre><img src="k.jpg"/><img src="/k.jpg"/></pre>',
        b'<pre><img src="k.jpg"/><img src="P/k.jpg"/></pre>',
    ),
    (b'<script src="http://example.test/k.js"/>', None),
    (b'<script src="//10.0.0.5:8080/k.js"/>', b'<script src="P/k.js"/>'),
]


@pytest.mark.parametrize(("page", "expected"), PAGES)
def test_pages(page: Any, expected: Any) -> None:
    page = _with_prefix(page)
    assert rewritten(page) == (page if expected is None else _with_prefix(expected))
    assert rewritten(page, NOWHERE) == page


# of an application that knows nothing of TLS in front of it; `O` is what becomes of its own origin
OWN_HOST = [
    (b'<base href="http://bastion.test/a/">', b'<base href="O/a/">'),
    (b"<form action=http://bastion.test>", b'<form action="O/">'),
    (
        b'<form action="HTTP://Bastion.Test./x?u=http://bastion.test/">',
        b'<form action="O/x?u=http://bastion.test/">',
    ),
    (b"<a href='http&#58;//bastion.test/x'>", b'<a href="O/x">'),
    (b'<a href="http&colon;//bastion.test/x">', b'<a href="O/x">'),
    (b'<a ping="http://bastion.test/a http://bastion.test/b">', b'<a ping="O/a O/b">'),
    (
        b'<img srcset="http://bastion.test/a 1x, http://e.test/b 2x">',
        b'<img srcset="O/a 1x, http://e.test/b 2x">',
    ),
    (
        b'<meta http-equiv=refresh content="0;url=http://bastion.test/x">',
        b'<meta http-equiv=refresh content="0;url=O/x">',
    ),
    (
        b'<link href="http://bastion.test:80/x"><script src="http://bastion.test:443/y">',
        b'<link href="O/x"><script src="O/y">',
    ),
    (b'<a href="http://e.test/x"><a href="http://bastion.test:8080/x">', None),
    (b'<img src="http://e.test/x"><a href="http://e.test/y">', None),
]


@pytest.mark.parametrize(("page", "expected"), OWN_HOST)
def test_over_tls_the_own_host_in_http_is_the_place_the_client_is_at(page: Any, expected: Any) -> None:
    for mount in (MOUNT, NOWHERE):
        assert rewritten(page, mount) == (expected or page).replace(
            b"O/", b"https://bastion.test" + mount.prefix + b"/"
        )
    assert rewritten(page, replace(NOWHERE, secure=False)) == page


OTHERS = [  # `N` is the prefix of another proxied application
    (b'<a href="N/x"><a href=N><a href="N?x#y"><img src=N/x><form action="N/">', None),
    (b"<a href='N/x' class=b><link href=N/x><a HREF='N/&amp;'>", None),
    (b'<img srcset="N/a 1x, /b 2x">', b'<img srcset="N/a 1x, P/b 2x">'),
    (
        b'<a href="https://bastion.testN/x"><a href="http://bastion.testN/x">',
        b'<a href="https://bastion.testN/x"><a href="https://bastion.testN/x">',
    ),
    (b'<a href="Nx/y">', b'<a href="PNx/y">'),
    (b'<a href="N/../../../secrets">', b'<a href="P/api/v1/namespaces/shop/secrets">'),
    (b'<a href="/api/v1/x/..N/x">', b'<a href="P/api/v1N/x">'),
    (
        b'<a href="/api/v1/namespaces/shop/services/web"><a href="/x/N/y">',
        b'<a href="P/api/v1/namespaces/shop/services/web"><a href="P/x/N/y">',
    ),
]
NEIGHBOURS = [
    b"/api/v1/namespaces/shop/services/https:web:443/proxy",
    b"/api/v1/namespaces/shop/pods/web-0/proxy",
]


@pytest.mark.parametrize("neighbour", NEIGHBOURS)
@pytest.mark.parametrize(("page", "expected"), OTHERS)
def test_a_link_to_another_proxied_application_is_what_it_says(
    page: Any, expected: Any, neighbour: Any
) -> None:
    def filled(text: Any) -> Any:
        return text.replace(b"N", neighbour).replace(b"P/", P + b"/")

    assert rewritten(filled(page)) == filled(expected or page)


def test_a_link_to_a_proxied_node_is_what_it_says() -> None:
    page = b'<a href="/api/v1/nodes/node-1:10250/proxy/metrics">'
    assert rewritten(page) == page


@pytest.mark.parametrize(("page", "expected"), PAGES)
def test_pages_wherever_they_are_cut(page: Any, expected: Any) -> None:
    page = _with_prefix(page)[:300]
    whole = rewritten(page)
    for cut in range(1, len(page)):
        rewriter = HtmlRewriter(MOUNT)
        assert b"".join([*rewriter.feed(page[:cut]), *rewriter.feed(page[cut:])]) + rewriter.finish() == whole


def _with_prefix(page: Any) -> Any:
    return page.replace(b"Pevil", P + b"evil").replace(b"P/", P + b"/")


def test_the_request_without_a_slash_makes_relative_links_ours() -> None:
    assert (
        rewritten(b"<a href=x><a href=#x>", Mount(P, frozenset(), b"", True))
        == b'<a href="%b/x"><a href=#x>' % P
    )


def test_a_prefix_is_written_so_that_it_stays_in_its_quotes() -> None:
    mount = Mount(b"/p'\"<&>", frozenset(), b"/", True)
    assert rewritten(b"<a href='/x'>", mount) == b'<a href="/p&#39;&#34;&lt;&amp;&gt;/x">'


# --- charsets


@pytest.mark.parametrize("codec", ["utf-8", "shift_jis", "gb18030", "big5", "euc_kr", "windows-1251"])
def test_no_charset_hides_a_tag_or_loses_a_byte(codec: Any) -> None:
    text = "表ソ能十~" if codec in ("shift_jis", "gb18030", "big5") else "é" if codec == "utf-8" else "я"
    for content in (text, text * 3 + "x"):
        page = f'<p title="{content}">{content}<a title={content} href="/x">{content}'
        page = page.encode(codec, "ignore")  # type: ignore[assignment]
        assert rewritten(page) == page.replace(b'"/x"', b'"%b/x"' % P)  # type: ignore[arg-type]


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_stays_as_it_is(codec: Any) -> None:
    page = "\ufeff<a href='/x'>㱡 栀爀攀昀㴀∀⼀".encode(codec)
    assert rewritten(page) == page


def test_a_page_that_says_it_is_iso_2022_is_left_alone_from_there() -> None:
    said = b'<meta charset=ISO-2022-JP><a href="/x">'
    assert rewritten(b"<link href=/a>" + said) == b'<link href="%b/a">' % P + said
    assert rewritten(said, charset=b"utf-8") == said.replace(b"/x", P + b"/x")
    other = b'<meta http-equiv=content-type content="text/html; charset=utf-16"><a href="/x">'
    assert rewritten(other) == other.replace(b"/x", P + b"/x")


def test_a_first_byte_that_may_be_a_mark_is_not_lost() -> None:
    for page in (b"\xff", b"\xfe", b"\xff<a href='/x'>", b"\xef\xbb\xbf<a href='/x'>"):
        assert rewritten(page) == page.replace(b"'/x'", b'"%b/x"' % P)


# --- bounds


def test_editing_stops_at_eight_mebibytes() -> None:
    link = b'<a href="/x">0123456789'
    page = b"x" * (MAX_EDITED - 13) + link + link
    assert rewritten(page) == page.replace(b"/x", P + b"/x", 1)
    assert rewritten(b"x" + page) == b"x" + page
    rewriter = HtmlRewriter(MOUNT)
    assert b"".join(
        done for i in range(0, len(page), 99999) for done in rewriter.feed(page[i : i + 99999])
    ) == page.replace(b"/x", P + b"/x", 1)


# --- which answers


def fields(*lines: Any) -> Any:
    parts = [line.partition(b": ") for line in lines]
    return [(name.lower(), name, value) for name, _, value in parts]


HTML = b"Content-Type: text/html"
ASKED = [
    (200, [HTML], True),
    (404, [b"Content-Type: TEXT/HTML ; charset=utf-8"], True),
    (200, [HTML, b"Content-Length: 8388608", b"Content-Encoding: identity"], True),
    (200, [HTML, b"Content-Encoding: GZIP"], True),
    (200, [HTML, b"Content-Encoding: x-gzip"], True),
    (200, [HTML, b"Content-Encoding: deflate"], True),
    (200, [b'Content-Type: text/html;charset="shift_jis"'], True),
    (204, [HTML], False),
    (304, [HTML], False),
    (206, [HTML], False),
    (101, [HTML], False),
    (200, [HTML, b"Content-Range: bytes 0-4/99"], False),
    (302, [HTML, b"Location: /x"], False),
    (201, [HTML, b"Location: /x"], False),
    (200, [], False),
    (200, [HTML, HTML], False),
    (200, [b"Content-Type: text/htmlx"], False),
    (200, [b"Content-Type: application/xhtml+xml"], False),
    (200, [b"Content-Type: text/plain"], False),
    (200, [b"Content-Type: text/html; charset=UTF-16LE"], False),
    (200, [b"Content-Type: text/html; charset=iso-2022-jp"], False),
    (200, [b"Content-Type: text/html;charset=unicode"], False),
    (200, [HTML, b"Content-Length: 8388609"], False),
    (200, [HTML, b"Content-Length: 99999999999999999999"], False),
    (200, [HTML, b"Content-Length: 0"], False),
    (200, [HTML, b"Content-Encoding: br"], False),
    (200, [HTML, b"Content-Encoding: zstd"], False),
    (200, [HTML, b"Content-Encoding: compress"], False),
    (200, [HTML, b"Content-Encoding: gzip, gzip"], False),
    (200, [HTML, b"Content-Encoding: identity, gzip,"], True),
    # a file for the disk, whatever the name of its kind; a parameter alone says nothing of that
    (200, [HTML, b"Content-Disposition: attachment"], False),
    (200, [HTML, b'Content-Disposition: ATTACHMENT ; filename="x.html"'], False),
    (200, [HTML, b"Content-Disposition: form-data; name=x"], False),
    (200, [HTML, b"Content-Disposition: inline", b"Content-Disposition: attachment"], False),
    (200, [HTML, b"Content-Disposition: Inline; filename=x.html"], True),
    (200, [HTML, b"Content-Disposition: filename=attachment.html"], True),
    (200, [HTML, b"Content-Disposition: "], True),
    (200, [HTML, b"Content-Encoding: gzip", b"Content-Encoding: gzip"], False),
]


@pytest.mark.parametrize(("status", "lines", "is_rewritten"), ASKED)
def test_which_answers_are_rewritten(status: Any, lines: Any, is_rewritten: Any) -> None:
    """Under a prefix, and on a host name over TLS, where what says `http:` may be meant for that host; not
    without both.
    """
    assert (plan(MOUNT, status, fields(*lines)) is not None) is is_rewritten
    assert (plan(NOWHERE, status, fields(*lines)) is not None) is is_rewritten
    assert plan(replace(NOWHERE, secure=False), status, fields(*lines)) is None


def test_fields_that_spoke_of_other_bytes_are_corrected() -> None:
    lines = [
        HTML,
        b"Content-Length: 5",
        b'ETag: "v1"',
        b"Digest: x",
        b"Content-Digest: x",
        b"Repr-Digest: x",
        b"Content-MD5: x",
    ]
    planned = plan(MOUNT, 200, fields(*lines, b"Accept-Ranges: bytes", b"Content-Encoding: gzip", b"Vary: a"))
    assert present(planned).fields == fields(HTML, b'ETag: W/"v1"', b"Content-Encoding: gzip", b"Vary: a")
    rewriter = present(planned).rewriter()
    page = b"".join(rewriter.feed(gzip.compress(b"<a href='/x'>"))) + rewriter.finish()
    assert gzip.decompress(page) == b'<a href="%b/x">' % P


def test_a_weak_etag_stays_one() -> None:
    assert fields(b'ETag: W/"v1"')[0] in present(plan(MOUNT, 200, fields(HTML, b'ETag: W/"v1"'))).fields


# --- whatever comes

PIECES = [
    b"<a href=",
    b'"/x"',
    b"'/y'",
    b"/z",
    b">",
    b"<",
    b'"',
    b"<img srcset='/a 1x, /b'",
    b"<script>",
    b"</script>",
    b"<!--",
    b"-->",
    b"\xff\xfe",
]
PIECES += [
    b"<base href=",
    b"<meta charset=iso-2022-jp>",
    b"<meta http-equiv=refresh content='0;/x'>",
    b"../../",
    b"//10.0.0.5:8080/",
    b"&#x2f;",
    b" ",
]
PIECES += [
    b"<title>",
    b"</title>",
    b"<link href='/x' imagesrcset='/y'>",
    b"\xe9",
    b"\x00",
    b"\r\n",
    b"/>",
    b"<svg>",
    b"https://bastion.test/",
]
HTMLISH = st.lists(st.sampled_from(PIECES), max_size=20).map(b"".join) | st.binary(max_size=60)


@settings(max_examples=500, deadline=None)
@given(HTMLISH)
def test_nothing_raises_and_without_a_prefix_bytes_are_the_same(page: Any) -> None:
    rewritten(page)
    assert rewritten(page, NOWHERE) == page


@settings(max_examples=300, deadline=None)
@given(HTMLISH)
def test_a_page_that_was_rewritten_is_not_rewritten_again(page: Any) -> None:
    once = rewritten(page.replace(b"iso-2022", b"utf-8"), Mount(P, frozenset((BACKEND,)), b"/r/s", True))
    assert rewritten(once, Mount(P, frozenset((BACKEND,)), b"/r/s", True)) == once


# --- a step is bounded by the work it takes, not by the bytes that came

DEAR = [
    pytest.param(b"<a href=/x>", id="usual-tags"),
    pytest.param(b"<A HREF=/&amp;x>", id="tags-that-take-a-closer-look"),
    pytest.param(b"<a href=../x>", id="climbing"),
    pytest.param(b"<img srcset='" + b" /a%2f&," * 62 + b"'>", id="srcset"),
    pytest.param(b"<a ping='" + b"/& " * 64 + b"'>", id="ping"),
    pytest.param(b"<svg></svg>", id="foreign"),
    pytest.param(b"<style></style>", id="raw"),
    pytest.param(b"<", id="openings"),
]


@pytest.mark.parametrize("encoding", [b"", b"gzip", b"deflate"])
@pytest.mark.parametrize("piece", DEAR)
def test_a_step_is_bounded_by_what_it_decodes_and_edits(piece: Any, encoding: Any) -> None:
    """Also where sixteen kilobytes unfold to a megabyte."""
    noise = random.Random(1)
    # Beyond a hundred times its size a body is given up.
    page = b"".join(
        piece * (20_000 // len(piece)) + b"<!--%x-->" % noise.getrandbits(2000) for _ in range(20)
    )
    body = {b"": bytes, b"gzip": gzip.compress, b"deflate": zlib.compress}[encoding](page)  # type: ignore[operator]
    steps = list(HtmlRewriter(MOUNT, encoding).feed(body))
    edits = rewritten(page).count(P)
    assert len(steps) >= max(len(page) // STEP, edits // WORK)
    if not encoding:
        assert max(step.count(P) for step in steps) <= WORK
        assert max(map(len, steps)) <= STEP + WORK * len(P) * 2


@pytest.mark.parametrize("piece", DEAR)
def test_a_longer_prefix_makes_for_shorter_steps(piece: Any) -> None:
    """What goes in is work, too: it is compressed and sent."""
    prefix = b"/" + b"p" * 4000
    page = (piece * (100_000 // len(piece)))[:100_000]
    steps = list(
        HtmlRewriter(Mount(prefix, frozenset((BACKEND,)), b"/r/s", True, b"bastion.test")).feed(page)
    )
    assert max(map(len, steps)) <= 8 * STEP + 64 * len(prefix)


def test_nothing_is_done_before_it_is_asked_for() -> None:
    rewriter = HtmlRewriter(MOUNT, b"gzip")
    first = next(rewriter.feed(gzip.compress(b"<a href=/x>" * 5000)))
    assert len(zlib.decompressobj(31).decompress(first)) <= STEP + WORK * len(P) * 2


def test_a_tags_urls_are_bounded_however_often_it_says_srcset() -> None:
    tag = b"<img " + b" ".join(b"srcset='" + b", ".join([b"/x"] * 60) + b"'" for _ in range(10)) + b">"
    rewriter = HtmlRewriter(MOUNT)
    edited = b"".join(rewriter.feed(tag)) + rewriter.finish()
    assert 60 < edited.count(P + b"/x") <= 64
