"""Is this a request head, and what does it say?

Each refusal stands beside the same input with the defect repaired.
"""

from __future__ import annotations

from typing import Any

import h11
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bastion.kube.status import StatusError
from bastion.server.http1.head import MAX_FIELDS, Head, read_head, read_request_line
from tests.fakes import refused


def text(*fields: Any, line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: h") -> Any:
    """A head as `read_head` takes it: without the CRLF that ends its last line."""
    return b"\r\n".join([line, *([host] if host else []), *fields])


# --- refusals, and their repaired twins

REFUSED = [
    # the defect, the repair, the code
    pytest.param(b"", text(), 400, id="nothing"),
    pytest.param(b"GET / HTTP/1.1", text(), 400, id="no-host"),
    pytest.param(text(line=b"GET /"), text(), 400, id="HTTP/0.9"),
    pytest.param(text(line=b"GET  / HTTP/1.1"), text(), 400, id="two-spaces"),
    pytest.param(text(line=b" GET / HTTP/1.1"), text(), 400, id="space-before-the-method"),
    pytest.param(text(line=b"GET / HTTP/1.1 "), text(), 400, id="space-behind-the-version"),
    pytest.param(text(line=b"GET\t/\tHTTP/1.1"), text(), 400, id="tabs"),
    pytest.param(
        text(line=b"GET /a b HTTP/1.1"), text(line=b"GET /a%20b HTTP/1.1"), 400, id="space-in-the-target"
    ),
    pytest.param(text(line=b"GET /#x HTTP/1.1"), text(line=b"GET /%23x HTTP/1.1"), 400, id="fragment"),
    pytest.param(
        text(line=b"GET /\xc3\xa9 HTTP/1.1"), text(line=b"GET /%C3%A9 HTTP/1.1"), 400, id="bytes-beyond-ascii"
    ),
    pytest.param(
        text(line=b"GET /\x00 HTTP/1.1"), text(line=b"GET /%00 HTTP/1.1"), 400, id="NUL-in-the-target"
    ),
    pytest.param(
        text(line=b"GET /\x7f HTTP/1.1"), text(line=b"GET /%7F HTTP/1.1"), 400, id="DEL-in-the-target"
    ),
    pytest.param(text(line=b"GET x HTTP/1.1"), text(line=b"GET /x HTTP/1.1"), 400, id="no-slash"),
    pytest.param(text(line=b"OPTIONS * HTTP/1.1"), text(line=b"OPTIONS / HTTP/1.1"), 400, id="asterisk-form"),
    pytest.param(
        text(line=b"CONNECT h:443 HTTP/1.1"), text(line=b"GET /h:443 HTTP/1.1"), 400, id="authority-form"
    ),
    pytest.param(
        text(line=b"CONNECT /h:443 HTTP/1.1"), text(line=b"GET /h:443 HTTP/1.1"), 400, id="connect-to-a-path"
    ),
    pytest.param(text(line=b"G(T / HTTP/1.1"), text(), 400, id="method-no-token"),
    pytest.param(
        text(line=b"G" * 33 + b" / HTTP/1.1"), text(line=b"G" * 32 + b" / HTTP/1.1"), 400, id="long-method"
    ),
    pytest.param(text(line=b"GET / http/1.1"), text(), 400, id="version-case"),
    pytest.param(text(line=b"GET / HTTP/1.10"), text(), 400, id="version-digits"),
    pytest.param(text(line=b"GET / HTTP/1,1"), text(), 400, id="version-comma"),
    pytest.param(text(line=b"GET / HTTP/2.0"), text(), 505, id="HTTP/2.0"),
    pytest.param(text(line=b"PRI * HTTP/2.0"), text(), 505, id="HTTP/2-preface"),
    pytest.param(text(line=b"GET / HTTP/1.2"), text(), 505, id="HTTP/1.2"),
    pytest.param(text(line=b"GET / HTTP/0.9"), text(line=b"GET / HTTP/1.0"), 505, id="HTTP/0.9-said"),
    # lines
    pytest.param(text().replace(b"\r\n", b"\n"), text(), 400, id="bare-LF"),
    pytest.param(text(b"A: b\nX: c"), text(b"A: b", b"X: c"), 400, id="bare-LF-between-fields"),
    pytest.param(text(b"A: b\rX: c"), text(b"A: b", b"X: c"), 400, id="bare-CR"),
    pytest.param(text(b"A: b\r"), text(b"A: b"), 400, id="CR-at-the-end"),
    pytest.param(text(b"A: b\r\r"), text(b"A: b"), 400, id="two-CRs"),
    pytest.param(text(b"A: b\x00c"), text(b"A: bc"), 400, id="NUL"),
    pytest.param(text(b"A: b\x0bc"), text(b"A: b\tc"), 400, id="VT"),
    pytest.param(text(b"A: b\x1bc"), text(b"A: bc"), 400, id="ESC"),
    pytest.param(text(b"A: b\x7f"), text(b"A: b\xff"), 400, id="DEL"),
    pytest.param(text(b""), text(), 400, id="empty-line"),
    pytest.param(text(b"A: b", b" c"), text(b"A: b c"), 400, id="folded-with-a-space"),
    pytest.param(text(b"A: b", b"\tc: d"), text(b"A: b", b"c: d"), 400, id="folded-with-a-tab"),
    pytest.param(text(b" A: b"), text(b"A: b"), 400, id="space-before-a-name"),
    pytest.param(text(b"A : b"), text(b"A: b"), 400, id="space-before-the-colon"),
    pytest.param(text(b"A\t: b"), text(b"A: b"), 400, id="tab-before-the-colon"),
    pytest.param(text(b"A b: c"), text(b"A-b: c"), 400, id="space-in-a-name"),
    pytest.param(text(b": b"), text(b"A: b"), 400, id="no-name"),
    pytest.param(text(b"A"), text(b"A:"), 400, id="no-colon"),
    pytest.param(text(b"A\xc3\xa9: b"), text(b"A: b\xc3\xa9"), 400, id="name-beyond-ascii"),
    pytest.param(text(b"A(: b"), text(b"A!: b"), 400, id="name-no-token"),
    pytest.param(text(b"A/: b"), text(b"A|: b"), 400, id="slash-in-a-name"),
    pytest.param(
        text(*[b"A: b"] * MAX_FIELDS), text(*[b"A: b"] * (MAX_FIELDS - 1)), 431, id="too-many-fields"
    ),
    # Host
    pytest.param(text(b"Host: h"), text(), 400, id="host-twice"),
    pytest.param(text(b"host: other"), text(), 400, id="host-twice-and-another"),
    pytest.param(text(host=b"Host:"), text(), 400, id="host-empty"),
    pytest.param(text(host=b"Host: a b"), text(host=b"Host: a-b"), 400, id="host-with-a-space"),
    pytest.param(text(host=b"Host: user@h"), text(), 400, id="host-with-userinfo"),
    pytest.param(text(host=b"Host: h/path"), text(), 400, id="host-with-a-path"),
    pytest.param(text(host=b"Host: http://h"), text(), 400, id="host-with-a-scheme"),
    pytest.param(text(host=b"Host: h:80:80"), text(host=b"Host: h:80"), 400, id="host-with-two-ports"),
    pytest.param(text(host=b"Host: h:http"), text(host=b"Host: h:80"), 400, id="host-with-a-named-port"),
    pytest.param(text(host=b"Host: h:123456"), text(host=b"Host: h:12345"), 400, id="host-with-a-long-port"),
    pytest.param(text(host=b"Host: ::1"), text(host=b"Host: [::1]"), 400, id="host-without-brackets"),
    pytest.param(text(host=b"Host: [::1"), text(host=b"Host: [::1]:443"), 400, id="host-with-half-brackets"),
    pytest.param(
        text(host=b"Host: [fe80::1%25eth0]"), text(host=b"Host: [fe80::1]"), 400, id="host-with-a-zone"
    ),
    pytest.param(text(host=b"Host: h?x"), text(), 400, id="host-with-a-query"),
    pytest.param(text(host=b"Host: h\\x"), text(), 400, id="host-with-a-backslash"),
    pytest.param(text(host=b"Host: a,b"), text(host=b"Host: a"), 400, id="host-list"),
    pytest.param(text(host=b"Host: a;b"), text(), 400, id="host-list-by-semicolon"),
    pytest.param(text(host=b"Host: h:443,other"), text(), 400, id="host-list-behind-a-port"),
    pytest.param(text(host=b"Host: h:65536"), text(host=b"Host: h:65535"), 400, id="host-with-a-port-beyond"),
    pytest.param(text(host=b"Host: h:99999"), text(host=b"Host: h:0"), 400, id="host-with-a-port-far-beyond"),
    pytest.param(text(host=b"Host: h:+1"), text(host=b"Host: h:01"), 400, id="host-with-a-signed-port"),
    pytest.param(text(host=b"Host: a..b"), text(host=b"Host: a.b."), 400, id="host-with-an-empty-label"),
    pytest.param(text(host=b"Host: .a"), text(), 400, id="host-with-an-empty-first-label"),
    pytest.param(text(host=b"Host: ."), text(), 400, id="host-of-no-label"),
    pytest.param(text(host=b"Host: :80"), text(), 400, id="host-that-is-a-port"),
    pytest.param(text(host=b"Host: a.."), text(), 400, id="host-with-two-dots-at-the-end"),
    pytest.param(
        text(host=b"Host: [:::1]"), text(host=b"Host: [::ffff:1.2.3.4]"), 400, id="host-that-is-no-address"
    ),
    pytest.param(
        text(host=b"Host: [1.2.3.4]"), text(host=b"Host: 1.2.3.4"), 400, id="host-with-ipv4-in-brackets"
    ),
    pytest.param(text(host=b"Host: [1:2]"), text(), 400, id="host-with-half-an-address"),
    pytest.param(text(host=b"Host: [::1]x"), text(), 400, id="host-behind-brackets"),
    pytest.param(text(host=b"Host: a%2eb"), text(), 400, id="host-percent-encoded"),
    pytest.param(text(host=b"Host: a*"), text(), 400, id="host-with-a-wildcard"),
    pytest.param(
        text(host=b"Host: " + b"a" * 256),
        text(host=b"Host: " + b"a" * 255),
        400,
        id="host-longer-than-a-name",
    ),
    pytest.param(
        text(line=b"GET http://h,g/ HTTP/1.1", host=b"Host: h,g"), text(), 400, id="target-of-a-list"
    ),
    pytest.param(
        text(line=b"GET http://h:65536/ HTTP/1.1", host=b"Host: h:65536"),
        text(),
        400,
        id="target-with-a-port-beyond",
    ),
    pytest.param(
        text(line=b"GET http://u@h/ HTTP/1.1", host=b"Host: u@h"), text(), 400, id="target-with-userinfo"
    ),
    pytest.param(text(host=b"Host: <script>"), text(), 400, id="host-with-markup"),
    # framing
    pytest.param(
        text(b"Content-Length: 5", b"Content-Length: 5"), text(b"Content-Length: 5"), 400, id="length-twice"
    ),
    pytest.param(
        text(b"Content-Length: 5", b"content-length: 6"), text(b"Content-Length: 5"), 400, id="two-lengths"
    ),
    pytest.param(text(b"Content-Length: 5, 5"), text(b"Content-Length: 5"), 400, id="a-list-of-lengths"),
    pytest.param(text(b"Content-Length: +5"), text(b"Content-Length: 5"), 400, id="a-signed-length"),
    pytest.param(text(b"Content-Length: -5"), text(b"Content-Length: 5"), 400, id="a-negative-length"),
    pytest.param(text(b"Content-Length: 0x5"), text(b"Content-Length: 05"), 400, id="a-hex-length"),
    pytest.param(text(b"Content-Length: 5_0"), text(b"Content-Length: 50"), 400, id="an-underscore"),
    pytest.param(text(b"Content-Length: 5.0"), text(b"Content-Length: 5"), 400, id="a-fraction"),
    pytest.param(text(b"Content-Length: 5 0"), text(b"Content-Length: 5 "), 400, id="a-space-within"),
    pytest.param(text(b"Content-Length:"), text(b"Content-Length: 0"), 400, id="an-empty-length"),
    pytest.param(
        text(b"Content-Length: \xb2"), text(b"Content-Length: 2"), 400, id="a-digit-of-another-kind"
    ),
    pytest.param(
        text(b"Content-Length: " + b"1" * 19), text(b"Content-Length: " + b"1" * 18), 400, id="a-long-length"
    ),
    pytest.param(
        text(b"Content-Length: 5", b"Transfer-Encoding: chunked"),
        text(b"Transfer-Encoding: chunked"),
        400,
        id="CL.TE",
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked", b"Content-Length: 5"), text(b"Content-Length: 5"), 400, id="TE.CL"
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked", b"Content-Length: 0"),
        text(b"Content-Length: 0"),
        400,
        id="TE.CL-of-0",
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        text(b"Transfer-Encoding: chunked"),
        400,
        id="coding-twice",
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"),
        text(b"Transfer-Encoding: chunked"),
        400,
        id="TE.TE",
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked", line=b"GET / HTTP/1.0"),
        text(b"Content-Length: 5", line=b"GET / HTTP/1.0"),
        400,
        id="chunks-in-HTTP/1.0",
    ),
    pytest.param(
        text(b"Transfer-Encoding: gzip, chunked"),
        text(b"Transfer-Encoding: chunked"),
        501,
        id="another-coding",
    ),
    pytest.param(
        text(b"Transfer-Encoding: chunked, chunked"),
        text(b"Transfer-Encoding: chunked"),
        501,
        id="chunked-chunked",
    ),
    pytest.param(
        text(b"Transfer-Encoding: xchunked"), text(b"Transfer-Encoding: chunked"), 501, id="nearly-chunked"
    ),
    pytest.param(
        text(b"Transfer-Encoding: \x0bchunked"),
        text(b"Transfer-Encoding: \tchunked"),
        400,
        id="chunked-behind-a-VT",
    ),
    pytest.param(
        text(b"Transfer-Encoding: identity"), text(b"Transfer-Encoding: chunked"), 501, id="identity"
    ),
    pytest.param(text(b"Transfer-Encoding:"), text(b"Transfer-Encoding: chunked"), 501, id="an-empty-coding"),
    pytest.param(
        text(b"Transfer-Encoding: chunked;q=1"), text(b"Transfer-Encoding: CHUNKED"), 501, id="a-parameter"
    ),
    pytest.param(
        text(b"Transfer-Encoding : chunked"),
        text(b"Transfer-Encoding: chunked"),
        400,
        id="a-space-before-the-colon-of-the-coding",
    ),
    # Expect
    pytest.param(text(b"Expect: 200-ok"), text(b"Expect: 100-continue"), 417, id="another-expectation"),
    pytest.param(text(b"Expect: 100-continue, x"), text(b"Expect: 100-Continue"), 417, id="two-expectations"),
    # absolute-form
    pytest.param(
        text(line=b"GET http://other/x HTTP/1.1"),
        text(line=b"GET http://h/x HTTP/1.1"),
        400,
        id="absolute-for-another",
    ),
    pytest.param(
        text(line=b"GET http://h:80/x HTTP/1.1"),
        text(line=b"GET http://h:80/x HTTP/1.1", host=b"Host: h:80"),
        400,
        id="absolute-with-a-port",
    ),
    pytest.param(
        text(line=b"GET http://u@h/x HTTP/1.1"),
        text(line=b"GET http://h/x HTTP/1.1"),
        400,
        id="absolute-with-userinfo",
    ),
    pytest.param(
        text(line=b"GET http://h HTTP/1.1"),
        text(line=b"GET http://h/ HTTP/1.1"),
        400,
        id="absolute-without-a-path",
    ),
    pytest.param(
        text(line=b"GET ftp://h/x HTTP/1.1"),
        text(line=b"GET https://h/x HTTP/1.1"),
        400,
        id="absolute-of-another-scheme",
    ),
    pytest.param(
        text(line=b"GET http:///x HTTP/1.1"),
        text(line=b"GET http://h/x HTTP/1.1"),
        400,
        id="absolute-without-an-authority",
    ),
]


@pytest.mark.parametrize(("defect", "repair", "code"), REFUSED)
def test_a_defect_is_refused_and_its_repair_is_accepted(defect: Any, repair: Any, code: Any) -> None:
    with pytest.raises(StatusError) as caught:
        read_head(defect)
    assert caught.value.code == code
    assert caught.value.close, "nothing that follows can be trusted to be a request"
    assert isinstance(read_head(repair), Head)


def test_a_refusal_repeats_nothing_of_the_request() -> None:
    for defect in (
        b"GET /hunter2 x HTTP/1.1",
        text(b"Authorization hunter2"),
        text(host=b"Host: hunter2 x"),
        text(b"Content-Length: hunter2"),
    ):
        with pytest.raises(StatusError) as caught:
            read_head(defect)
        assert b"hunter2" not in caught.value.body()


# --- what is read

ACCEPTED = [
    pytest.param(b"GET / HTTP/1.1", ("GET", b"/", 1), id="plain"),
    pytest.param(b"GET / HTTP/1.0", ("GET", b"/", 0), id="HTTP/1.0"),
    pytest.param(b"M-SEARCH /x HTTP/1.1", ("M-SEARCH", b"/x", 1), id="an-unknown-method"),
    pytest.param(b"get / HTTP/1.1", ("get", b"/", 1), id="methods-have-case"),
    pytest.param(
        b"GET /a%2Fb//../?x=%zz&y=+ HTTP/1.1", ("GET", b"/a%2Fb//../?x=%zz&y=+", 1), id="byte-exact"
    ),
    pytest.param(
        b"GET /\"<>\\^`{|}~!$&'()*+,;=:@[] HTTP/1.1",
        ("GET", b"/\"<>\\^`{|}~!$&'()*+,;=:@[]", 1),
        id="odd-but-visible",
    ),
    pytest.param(b"GET //h/x HTTP/1.1", ("GET", b"//h/x", 1), id="two-slashes"),
    pytest.param(b"GET http://h/a/b?c HTTP/1.1", ("GET", b"/a/b?c", 1), id="absolute-form"),
    pytest.param(b"GET HTTP://H/a HTTP/1.1", ("GET", b"/a", 1), id="absolute-form-case"),
    pytest.param(b"GET https://h//x HTTP/1.1", ("GET", b"//x", 1), id="absolute-form-two-slashes"),
]


@pytest.mark.parametrize(("line", "expected"), ACCEPTED)
def test_the_request_line_is_read(line: Any, expected: Any) -> None:
    head = read_head(text(line=line))
    assert (head.method, head.target, head.minor) == expected


def test_fields_keep_their_order_their_case_and_their_duplicates() -> None:
    head = read_head(
        text(
            b"X-A: 1",
            b"x-a:2",
            b"X-B:\t 3 \t",
            b"X-Empty:",
            b"X-Inner: a \t b",
            b"X-Bytes: caf\xe9",
            b"X_U: u",
        )
    )
    assert head.fields == [
        (b"host", b"Host", b"h"),
        (b"x-a", b"X-A", b"1"),
        (b"x-a", b"x-a", b"2"),
        (b"x-b", b"X-B", b"3"),
        (b"x-empty", b"X-Empty", b""),
        (b"x-inner", b"X-Inner", b"a \t b"),
        (b"x-bytes", b"X-Bytes", b"caf\xe9"),
        (b"x_u", b"X_U", b"u"),
    ]


HOSTS = [
    b"h",
    b"h:",
    b"h:8443",
    b"127.0.0.1:6443",
    b"[::1]",
    b"[2001:db8::1]:443",
    b"kubernetes.default.svc",
    b"a_b",
    b"xn--e1afmkfd",
    b"h.",
]


@pytest.mark.parametrize("host", HOSTS)
def test_the_host_is_kept_as_written(host: Any) -> None:
    assert read_head(text(host=b"Host: " + host)).host == host


def test_http_1_0_needs_no_host() -> None:
    assert read_head(b"GET / HTTP/1.0").host == b""
    assert read_head(text(line=b"GET / HTTP/1.0")).host == b"h"


FRAMES = [
    ([], None, False),
    ([b"Content-Length: 0"], 0, False),
    ([b"content-length: 007"], 7, False),
    ([b"CONTENT-LENGTH:5"], 5, False),
    ([b"Content-Length: " + b"9" * 18], 10**18 - 1, False),
    ([b"Transfer-Encoding: chunked"], None, True),
    ([b"transfer-encoding:\tChunked\t"], None, True),
]


@pytest.mark.parametrize(("fields", "length", "chunked"), FRAMES)
def test_the_framing_is_read(fields: Any, length: Any, chunked: Any) -> None:
    head = read_head(text(*fields))
    assert (head.length, head.chunked) == (length, chunked)


KEPT = [
    # minor, Connection fields, kept alive?
    (1, [], True),
    (1, [b"keep-alive"], True),
    (1, [b"close"], False),
    (1, [b"CLOSE"], False),
    (1, [b"x, close"], False),
    (1, [b"x\t,\tclose\t"], False),
    (1, [b"keep-alive, close"], False),
    (1, [b"keep-alive", b"close"], False),
    (1, [b"close", b"keep-alive"], False),
    (1, [b"closed"], True),
    (1, [b"x-close"], True),
    (1, [b"cl ose"], True),
    (1, [b""], True),
    (0, [], False),
    (0, [b"keep-alive"], True),
    (0, [b"Keep-Alive"], True),
    (0, [b"x, keep-alive"], True),
    (0, [b"keep-alive, close"], False),
    (0, [b"keep-alive", b"close"], False),
    (0, [b"close", b"keep-alive"], False),
    (0, [b"keep-alives"], False),
    (0, [b"keep- alive"], False),
]


@pytest.mark.parametrize(("minor", "values", "kept"), KEPT)
def test_a_connection_is_kept_as_the_client_asks(minor: Any, values: Any, kept: Any) -> None:
    # RFC 9112, 9.3: where close is named, whatever else is, the connection ends.
    head = read_head(text(*(b"Connection: " + value for value in values), line=b"GET / HTTP/1.%d" % minor))
    assert head.keep_alive is kept


@pytest.mark.parametrize(("minor", "expects"), [(1, True), (0, False)])
def test_an_expectation_of_http_1_0_is_ignored(minor: Any, expects: Any) -> None:
    assert (
        read_head(text(b"Expect: 100-continue", line=b"GET / HTTP/1.%d" % minor)).expects_continue is expects
    )
    assert not read_head(text(line=b"GET / HTTP/1.%d" % minor)).expects_continue


@pytest.mark.parametrize(
    ("fields", "upgrade"),
    [
        ([], False),
        ([b"Upgrade: websocket"], True),
        ([b"UPGRADE:"], True),
        ([b"Connection: upgrade"], False),
        ([b"X-Upgrade: websocket"], False),
    ],
)
def test_an_upgrade_is_seen_by_its_header(fields: Any, upgrade: Any) -> None:
    assert read_head(text(*fields)).upgrade is upgrade


AUDIT = [
    ([], ""),
    ([b"Audit-ID: foo-bar-baz"], "foo-bar-baz"),  # C-AU-23
    ([b"audit-id: a", b"Audit-ID: b"], "a"),  # the first
    ([b"Audit-ID: " + b"x" * 64], "x" * 64),
    ([b"Audit-ID: " + b"x" * 65], ""),
    ([b"Audit-ID: caf\xe9"], ""),
    ([b"Audit-ID:"], ""),
    ([b"Audit-ID: 6f1b2a70-3c5d-4e8f-9a1b-000000000001"], "6f1b2a70-3c5d-4e8f-9a1b-000000000001"),
    ([b"Audit-ID: 6f1b2a70-3c5d-8e8f-9a1b-000000000001"], ""),  # the form of our own
    ([b"Audit-ID: 6F1B2A70-3C5D-8E8F-9A1B-000000000001"], ""),
]


@pytest.mark.parametrize(("fields", "audit_id"), AUDIT)
def test_the_audit_id_is_the_clients_where_it_can_be(fields: Any, audit_id: Any) -> None:
    assert read_head(text(*fields)).audit_id == audit_id


def test_the_request_line_alone_may_be_read_early() -> None:
    assert read_request_line(b"GET /x HTTP/1.1") == ("GET", b"/x", 1)
    with refused(400):
        read_request_line(b"\x16\x03\x01\x02\x00")  # a TLS hello
    with refused(505):
        read_request_line(b"GET / HTTP/3.0")


# --- another parser says the same of what is accepted

PIECES = st.sampled_from(
    b"GET| |/|x|HTTP/1.1|HTTP/1.0|\r\n|\n|\r|\t|:|Host: h|Content-Length: |5|0|Transfer-Encoding: |chunked"
    b"|,|Connection: close|A|\x00|\x0b|\xff|#|http://h/|Expect: 100-continue".split(b"|")
)
LINES = st.sampled_from(
    b"Content-Length: 5|Content-Length: 0|Transfer-Encoding: chunked|Connection: close|Connection:"
    b" keep-alive, x|X-A:b|X-A:|X-B: \t b \t|X-C: b\xff|Expect: 100-continue|Cookie: a|Audit-ID: x|X_D:"
    b" e|Upgrade: h2c|Transfer-Encoding: gzip".split(b"|")
)
HEADS = st.one_of(
    st.binary(max_size=40),
    st.lists(PIECES, max_size=24).map(b"".join),
    st.builds(
        lambda line, fields, extra: b"\r\n".join([line, b"Host: h", *fields, *extra]),
        st.sampled_from(
            [
                b"GET / HTTP/1.1",
                b"POST /a%2F?b HTTP/1.1",
                b"HEAD //x HTTP/1.0",
                b"GET http://h/x HTTP/1.1",
                b"G T / HTTP/1.1",
                b"FOO / HTTP/1.1",
            ]
        ),
        st.lists(LINES, max_size=5),
        st.lists(st.lists(PIECES, max_size=4).map(b"".join), max_size=2),
    ),
)


def as_h11(data: Any) -> Any:
    """(method, target, minor, fields, framing) as h11 reads the same head."""
    connection = h11.Connection(h11.SERVER, max_incomplete_event_size=1 << 20)
    connection.receive_data(data + b"\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    return event, connection


@settings(max_examples=600)
@given(HEADS)
def test_another_parser_reads_the_same_in_what_is_accepted(data: Any) -> None:
    try:
        head = read_head(data)
    except StatusError as error:
        assert error.close
        return
    event, connection = as_h11(data)
    assert event.method.decode() == head.method
    assert event.http_version == b"1.%d" % head.minor
    assert event.target in (head.target, b"http://" + head.host + head.target)
    assert list(event.headers) == [(lower, value) for lower, _, value in head.fields]
    following = connection.next_event()
    if head.chunked or head.length:
        assert following is h11.NEED_DATA
    else:
        assert isinstance(following, h11.EndOfMessage)


@given(HEADS)
def test_whatever_comes_is_a_head_or_a_refusal(data: Any) -> None:
    try:
        head = read_head(data)
    except StatusError as error:
        assert error.code in (400, 417, 431, 501, 505)
        return
    assert head.target[:1] == b"/"
    assert head.host or head.minor == 0
    assert not (head.chunked and head.length is not None)


# --- what a proxy is asked over TLS


def proxied(line: bytes, *lines: bytes, tunnels: bool = False) -> Head:
    data = b"\r\n".join((line + b" HTTP/1.1", b"Host: said.test", *lines))
    return read_head(data, secure=True, tunnels=tunnels)


@pytest.mark.parametrize(
    ("url", "host", "target"),
    [
        (b"http://web.shop.svc", b"web.shop.svc", b"/"),
        (b"HTTP://web.shop.svc?a=b", b"web.shop.svc", b"/?a=b"),
        (b"http://web.shop.svc:81/a%2Fb//../c?x=%zz", b"web.shop.svc:81", b"/a%2Fb//../c?x=%zz"),
    ],
)
def test_an_absolute_url_says_the_host(url: bytes, host: bytes, target: bytes) -> None:
    head = proxied(b"GET " + url)
    assert (head.to_proxy, head.host, head.target) == (True, host, target)
    assert [value for name, _, value in head.fields if name == b"host"] == [host]


def test_connect_names_an_authority() -> None:
    head = proxied(b"CONNECT db.shop.svc:5432", b"Content-Length: 0")
    assert (head.to_proxy, head.target, head.length) == (True, b"db.shop.svc:5432", None)


@pytest.mark.parametrize(
    ("line", "more"),
    [
        (b"CONNECT db.shop.svc:5432", b"Content-Length: 5"),
        (b"CONNECT db.shop.svc:5432", b"Transfer-Encoding: chunked"),
        (b"CONNECT /db", b"X: y"),
        (b"GET https://web.shop.svc/x", b"X: y"),
        (b"GET ftp://web.shop.svc/x", b"X: y"),
    ],
)
def test_what_no_proxy_here_is_asked_for(line: bytes, more: bytes) -> None:
    with pytest.raises(StatusError) as refused:
        proxied(line, more)
    assert refused.value.code == 400 and refused.value.close


def test_an_https_url_of_our_own_is_an_ordinary_request() -> None:
    head = proxied(b"GET https://said.test/livez")
    assert (head.to_proxy, head.target) == (False, b"/livez")


@pytest.mark.parametrize("url", [b"http://said.test/x", b"http://127.0.0.1:22/x", b"http://web.apps.test/x"])
def test_an_http_url_is_for_the_proxy_where_there_is_one(url: bytes) -> None:
    head = proxied(b"GET " + url, tunnels=True)
    assert (head.to_proxy, head.target) == (True, b"/x")


def test_an_http_url_of_our_own_is_an_ordinary_request_where_there_is_no_proxy() -> None:
    head = proxied(b"GET http://said.test/x")
    assert (head.to_proxy, head.target) == (False, b"/x")
