"""Header surgery: of what a client says, nothing that a backend would believe passes; of what a backend says,
nothing for a whole origin.

The lists here are the design's own words, not the program's tables.  The first byte of an input says for
which kind of target it is; a request's head follows, whose fields serve as an answer's as well.
"""

from __future__ import annotations

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.message.answers import Policy, RequestContext, present
from bastion.message.cookies import APPLICATION, HANDOFF, RETURN, SESSION, own_cookie
from bastion.message.headers import Forwarded, subprotocols, to_backend
from bastion.message.identity import DROPPED, DROPPED_PREFIXES, withholding
from bastion.message.mount import Mount
from bastion.message.upgrade import accepts, asked_upgrade
from bastion.server.http1.head import read_head

PREFIX = b"/api/v1/namespaces/ns/pods/web/proxy"
HOP_BY_HOP = set(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authorization te trailer"
    b" transfer-encoding upgrade".split()
)
HOP_BY_HOP.add(b"http2-settings")
ANEW = set(b"content-length expect authorization".split())  # what this hop writes itself, or answers
PLAIN = set(b"abcdefghijklmnopqrstuvwxyz0123456789-")
FRONT_PROXY = withholding([b"x-acme-user"], [b"x-group-"])
TRUTH = [
    b"x-forwarded-for",
    b"x-forwarded-host",
    b"x-forwarded-proto",
    b"x-forwarded-prefix",
    b"x-forwarded-uri",
]
OWN_COOKIES = (SESSION, RETURN, APPLICATION, HANDOFF)
RENAMED = b"__secure-bastion-"
ORIGIN_WIDE = set(
    b"accept-ch critical-ch set-login use-as-dictionary secure-session-registration sec-session-registration"
    b" origin-agent-cluster clear-site-data service-worker-allowed strict-transport-security public-key-pins"
    b" public-key-pins-report-only alt-svc nel report-to reporting-endpoints".split()
)
OURS_IN_ANSWERS = set(
    b"audit-id x-bastion-error content-length"
    b" access-control-allow-origin access-control-allow-credentials".split()
)

_H = b"GET /a/b/c?d HTTP/1.1\r\nHost: h\r\n"
SEEDS = [
    b"\x00" + _H + b"Authorization: Bearer t\r\nX-Remote-User: root\r\nImpersonate-User: root\r\nAccept: */*",
    b"\x01" + _H + b"X-Bastion-Authorization: Bearer t\r\nAuthorization: Basic x\r\nX_Forwarded_User:"
    b" a\r\nX-Forwarded-For: 1.2.3.4",
    b"\x02" + _H + b"Connection: close, X-A\r\nX-A: b\r\nCookie: a=b; __Host-bastion_session=s;"
    b" __Secure-bastion-__Host-c=d;e",
    b"\x04" + _H + b"X-Acme-User: root\r\nX-Group-1: a\r\nSec-WebSocket-Protocol: chat,"
    b" base64url.bearer.authorization.k8s.io.dG9r, x\r\nTE: trailers",
    b"\x00"
    + _H
    + b"Location: /x/../y?z#a\r\nContent-Location: http://10.0.0.1:8080/\r\nRefresh: 5; url='/z'\r\nLink:"
    b" </a>; rel=x, <b>",
    b"\x08"
    + _H
    + b"Set-Cookie: a=b; Path=/x; Domain=h; Secure\r\nSet-Cookie: __Host-c=d; Path=/\r\nSet-Cookie: e",
    b"\x10" + _H + b'Content-Type: text/html; charset=utf-8\r\nContent-Encoding: gzip\r\nETag: "x"\r\nVary:'
    b" a\r\nCache-Control: public",
    b"\x00" + _H + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key:"
    b" dGhlIHNhbXBsZSBub25jZQ==\r\nStrict-Transport-Security: max-age=1",
]
WORDS = [
    b"\r\n",
    b"Connection: ",
    b"Connection: host",
    b"connection: content-length",
    b", authorization",
    b",X-Forwarded-For",
    b"X-Remote-Extra-a: b\r\n",
    b"IMPERSONATE-",
    b"X-Forwarded-",
    b"X-SSL-",
    b"_",
    b"Cookie: ",
    b"__Host-bastion_session=",
    b"__HOST-bastion_x=",
    b"__Secure-bastion-",
    b"bastion_",
    b"base64url.bearer.authorization.k8s.io.",
    b"; Path=",
    b"; domain=x",
    b"; Secure",
    b";",
    b"=",
    b",",
    b"\t",
    b"/..",
    b"/%2e%2E/",
    b"%2f",
    b"\\",
    b"//evil",
    b"http://10.0.0.1:8080/",
    b"https://h/",
    b"javascript:",
    b"http:/",
    b"url=",
    b"<",
    b">",
    b'"',
    b"'",
    b"#",
    b"?",
    b"\xc3\xa9",
    b"Content-Length: 3\r\n",
    b"Transfer-Encoding: chunked\r\n",
]


def check(data: bytes) -> None:
    mode, text = data[0] if data else 0, data[1:]
    try:
        head = read_head(text)
    except StatusError:
        return
    prefix = b"" if mode & 2 else PREFIX
    _check_request(head.fields, prefix, keep_authorization=bool(mode & 1), front_proxy=bool(mode & 4))
    for protocol in (b"websocket", b"SPDY/3.1"):
        try:
            asked = asked_upgrade(
                "GET", head.minor, [*head.fields, (b"upgrade", b"Upgrade", protocol)], has_body=False
            )
        except StatusError as error:
            assert error.code == 400
        else:
            assert asked is None or accepts(asked, head.fields) in (True, False)
    assert all(_is_clean(entry) for entry in subprotocols(head.fields))
    _check_answer(head.fields, head.target.partition(b"?")[0], prefix, mode)


