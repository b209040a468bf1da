"""Which header fields reach a backend, and which come back to the client?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.http.fields import HOP_BY_HOP, nominated, values
from bastion.message.headers import Forwarded, to_backend, to_client
from tests.fakes import refused

FORWARDED = Forwarded(
    b"192.0.2.1",
    b"bastion.example:8443",
    b"https",
    b"/api/v1/namespaces/ns/pods/p/proxy",
    b"/api/v1/namespaces/ns/pods/p/proxy/x",
)
TOLD = [
    b"X-Forwarded-For: 192.0.2.1\r\n",
    b"X-Forwarded-Host: bastion.example:8443\r\n",
    b"X-Forwarded-Proto: https\r\n",
    b"X-Forwarded-Prefix: /api/v1/namespaces/ns/pods/p/proxy\r\n",
    b"X-Forwarded-Uri: /api/v1/namespaces/ns/pods/p/proxy/x\r\n",
]


def fields(*lines: Any) -> Any:
    """`name: value` as the server reads it."""
    parts = [line.partition(b":") for line in lines]
    return [(name.lower(), name, value.strip()) for name, _, value in parts]


def sent(*lines: Any, keep_authorization: bool = False, editing: bool = False) -> Any:
    """What a backend gets of these lines, the truth about the forwarding cut off."""
    text = b"".join(
        to_backend(fields(*lines), FORWARDED, keep_authorization=keep_authorization, editing=editing)
    )
    assert text.endswith(b"".join(TOLD))
    return text.removesuffix(b"".join(TOLD)).split(b"\r\n")[:-1]


PASSED = [
    b"Host: kubernetes.default.svc",
    b"Accept: */*",
    b"Accept-Encoding: gzip",
    b"Accept-Language: de",
    b"Cookie: a=b; c=d",
    b"User-Agent: curl/8",
    b"Content-Type: application/json",
    b"Content-Encoding: gzip",
    b"Cache-Control: no-cache",
    b"Origin: https://x",
    b"Referer: https://x/y",
    b"Range: bytes=0-1",
    b'If-None-Match: W/"x"',
    b"Via: 1.1 x",
    b"Audit-Id: x",
    b"Traceparent: 00-0-0-00",
    b"X-Anything: goes",
    b"x-lower: kept as written",
    b"X-Empty: ",
    b"X-Bytes: caf\xe9",
    b"X-Forwardedfor: not one of ours",
    b"X-Remotely: not the identity",
    b"X-Auth-Token: the client's own",
]


@pytest.mark.parametrize("line", PASSED)
def test_what_is_the_clients_own_passes_as_written(line: Any) -> None:
    assert sent(line) == [line]


def test_order_and_duplicates_are_kept() -> None:
    lines = [b"X-A: 1", b"Cookie: a", b"X-B: 2", b"X-A: 3", b"Cookie: b"]
    assert sent(*lines) == lines


BROWSER = b"Accept: text/html,application/xhtml+xml,*/*;q=0.8"
OFFERED = [  # of a browser, and what a backend is offered
    (b"gzip, deflate, br, zstd", b"gzip, deflate"),
    (b"gzip;q=1.0,DEFLATE ; q=0.5", None),
    (b"identity;q=0, x-gzip", None),
    (b"gzip", None),
    (b"", None),
    (b"br;q=1, GZip;q=0.5", b"GZip;q=0.5"),
    (b"xz;q=0, zstd;q=0.1, gzip", b"xz;q=0, gzip"),
    (b"br;q=0, gzip", None),
    (b"br;q=0, dcb, gzip, *;q=0.1", b"br;q=0, gzip"),
    (b"br;q=0.000, dcz;q=0.001, deflate", b"br;q=0.000, deflate"),
    (b"gzip, br" + b" " * 200, b"gzip"),
    (b"compress, *;q=0, identity", b"*;q=0, identity"),
    (b"*", b""),
    (b"br", b""),
    (b"br;q=x, zstd", b""),
    (b"gzip;q=0, *", b"gzip;q=0"),
    # then nothing would be left to choose
    (b"br, identity;q=0", None),
    (b"br, *;q=0", None),
]


@pytest.mark.parametrize(("came", "goes"), OFFERED)
def test_a_backend_is_offered_what_a_page_can_be_decoded_from(came: Any, goes: Any) -> None:
    line = b"Accept-Encoding: " + came.strip()
    expected = line if goes is None else b"Accept-Encoding: " + goes
    for wish in (BROWSER, b"Accept: TEXT/HTML", b"Sec-Fetch-Dest: empty", b"Sec-Fetch-Dest: iframe"):
        assert sent(wish, line, editing=True) == [wish, expected]
        assert sent(line, wish, editing=True) == [expected, wish]
    for wish in (
        b"Accept: application/json",
        b"Accept: */*",
        b"Sec-Fetch-Dest: script",
        b"User-Agent: curl/8",
    ):
        assert sent(line, wish, editing=True) == [line, wish]
    assert sent(line, BROWSER, b"X-Bastion-Rewrite: none", editing=True) == [line, BROWSER]
    assert sent(line, BROWSER) == [line, BROWSER]


DROPPED = [
    # hop by hop
    b"Connection: keep-alive",
    b"Keep-Alive: timeout=5",
    b"Proxy-Connection: keep-alive",
    b"Proxy-Authenticate: Basic",
    b"Proxy-Authorization: Basic eA==",
    b"TE: trailers",
    b"Trailer: X-Sum",
    b"Transfer-Encoding: chunked",
    b"Upgrade: h2c",
    b"HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    # written anew, or answered by this hop
    b"Content-Length: 5",
    b"Expect: 100-continue",
    # credentials
    b"Authorization: Bearer t",
    b"authorization: Basic eA==",
    b"X-Bastion-Authorization: Bearer t",
    # identities, and those of other proxies
    b"X-Remote-User: admin",
    b"x-REMOTE-group: system:masters",
    b"X-Remote-Extra-Scopes: all",
    b"X-Remote-Uid: 0",
    b"Impersonate-User: admin",
    b"Impersonate-Foo: x",
    b"X-Forwarded-User: admin",
    b"X-Forwarded-Email: admin@x",
    b"X-Forwarded-Groups: admins",
    b"X-Forwarded-Preferred-Username: admin",
    b"X-Forwarded-Client-Cert: Hash=0",
    b"X-Forwarded-Access-Token: t",
    b"X-Auth-Request-User: admin",
    b"X-Auth-Request-Access-Token: t",
    b"X-WebAuth-User: admin",
    b"Remote-User: admin",
    b"SSL-Client-Cert: x",
    b"X-Client-Cert: x",
    b"X-SSL-Client-DN: CN=admin",
    b"Cf-Access-Jwt-Assertion: x",
    b"X-Goog-IAP-JWT-Assertion: x",
    b"X-Pomerium-Jwt-Assertion: x",
    b"X-Amzn-Oidc-Data: x",
    b"X-MS-CLIENT-PRINCIPAL: x",
    # another request than the one that was authorized
    b"X-Original-URL: /admin",
    b"X-Original-Uri: /admin",
    b"X-Rewrite-URL: /admin",
    b"X-HTTP-Method: DELETE",
    b"X-HTTP-Method-Override: DELETE",
    b"X-Method-Override: DELETE",
    b"Proxy: http://evil",  # CVE-2016-5385
    # addresses, and forwarding that is told anew
    b"X-Real-Ip: 127.0.0.1",
    b"True-Client-IP: 127.0.0.1",
    b"Forwarded: for=127.0.0.1",
    b"X-Forwarded-For: 127.0.0.1",
    b"X-Forwarded-Host: evil",
    b"X-Forwarded-Proto: http",
    b"X-Forwarded-Port: 1",
    b"X-Forwarded-Prefix: /evil",
    b"X-Forwarded-Uri: /evil",
    # CGI reads `_` as `-`
    b"X_Forwarded_User: admin",
    b"Remote_User: admin",
    b"X_Anything: x",
    b"X.Remote.User: admin",
    b"X~Anything: x",
]


@pytest.mark.parametrize("line", DROPPED)
def test_what_a_client_may_not_say_is_dropped(line: Any) -> None:
    assert sent(b"Host: h", line, b"X-After: 1") == [b"Host: h", b"X-After: 1"]


@pytest.mark.parametrize("spelling", [bytes.lower, bytes.upper, bytes.title])
def test_case_hides_nothing(spelling: Any) -> None:
    for line in DROPPED:
        name, _, value = line.partition(b":")
        assert sent(spelling(name) + b":" + value) == []


TOKEN = b"base64url.bearer.authorization.k8s.io.dG9rZW4"
SUBPROTOCOLS = [
    ([TOKEN + b", dummy"], [b"dummy"]),
    ([b"dummy," + TOKEN], [b"dummy"]),
    ([b"a, " + TOKEN + b" ,b"], [b"a,b"]),
    ([TOKEN], []),
    ([TOKEN, b"dummy"], [b"dummy"]),
    ([TOKEN + b"," + TOKEN], []),
    ([b"a, b"], [b"a, b"]),
]


@pytest.mark.parametrize(("offered", "left"), SUBPROTOCOLS)
def test_the_websocket_token_reaches_no_backend_and_the_other_protocols_do(offered: Any, left: Any) -> None:
    name = b"Sec-WebSocket-Protocol: "
    assert sent(*(name + value for value in offered)) == [name + value for value in left]


def test_the_clients_own_authorization_passes_where_another_was_for_us() -> None:
    assert sent(
        b"Authorization: Basic eA==", b"X-Bastion-Authorization: Bearer t", keep_authorization=True
    ) == [b"Authorization: Basic eA=="]


def test_an_authorization_named_in_connection_is_dropped_even_then() -> None:
    assert sent(b"Connection: Authorization", b"Authorization: Basic eA==", keep_authorization=True) == []


NAMED = [
    ([b"Connection: X-Foo"], [b"X-Foo: 1"], []),
    ([b"Connection: close, x-foo , X-BAR"], [b"X-Foo: 1", b"X-Bar: 2", b"X-Baz: 3"], [b"X-Baz: 3"]),
    ([b"Connection: x-foo", b"Connection: x-bar"], [b"X-Foo: 1", b"X-Bar: 2"], []),
    ([b"Connection: ,, ,x-foo,"], [b"X-Foo: 1"], []),
    ([b"Connection: \tx-foo\t"], [b"X-Foo: 1"], []),
    ([b"Connection: cookie, user-agent"], [b"Cookie: a", b"User-Agent: b", b"Accept: c"], [b"Accept: c"]),
    ([b"Connection: x-forwarded-for"], [], []),
    ([b"Connection: foo bar"], [b"Foo: 1"], [b"Foo: 1"]),
]


@pytest.mark.parametrize(("connection", "others", "left"), NAMED)
@pytest.mark.parametrize("last", [False, True], ids=["connection-first", "connection-last"])
def test_what_connection_names_is_of_this_hop(connection: Any, others: Any, left: Any, last: Any) -> None:
    assert sent(*(others + connection if last else connection + others)) == left


def test_the_truth_about_the_forwarding_cannot_be_taken_away() -> None:
    names = b", ".join(line.partition(b":")[0] for line in TOLD)
    assert to_backend(fields(b"Connection: " + names), FORWARDED, keep_authorization=False)[-1] == b"".join(
        TOLD
    )


@pytest.mark.parametrize("name", [b"Host", b"content-length", b"TRANSFER-ENCODING", b"close, host", b"host,"])
def test_connection_may_not_name_what_the_message_needs(name: Any) -> None:
    with refused(400, close=True):
        sent(b"Host: h", b"Connection: " + name)
    with refused(400, close=True):
        nominated(fields(b"Connection: " + name))
    assert name.rstrip(b",").rpartition(b" ")[2].lower() + b"-x" in nominated(
        fields(b"Connection: " + name.rstrip(b",") + b"-x")
    )


def test_nothing_is_invented() -> None:
    assert sent(b"Host: h") == [b"Host: h"]  # no User-Agent, no Accept-Encoding


# --- answers

ANSWERED = [
    b"Content-Type: text/html",
    b"Content-Encoding: gzip",
    b"Date: Thu, 01 Jan 1970 00:00:00 GMT",
    b"Server: nginx",
    b"Set-Cookie: a=b",
    b"Location: /x",
    b"WWW-Authenticate: Basic",
    b"Cache-Control: no-store",
    b"Vary: Origin",
    b"Access-Control-Expose-Headers: X",
    b"Access-Control-Max-Age: 5",
    b"Strict-Transport-Security: max-age=1",
    b"X_Under_Score: passes here",
    b"X-Forwarded-For: passes here",
]
NOT_ANSWERED = [
    b"Connection: close",
    b"Keep-Alive: timeout=5",
    b"Proxy-Authenticate: Basic",
    b"Trailer: X",
    b"Transfer-Encoding: chunked",
    b"Upgrade: h2c",
    b"Content-Length: 5",
    b"Access-Control-Allow-Origin: *",
    b"Access-Control-Allow-Credentials: true",
    b"Access-Control-Allow-Headers: x",
    b"Access-Control-Allow-Methods: GET",
    b"Audit-Id: forged",
    b"X-Bastion-Error: forged",
]


def test_the_answers_fields_pass_in_order() -> None:
    kept = fields(*ANSWERED, b"Set-Cookie: c=d")
    assert to_client(kept) == kept


@pytest.mark.parametrize("line", NOT_ANSWERED)
def test_what_would_speak_for_the_bastion_is_dropped(line: Any) -> None:
    first, last = fields(b"X-First: 1", b"X-Last: 1")
    assert to_client([first, *fields(line), last]) == [first, last]


@pytest.mark.parametrize(
    ("connection", "left"),
    [
        ([b"Connection: x-hop"], [b"X-Kept: 1"]),
        ([b"Connection: close", b"Connection: X-Hop , x-kept"], []),
        ([b"Connection: close"], [b"X-Hop: 1", b"X-Kept: 1"]),
        ([b"Connection: "], [b"X-Hop: 1", b"X-Kept: 1"]),
    ],
)
def test_what_the_backends_connection_names_stays_behind(connection: Any, left: Any) -> None:
    assert to_client(fields(b"X-Hop: 1", *connection, b"X-Kept: 1")) == fields(*left)


def test_values_come_in_order() -> None:
    assert values(fields(b"A: 1", b"B: 2", b"a: 3"), b"a") == [b"1", b"3"]


# --- whatever comes

NAMES = st.sampled_from([line.partition(b":")[0] for line in (*PASSED, *DROPPED)])


@given(
    st.lists(st.tuples(NAMES, st.sampled_from([b"x", b"x-anything", b"", b"close"])), max_size=20),
    st.booleans(),
)
def test_no_mixture_lets_anything_through_that_alone_would_not(lines: Any, keep_authorization: Any) -> None:
    kept = sent(*(b"%b: %b" % line for line in lines), keep_authorization=keep_authorization)
    allowed = {line.partition(b":")[0] for line in PASSED} | (
        {b"Authorization", b"authorization"} if keep_authorization else set()
    )
    assert {line.partition(b":")[0] for line in kept} <= allowed
    assert not {line.partition(b":")[0].lower() for line in kept} & HOP_BY_HOP
