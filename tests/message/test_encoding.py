"""Are encoded pages rewritten in their encoding, and do hostile ones cost little?"""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.message.mount import Mount
from bastion.message.page.encoding import ENCODINGS, Decoder
from bastion.message.page.html import MAX_EDITED, HtmlRewriter, RewriteAborted
from tests.message.test_rewrite import MOUNT, P

PAGE = b"<!DOCTYPE html>" + b"".join(
    b'<p>%d<a href="/item/%d">%x</a></p>\n' % (n, n * 7919, n**9) for n in range(3000)
)
REWRITTEN = PAGE.replace(b'"/', b'"%b/' % P)
MIB = 1 << 20
LONG = Mount(b"/" + b"p" * 400, frozenset(), b"/r/s", True)


def deflated(wbits: Any) -> Any:
    def deflate(data: Any) -> Any:
        encoder = zlib.compressobj(6, zlib.DEFLATED, wbits)
        return encoder.compress(data) + encoder.flush()

    return deflate


def inflated(wbits: Any) -> Any:
    def inflate(data: Any) -> Any:
        decoder = zlib.decompressobj(wbits)
        result = decoder.decompress(data)
        assert decoder.eof and not decoder.unused_data
        return result

    return inflate


CODECS = {
    "gzip": (b"gzip", deflated(31), inflated(31)),
    "x-gzip": (b"x-gzip", deflated(31), inflated(31)),
    "deflate": (b"deflate", deflated(15), inflated(15)),
    "raw deflate": (b"deflate", deflated(-15), inflated(-15)),
}
codecs = pytest.mark.parametrize(("encoding", "encode", "decode"), CODECS.values(), ids=list(CODECS))


def rewritten(body: Any, encoding: Any, step: int = 16384) -> Any:
    rewriter = HtmlRewriter(MOUNT, encoding)
    return (
        b"".join(piece for i in range(0, len(body), step) for piece in rewriter.feed(body[i : i + step]))
        + rewriter.finish()
    )


@codecs
def test_a_page_goes_on_in_the_encoding_it_came_in(encoding: Any, encode: Any, decode: Any) -> None:
    for step in (1, 1000, MIB):
        assert decode(rewritten(encode(PAGE), encoding, step)) == REWRITTEN
    assert decode(rewritten(encode(b"no link"), encoding)) == b"no link"
    assert decode(rewritten(encode(b""), encoding)) == b""


@codecs
@settings(max_examples=60, deadline=None)
@given(cuts=st.lists(st.integers(1, 900), min_size=1, max_size=30))
def test_an_encoded_page_reads_the_same_wherever_it_is_cut(
    encoding: Any, encode: Any, decode: Any, cuts: Any
) -> None:
    page = b"".join(PAGE.splitlines(keepends=True)[:150])
    body = encode(page)
    rewriter = HtmlRewriter(MOUNT, encoding)
    got = b""
    for cut in cuts:
        got += b"".join(rewriter.feed(body[:cut]))
        body = body[cut:]
    assert decode(got + b"".join(rewriter.feed(body)) + rewriter.finish()) == page.replace(b'"/', b'"%b/' % P)


def test_the_members_of_a_gzip_file_are_one_page() -> None:
    body = gzip.compress(PAGE[:1000]) + gzip.compress(b"") + gzip.compress(PAGE[1000:])
    for after in (b"", b"\0" * 100, b"x", b"\x1f", b"garbage"):
        for step in (7, MIB):
            assert gzip.decompress(rewritten(body + after, b"gzip", step)) == REWRITTEN


def test_what_was_decoded_is_sent_at_once() -> None:
    encoder, decoder = zlib.compressobj(6, zlib.DEFLATED, 31), zlib.decompressobj(31)
    rewriter = HtmlRewriter(MOUNT, b"gzip")
    for n in range(5):
        came = encoder.compress(b"<a href='/%d'>x" % n) + encoder.flush(zlib.Z_SYNC_FLUSH)
        assert decoder.decompress(b"".join(rewriter.feed(came))) == b'<a href="%b/%d">x' % (P, n)


@codecs
def test_what_is_not_in_the_encoding_goes_on_as_it_came(encoding: Any, encode: Any, decode: Any) -> None:
    body = encode(PAGE)
    for came in (b"", b"\x1f", b"\x1f\x8b", b"not encoded", b'<a href="/x">t</a>', b"\xff" * 70000, body[:2]):
        for step in (1, MIB):
            assert rewritten(came, encoding, step) == came