def _check_request(
    fields: list[Field], prefix: bytes, *, keep_authorization: bool, front_proxy: bool
) -> None:
    forwarded = Forwarded(b"192.0.2.1", b"h", b"https", prefix, prefix + b"/a")
    withheld = {"withheld": FRONT_PROXY} if front_proxy else {}
    named = nominated(fields)
    try:
        lines = to_backend(fields, forwarded, keep_authorization=keep_authorization, **withheld)  # type: ignore[arg-type]
    except StatusError as error:
        assert error.code == 400
        assert named & {b"host", b"content-length", b"transfer-encoding"}
        return
    left = []
    for line in b"".join(lines).split(b"\r\n")[:-1]:
        name, separator, value = line.partition(b": ")
        assert separator
        assert _is_clean(line)
        left.append((name.lower(), name, value))
    truth = [name for name in TRUTH if prefix or name != b"x-forwarded-prefix"]
    assert [lower for lower, _, _ in left[-len(truth) :]] == truth
    del left[-len(truth) :]
    expected = passing(fields, named, keep_authorization=keep_authorization, front_proxy=front_proxy)
    parts = (b"cookie", b"sec-websocket-protocol")
    assert [field for field in left if field[0] not in parts] == [
        field for field in expected if field[0] not in parts
    ]
    for lower, _, value in left:
        if lower == b"cookie":
            _check_cookie(value, fields, renamed=bool(prefix))
        elif lower == b"sec-websocket-protocol":
            assert not any(
                entry.strip(b" \t").startswith(b"base64url.bearer.authorization.k8s.io.")
                for entry in value.split(b",")
            )


def passing(
    fields: list[Field], named: set[bytes], *, keep_authorization: bool, front_proxy: bool = False
) -> list[Field]:
    """What of a request's fields a backend gets: all of them, less the design's one list (4.6)."""
    left = []
    for field in fields:
        lower = field[0]
        own = keep_authorization and lower == b"authorization"
        dropped = lower in HOP_BY_HOP or lower in named or (lower in ANEW and not own)
        believed = not set(lower) <= PLAIN or lower in DROPPED or lower.startswith(DROPPED_PREFIXES)
        believed = believed or (front_proxy and (lower == b"x-acme-user" or lower.startswith(b"x-group-")))
        if not dropped and not believed:
            left.append(field)
    return left


def nominated(fields: list[Field]) -> set[bytes]:
    """The names in Connection."""
    return {
        name.strip(b" \t").lower()
        for lower, _, value in fields
        if lower == b"connection"
        for name in value.split(b",")
    }


def _check_cookie(value: bytes, fields: list[Field], *, renamed: bool) -> None:
    """None of the bastion's own, and nothing that the client did not send."""
    names = [
        part.strip(b" \t").lower()
        for lower, _, sent in fields
        if lower == b"cookie"
        for part in sent.split(b";")
    ]
    for part in value.split(b";"):
        name = part.strip(b" \t").lower()
        assert name in names or (renamed and RENAMED + name in names)
        if name.startswith((b"__host-bastion", b"bastion_", b"__secure-bastion")):
            assert renamed
            assert RENAMED + name in names  # a cookie that an application set under such a name
    for own in OWN_COOKIES:
        assert _is_clean(own_cookie(fields, own))


def _check_answer(fields: list[Field], path: bytes, prefix: bytes, mode: int) -> None:
    mount = Mount(prefix, frozenset((b"10.0.0.1:8080",)), path, bool(mode & 8), b"h")
    asked = RequestContext("GET", [], bool(prefix), bool(mode & 16))
    presented = present(asked, 200, fields, None, lambda: mount, Policy())
    for lower, name, value in presented.fields:
        assert _is_clean(name)
        assert _is_clean(value)
        assert lower not in HOP_BY_HOP | OURS_IN_ANSWERS
        assert not prefix or lower not in ORIGIN_WIDE
        if lower == b"set-cookie":
            pair, *attributes = value.split(b";")
            shown = (
                pair.partition(b"=")[0].strip(b" \t").lower() or pair.partition(b"=")[2].strip(b" \t").lower()
            )
            keys = [attribute.partition(b"=")[0].strip(b" \t").lower() for attribute in attributes]
            assert b"domain" not in keys
            assert keys.count(b"path") <= 1 or not prefix
            assert not shown.startswith((b"bastion_", b"__host-bastion"))
            assert not shown.startswith(b"__secure-bastion") or shown.startswith(b"__secure-bastion-__host-")
        elif lower in (b"location", b"content-location") and prefix:
            _check_place(value)


def _check_place(url: bytes) -> None:
    """A path on this host is one below the prefix, with nothing in it that a browser would climb by."""
    assert b"\\" not in url.partition(b"?")[0].partition(b"#")[0]
    if url[:1] == b"/" and url[:2] != b"//":
        assert url.startswith(PREFIX)
        assert url[len(PREFIX) : len(PREFIX) + 1] in (b"", b"/", b"?", b"#")
        segments = url.partition(b"?")[0].partition(b"#")[0].lower().replace(b"%2e", b".").split(b"/")
        assert b".." not in segments


def _is_clean(line: bytes) -> bool:
    return not {0x00, 0x0A, 0x0D} & set(line)
