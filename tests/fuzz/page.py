"""The HTML rewriter: chunk boundaries do not matter, what is not edited stays, and an encoded page is the
same page.

The second byte of an input says in what mount and encoding the page comes; the rest is the page.
"""

from __future__ import annotations

import zlib

from bastion.message.mount import Mount
from bastion.message.page.attributes import NAMES
from bastion.message.page.encoding import ENCODINGS, Decoder, NotEncoded
from bastion.message.page.html import HtmlRewriter, RewriteAborted
from bastion.message.page.stops import stops_at
from bastion.message.page.tags import TagScanner
from tests.fuzz.pieces import cut, in_pieces, size_of_pieces

PREFIX = b"/api/v1/namespaces/ns/pods/web/proxy"
_HOSTS = frozenset((b"10.0.0.1:8080",))
MOUNTS = (
    Mount(PREFIX, _HOSTS, b"/a/b", True, b"h"),
    Mount(PREFIX, _HOSTS, b"", False, b"h"),
    Mount(PREFIX + b"'&x", frozenset(), b"/%2e/a", True, b"h"),
    Mount(PREFIX, _HOSTS, None, True, b"h"),
)
_WBITS = {b"gzip": 31, b"deflate": -15}
_ENCODINGS = (b"", *sorted(ENCODINGS))
_RAW = 0x40  # the page is what comes as encoded
_STOPS = stops_at(NAMES)

SEEDS = [
    (
        b"\x05\x00<!DOCTYPE html><html><head><base href=/x/><link rel=a href='/b'></head><body><a"
        b" HREF=\"/c?d#e\">/f</a><img src=/g srcset='/h 1x, /i 2x'>"
    ),
    (
        b"\x03\x04<script>a='</a>';<!-- <script> </script> --></script><style><a"
        b" href='/x'></style><textarea><a href='/y'></textarea><p>x"
    ),
    (
        b"\x02\x08<meta http-equiv=refresh content='5; url=/x'><meta charset=iso-2022-jp><a href='/a'>"
        b"<svg><use xlink:href='/b'/><![CDATA[<a href='/c'>]]></svg>"
    ),
    (
        b"\x01\x05<a href='../../x'><a href=&#47;x><a href='http://10.0.0.1:8080/y'><a href=\"//h/z\"><!--><a"
        b" href='/b'>--><a href='\\x'>"
    ),
    b"\x04\x44\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + zlib.compress(b"<a href='/x'>")[2:-4],
    b"\x04\x08" + zlib.compress(b"<a href='/x'>"),
    b"\x07\x00\xff\xfe<\x00a\x00 \x00",
    b"\x06\x00\xef\xbb\xbf<iframe src=/a><a href=/b></iframe><form action='/c'><plaintext><a href='/d'>",
]
WORDS = [
    b"<",
    b">",
    b"</",
    b"/>",
    b"<a href='/x'>",
    b'<a href="/x">',
    b"<a href=/x>",
    b"<img srcset='/a 1x, b 2x'>",
    b"<base href='/q/'>",
    b"<base href='//evil/'>",
    b"<script>",
    b"</script>",
    b"</SCRIPT\n",
    b"<!--",
    b"-->",
    b"--!>",
    b"<!",
    b"<?",
    b"<![CDATA[",
    b"]]>",
    b"<svg>",
    b"</svg>",
    b"<math/>",
    b"<title>",
    b"</title>",
    b"<textarea>",
    b"<plaintext>",
    b"<style/>",
    b"<meta charset=utf-16>",
    b"<meta http-equiv=refresh content='0;url=/x'>",
    b" href=",
    b" src = ",
    b"='",
    b'="',
    b"'",
    b'"',
    b"=",
    b"&#47;",
    b"&amp;",
    b"&sol;",
    b"&#x2f",
    b"../",
    b"%2e%2e/",
    b"//",
    b"\\",
    b"javascript:",
    b"\t",
    b"\n",
    b"\x00",
    b"\xff\xfe",
    b"\x1f\x8b\x08\x00",
]


def check(data: bytes) -> None:
    mode = data[1] if len(data) > 1 else 0
    page, pieces = cut(data, 2)
    _check_scanner(page, pieces)
    mount, encoding = MOUNTS[mode & 3], _ENCODINGS[(mode >> 2) % len(_ENCODINGS)]
    edited = _rewritten(HtmlRewriter(mount), [page])
    assert edited is not None
    assert edited == _rewritten(HtmlRewriter(mount), pieces)
    if mode & _RAW:
        _check_raw(mount, encoding or b"gzip", page, pieces)
    elif encoding in _WBITS and page:
        _check_encoded(mount, encoding, page, edited, size_of_pieces(data))


def _check_scanner(page: bytes, pieces: list[bytes]) -> None:
    """With edits that change nothing, the bytes stay; and the same tags are found."""
    found: list[list[bytes]] = []
    for parts in ([page], pieces):
        tags: list[bytes] = []
        scanner = TagScanner(dict.fromkeys(NAMES, lambda tag, tags=tags: tags.append(tag) or tag), _STOPS)  # type: ignore[misc]
        assert b"".join([done for part in parts for done in scanner.feed(part)] + [scanner.stop()]) == page
        found.append(tags)
    assert found[0] == found[1]
    assert all(tag[:1] == b"<" and tag[-1:] == b">" for tag in found[0])


def _check_encoded(mount: Mount, encoding: bytes, page: bytes, edited: bytes, size: int) -> None:
    packer = zlib.compressobj(1, zlib.DEFLATED, _WBITS[encoding])
    packed = packer.compress(page) + packer.flush()
    # each is flushed, which costs
    out = _rewritten(HtmlRewriter(mount, encoding), in_pieces(packed, 8 * size))
    assert out is not None
    decoder = Decoder(encoding)
    assert b"".join(decoder.feed(out)) == edited
    assert decoder.ended


def _check_raw(mount: Mount, encoding: bytes, page: bytes, pieces: list[bytes]) -> None:
    """Whatever comes in the name of an encoding: it is rewritten, passes as it came, or is given up."""
    whole = _rewritten(HtmlRewriter(mount, encoding), [page])
    parts = _rewritten(HtmlRewriter(mount, encoding), pieces)
    if whole is not None and parts is not None:
        assert _decoded(encoding, whole) == _decoded(encoding, parts)


def _decoded(encoding: bytes, data: bytes) -> bytes:
    decoder = Decoder(encoding)
    try:
        return b"".join(decoder.feed(data))
    except (NotEncoded, RewriteAborted):
        return data


def _rewritten(rewriter: HtmlRewriter, pieces: list[bytes]) -> bytes | None:
    try:
        return b"".join([done for piece in pieces for done in rewriter.feed(piece)] + [rewriter.finish()])
    except RewriteAborted:
        return None
