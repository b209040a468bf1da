"""Which HTTP/2 heads are requests, and as which of HTTP/1.1 are they judged?"""

from __future__ import annotations

import pytest

from bastion.server.http1.head import read_head
from bastion.server.http2.head import translate
from tests.fakes import refused


def key() -> bytes:
    return b"a2V5"


GET = {":method": "GET", ":scheme": "https", ":authority": "h", ":path": "/x"}
WEBSOCKET = GET | {":method": "CONNECT", ":protocol": "websocket"}
Fields = list[tuple[bytes, bytes]]


def fields(pseudo: dict[str, str], *more: tuple[str, str]) -> Fields:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*pseudo.items(), *more)]


def head(said: Fields, *, ended: bool = True) -> bytes:
    translated = translate(said, b"https", ended=ended, key=key)
    whole = translated.head.removesuffix(b"\r\n\r\n")
    read_head(whole, secure=True)
    return whole


@pytest.mark.parametrize(
    ("said", "ended", "lines"),
    [
        pytest.param(fields(GET), True, ["GET /x HTTP/1.1", "host: h"], id="plain"),
        pytest.param(
            fields(GET, ("cookie", "a=1"), ("x", "1"), ("cookie", "b=2")),
            True,
            ["GET /x HTTP/1.1", "host: h", "x: 1", "cookie: a=1; b=2"],
            id="crumbs",
        ),
        pytest.param(
            fields({k: v for k, v in GET.items() if k != ":authority"}, ("host", "h")),
            True,
            ["GET /x HTTP/1.1", "host: h"],
            id="host-alone",
        ),
        pytest.param(fields(GET, ("host", "H")), True, ["GET /x HTTP/1.1", "host: h"], id="host-equal"),
        pytest.param(
            fields(GET | {":method": "POST"}),
            False,
            ["POST /x HTTP/1.1", "host: h", "transfer-encoding: chunked"],
            id="body",
        ),
        pytest.param(
            fields(GET | {":method": "POST"}, ("content-length", "3")),
            False,
            ["POST /x HTTP/1.1", "host: h", "content-length: 3"],
            id="body-of-known-length",
        ),
        pytest.param(
            fields(GET | {":method": "POST"}),
            True,
            ["POST /x HTTP/1.1", "host: h", "content-length: 0"],
            id="no-body",
        ),
        pytest.param(
            fields(WEBSOCKET, ("sec-websocket-version", "13"), ("sec-websocket-key", "theirs")),
            False,
            [
                "GET /x HTTP/1.1",
                "host: h",
                "sec-websocket-version: 13",
                "connection: Upgrade",
                "upgrade: websocket",
                "sec-websocket-key: a2V5",
            ],
            id="websocket",
        ),
        pytest.param(
            fields(GET, ("te", "trailers")), True, ["GET /x HTTP/1.1", "host: h", "te: trailers"], id="te"
        ),
    ],
)
def test_is_judged_as(said: Fields, ended: bool, lines: list[str]) -> None:
    assert head(said, ended=ended) == "\r\n".join(lines).encode()


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(fields(GET, ("X-Upper", "1")), id="upper-case"),
        pytest.param(fields(GET, ("x a", "1")), id="blank-in-a-name"),
        pytest.param(fields(GET, ("x:a", "1")), id="colon-in-a-name"),
        pytest.param(fields(GET, ("", "1")), id="no-name"),
        pytest.param(fields(GET, ("x", "1\r\ny: 2")), id="line-end-in-a-value"),
        pytest.param(fields(GET, ("x\r\ny", "2")), id="line-end-in-a-name"),
        pytest.param(fields(GET, ("x", "1\n")), id="lf"),
        pytest.param(fields(GET, ("x", "a\rb")), id="cr"),
        pytest.param(fields(GET, ("x", "a\0b")), id="nul"),
        pytest.param(fields(GET, ("x", " b")), id="leading-blank"),
        pytest.param(fields(GET, ("x", "b\t")), id="trailing-blank"),
        *(
            pytest.param(fields(GET, (name, "x")), id=name)
            for name in ("connection", "keep-alive", "proxy-connection", "upgrade", "transfer-encoding")
        ),
        pytest.param(fields(GET, ("te", "gzip")), id="te-gzip"),
        pytest.param(fields(GET, ("te", "trailers, gzip")), id="te-list"),
        pytest.param(fields(GET, ("host", "evil")), id="another-host"),
        pytest.param(fields(GET, ("host", "h"), ("host", "h")), id="host-twice"),
        pytest.param(fields(GET, (":path", "/y")), id="path-twice"),
        pytest.param(fields(GET, ("x", "1"), (":authority", "h")), id="late"),
        pytest.param(fields(GET | {":secret": "1"}), id="unknown-pseudo-field"),
        pytest.param(fields(GET | {":status": "200"}), id="status"),
        *(
            pytest.param(fields({k: v for k, v in GET.items() if k != name}), id=f"no-{name[1:]}")
            for name in (":method", ":scheme", ":path", ":authority")
        ),
        pytest.param(fields(GET | {":protocol": "websocket"}), id="protocol-without-connect"),
        pytest.param(fields(GET | {":scheme": "ftp"}), id="another-scheme"),
        *(
            pytest.param(fields(GET | {":path": path}), id=f"path-{number}")
            for number, path in enumerate(
                ("", "x", "*", "https://h/x", "/a b", "/a\tb", "/a#b", "/a\r\nb", "/a HTTP/1.1\r\nx: y")
            )
        ),
        *(
            pytest.param(fields(GET | {":authority": authority}), id=f"authority-{number}")
            for number, authority in enumerate(("", "u@h", "h/a", "h x", "h\r\nx: 1", "h:99999"))
        ),
        *(
            pytest.param(fields(GET | {":method": method}), id=f"method-{number}")
            for number, method in enumerate(("", "GET /y", "G\r\nT", "G:"))
        ),
        pytest.param(fields(GET, ("content-length", "+5")), id="length-with-a-sign"),
        pytest.param(fields(GET, ("content-length", "1"), ("content-length", "1")), id="length-twice"),
    ],
)
def test_is_refused(said: Fields) -> None:
    with refused(400):
        head(said)


def test_a_connect_without_a_protocol_is_that_of_a_tunnel() -> None:
    said = head(fields({":method": "CONNECT", ":authority": "db.ns.svc:5432"}), ended=False)
    assert said == b"CONNECT db.ns.svc:5432 HTTP/1.1\r\nhost: db.ns.svc:5432"


@pytest.mark.parametrize("more", [{":path": "/"}, {":scheme": "https"}, {":authority": ""}])
def test_a_tunnel_has_nothing_but_an_authority(more: dict[str, str]) -> None:
    with refused(400):
        head(fields({":method": "CONNECT", ":authority": "db.ns.svc:5432"} | more), ended=False)


def test_over_tls_a_url_that_begins_with_http_is_asked_of_a_proxy() -> None:
    assert head(fields(GET | {":scheme": "http"})).startswith(b"GET http://h/x HTTP/1.1\r\n")


def test_only_websockets_are_known() -> None:
    with refused(501):
        head(fields(WEBSOCKET | {":protocol": "connect-udp"}), ended=False)