@codecs
def test_what_came_cut_short_goes_on_cut_short(encoding: Any, encode: Any, decode: Any) -> None:
    body = encode(PAGE)
    got = rewritten(body[: len(body) // 2], encoding)
    assert got
    with pytest.raises((AssertionError, zlib.error)):
        decode(got)


@pytest.mark.parametrize(("name", "check"), [("gzip", 8), ("deflate", 4)])
def test_a_body_whose_checksum_is_wrong_is_aborted(name: Any, check: Any) -> None:
    encoding, encode, _ = CODECS[name]
    with pytest.raises(RewriteAborted):
        rewritten(encode(PAGE)[:-check] + b"x" * check, encoding, 1000)


def bomb(wbits: Any, unit: Any, size: Any) -> Any:
    encoder = zlib.compressobj(6, zlib.DEFLATED, wbits)
    return b"".join([encoder.compress(unit * (MIB // len(unit))) for _ in range(size)]) + encoder.flush()


@pytest.mark.parametrize("wbits", [31, 15, -15])
@pytest.mark.parametrize("unit", [b"\0", b"<a href=/>", b"<!--"])
def test_a_bomb_is_aborted_early(wbits: Any, unit: Any) -> None:
    body = bomb(wbits, unit, 64)
    encoding = b"gzip" if wbits == 31 else b"deflate"
    for step in (100, MIB):
        with pytest.raises(RewriteAborted):
            rewritten(body, encoding, step)
        decoded = 0
        decoder = Decoder(encoding)
        with pytest.raises(RewriteAborted):
            for i in range(0, len(body), step):
                for piece in decoder.feed(body[i : i + step]):
                    decoded += len(piece)
        assert decoded < MIB


def test_members_that_hold_nothing_are_aborted() -> None:
    with pytest.raises(RewriteAborted):
        rewritten(gzip.compress(b"") * 1000, b"gzip")
    with pytest.raises(RewriteAborted):
        rewritten(gzip.compress(b"x") * 1000, b"gzip")


def test_a_page_that_repeats_itself_is_no_bomb() -> None:
    page = b"<tr><td>%d</td></tr>" % 7 * 3000
    assert (
        len(page) < 65536 * 2
        and gzip.decompress(rewritten(gzip.compress(page[:65000]), b"gzip")) == page[:65000]
    )


def test_behind_eight_mebibytes_a_page_is_only_encoded() -> None:
    page = PAGE * (MAX_EDITED // len(PAGE) + 2)
    got = gzip.decompress(rewritten(gzip.compress(page, 1), b"gzip"))
    assert got.startswith(REWRITTEN * 20) and got.endswith(PAGE)


ADVERSE = {
    "comment": lambda n: b"<!--" + b"x" * n,
    "tag": lambda n: b"<a " + b"aaa " * (n // 4),
    "quoted": lambda n: b'<a href="' + b"x" * n,
    "name": lambda n: b"<a" + b"x" * n,
    "attributes": lambda n: (b"<a " + b"href=/ " * 9000 + b">") * (n // 63000),
    "script": lambda n: b"<script>" + b"</s" * (n // 3),
    "escapes": lambda n: b"<script>" + b"<!---->" * (n // 7),
    "markup": lambda n: b"<![" * (n // 3),
    "cdata": lambda n: b"<![CDATA[>" * (n // 10),
    "lt": lambda n: b"<" * n,
    "elements": lambda n: b"<div>" * (n // 5),
    "links": lambda n: b"<a href=/>" * (n // 10),
    "srcset": lambda n: (b'<img srcset="' + b"/ ," * 20000 + b'">') * (n // 60000),
    "commas": lambda n: (b'<img srcset="' + b"," * 60000 + b'">') * (n // 60015),
    "blanks": lambda n: (b'<a ping="' + b" " * 60000 + b'">') * (n // 60015),
    "references": lambda n: (b'<a href="/' + b"&gt" * 15 + b'">') * (n // 58),
}


@pytest.mark.parametrize("name", ADVERSE)
def test_no_page_costs_more_than_it_is_long(name: Any) -> None:
    """2 MiB in small pieces: far longer than a test may take where it is quadratic.

    And what is remembered of it is little.
    """
    page = ADVERSE[name](2 * MIB)
    rewriter = HtmlRewriter(LONG, b"")
    for i in range(0, len(page), 512):
        list(rewriter.feed(page[i : i + 512]))
    rewriter.finish()

    tracemalloc.start()
    rewriter = HtmlRewriter(LONG, b"")
    for i in range(0, MIB // 4, 65536):
        list(rewriter.feed(page[i : i + 65536]))
    rewriter.finish()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


@settings(max_examples=300, deadline=None)
@given(
    st.binary(max_size=200),
    st.sampled_from(sorted(ENCODINGS)),
    st.sampled_from([b"", gzip.compress(b"<a href=/x>" * 9), zlib.compress(b"x" * 99)]),
)
def test_no_body_raises_anything_else(data: Any, encoding: Any, start: Any) -> None:
    for body in (data, start + data, start[: len(data)] + data):
        try:
            assert rewritten(body, encoding, 1 + len(body) // 3) is not None
        except RewriteAborted:
            pass
