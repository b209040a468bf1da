"""Does whatever an answer's header names stay under the application's prefix?"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bastion.message.mount import Mount, rewrite_url, with_base
from bastion.message.rewrite import rewrite_fields

P = b"/api/v1/namespaces/default/services/single:80/proxy"
BACKEND = b"10.0.0.5:8080"
MOUNT = Mount(P, frozenset((BACKEND, b"web.example:80", b"[fd00::1]:8080")), b"/r/s", True, b"bastion.test")


def answer(*lines: Any, mount: Any = MOUNT) -> Any:
    """What becomes of `name: value` lines."""
    parts = [line.partition(b": ") for line in lines]
    fields = rewrite_fields(mount, [(name.lower(), name, value) for name, _, value in parts])
    assert all(lower == name.lower() for lower, name, _ in fields)
    return [name + b": " + value for _, name, value in fields]


LOCATIONS = [
    # paths of the application's own
    (b"/login", P + b"/login"),
    (b"/login?next=%2Fa#top", P + b"/login?next=%2Fa#top"),
    (b"/", P + b"/"),
    (b"/a//b/", P + b"/a//b/"),
    (b"/a%2Fb%20c", P + b"/a%2Fb%20c"),
    (b"/%zz", P + b"/%zz"),
    (b"/\xc3\xa9 x", P + b"/%C3%A9%20x"),
    (b"/.well-known/x", P + b"/.well-known/x"),
    (b"/a/...", P + b"/a/..."),
    (b"/x/%00<script>alert(1)</script>/", P + b"/x/%00%3Cscript%3Ealert(1)%3C/script%3E/"),
    (b" /x ", P + b"/x"),
    # already under it, at a segment's end
    (P, P),
    (P + b"/login", P + b"/login"),
    (P + b"?a", P + b"?a"),
    (P + b"evil/login", P + P + b"evil/login"),
    # relative to the request
    (b"", b""),
    (b"login", b"login"),
    (b"./login", b"./login"),
    (b"../login", b"../login"),
    (b"?a=b", b"?a=b"),
    (b"#x", b"#x"),
    (b"a%20b", b"a%20b"),
    # climbing: stops where a backend of its own would have stopped it
    (b"../../login?x", P + b"/login?x"),
    (b"..", b".."),
    (b"../..", P + b"/"),
    (b"a/../../../b/.", P + b"/b/"),
    (b"/../../../x", P + b"/x"),
    (b"/a/./b/../c", P + b"/a/c"),
    (b"/%2e%2E/.%2e/x", P + b"/x"),
    (P + b"/../../../x", P + b"/x"),
    (P + b"/%2e%2e", P + b"/"),
    (b"/.//other.test", P + b"//other.test"),
    (b"/..;/x", P + b"/..;/x"),
    # the backend's own address
    (b"http://10.0.0.5:8080/login", P + b"/login"),
    (b"HTTPS://10.0.0.5:8080", P + b"/"),
    (b"http://10.0.0.5:8080?x", P + b"/?x"),
    (b"http://u:p@10.0.0.5:8080/x", P + b"/x"),
    (b"//10.0.0.5:08080/x", P + b"/x"),
    (b"http://Web.Example/x", P + b"/x"),
    (b"http://web.example.:80/x", P + b"/x"),
    (b"https://web.example/x", b"https://web.example/x"),
    (b"http://10.0.0.5:8080/../x", P + b"/x"),
    (b"http://[FD00:0::1]:8080/x", P + b"/x"),
    # the host that the client asked
    (b"https://bastion.test/login", b"https://bastion.test" + P + b"/login"),
    (b"http://bastion.test/login", b"https://bastion.test" + P + b"/login"),
    (b"http://BASTION.test:80?x", b"https://bastion.test" + P + b"/?x"),
    (b"http://bastion.test:443/x", b"https://bastion.test" + P + b"/x"),
    (b"http://u@bastion.test" + P + b"/x", b"https://bastion.test" + P + b"/x"),
    (b"ws://bastion.test/x", b"wss://bastion.test" + P + b"/x"),
    (b"http://bastion.test:8080/x", b"http://bastion.test:8080/x"),
    # another application's prefix: only a page's links mean it, a redirect could make a browser ask it
    # unasked
    (b"/api/v1/namespaces/x/services/y/proxy/", P + b"/api/v1/namespaces/x/services/y/proxy/"),
    (b"https://bastion.test" + P + b"/x", b"https://bastion.test" + P + b"/x"),
    (b"https://BASTION.test:443", b"https://BASTION.test:443" + P + b"/"),
    (b"//bastion.test/x", b"//bastion.test" + P + b"/x"),
    (b"https://u@bastion.test/api/v1/secrets", b"https://bastion.test" + P + b"/api/v1/secrets"),
    (b"https://bastion.test:8443/x", b"https://bastion.test:8443/x"),
    # other places
    (b"//example.test/login", b"//example.test/login"),
    (b"https://example.test/a?b", b"https://example.test/a?b"),
    (b"http://10.0.0.5:8080@example.test/x", b"http://10.0.0.5:8080@example.test/x"),
    (b"http://example.test/%00<b>/", b"http://example.test/%00%3Cb%3E/"),
    (b"mailto:a@b", b"mailto:a@b"),
    (b"http://[::1", b"http://[::1"),
    # what must not pass, or who knows where it leads
    (b"javascript:alert(1)", None),
    (b"JavaScript:alert(1)", None),
    (b"java\tscript:alert(1)", None),
    (b"data:text/plain,x", None),
    (b"vbscript:x", None),
    (b"/\\example.test", None),
    (b"\\\\example.test", None),
    (b"..\\..\\..\\x", None),
    (b"https:\\\\bastion.test/x", None),
    (b"/\t/example.test", None),
    (b"/a\r\nSet-Cookie: x=y", None),
    (b"/\x00", None),
    (b"///example.test", None),
    (b"http:/example.test", None),
    (b"https:bastion.test/x", None),
    (b"http:///x", None),
    (b"//", None),
    (b"/..%2f..%2Fx", None),
    (b"/%2e%2e%5cx", None),
    (b"..%2fx", None),
    (b"https://b%61stion.test/x", None),
    (b"https://\xef\xbd\x82astion.test/x", None),
    (b"https://2130706433/x", None),
    (b"https://0x7f.1/x", None),
    (b"https://127.1/x", None),
]


LIKE_LOCATION = b"""
    Location Content-Location HX-Location HX-Redirect HX-Push-Url HX-Replace-Url Turbolinks-Location
    X-Inertia-Location X-Up-Location
"""


@pytest.mark.parametrize(("value", "expected"), LOCATIONS)
@pytest.mark.parametrize("name", LIKE_LOCATION.split())
def test_locations_stay_under_the_prefix(name: Any, value: Any, expected: Any) -> None:
    assert answer(name + b": " + value) == ([] if expected is None else [name + b": " + expected])


FIELDS = [
    (b"Refresh: 0; url=/b", b"Refresh: 0; url=" + P + b"/b"),
    (b"Refresh: 5;URL = '/b?c'x", b"Refresh: 5;URL = '" + P + b"/b?c'x"),
    (b'Refresh: 5 , "/b', b'Refresh: 5 , "' + P + b"/b"),
    (b"Refresh: 1.5 /b", b"Refresh: 1.5 " + P + b"/b"),
    (b"Refresh: 5", b"Refresh: 5"),
    (b"Refresh: x; url=/b", b"Refresh: x; url=/b"),
    (b"Refresh: 0; url=b", b"Refresh: 0; url=b"),
    (b"Refresh: 0;url=https://example.test/", b"Refresh: 0;url=https://example.test/"),
    (b"Refresh: 0;url=javascript:x", None),
    (b"Link: </c>; rel=next", b"Link: <" + P + b"/c>; rel=next"),
    (
        b'Link: </c>; rel="a,</b>\\">", <d>;rel=x,<//10.0.0.5:8080/e>',
        b"Link: <" + P + b'/c>; rel="a,</b>\\">", <d>;rel=x,<' + P + b"/e>",
    ),
    (b"Link: <javascript:x>; rel=preload, </c>", None),
    (b"Link: /c>; <", b"Link: /c>; <"),
    (b"Refresh: 0; url=http://bastion.test/b", b"Refresh: 0; url=https://bastion.test" + P + b"/b"),
    (b"Link: <http://bastion.test/c>; rel=next", b"Link: <https://bastion.test" + P + b"/c>; rel=next"),
    (b"HX-Push-Url: false", b"HX-Push-Url: false"),
    (b"HX-Replace-Url: true", b"HX-Replace-Url: true"),
    (
        b'HX-Location: {"path": "/x?y", "target": "#t"}',
        b'HX-Location: {"path": "' + P + b'/x?y", "target": "#t"}',
    ),
    (
        b'HX-Location: {"path":"/a","values":{"path":"/b\xe9"}}',
        b'HX-Location: {"path": "' + P + b'/a", "values": {"path": "/b\\u00e9"}}',
    ),
    (
        b'HX-Location: {"path": "/a", "path": "http://bastion.test/\\u00e9"}',
        b'HX-Location: {"path": "https://bastion.test' + P + b'/%C3%A9"}',
    ),
    (b'HX-Location: {"path": "https://example.test/"}', b'HX-Location: {"path": "https://example.test/"}'),
    (b'HX-Location: {"path": "javascript:x"}', None),
    (b'HX-Location: {"path": 1}', None),
    (b'HX-Location: {"target": "#t"}', None),
    (b'HX-Location: {"path": "/x"', None),
    (b'HX-Location: {"path": "\\ud800"}', None),
    (b'HX-Location: {"path": ' + b"[" * 60000, None),
    (b"Link: " + b"</>," * 101, None),
    (b"Server: /x", b"Server: /x"),
]


@pytest.mark.parametrize(("line", "expected"), FIELDS)
def test_fields_that_name_places(line: Any, expected: Any) -> None:
    assert answer(line) == ([] if expected is None else [expected])


def test_the_first_location_counts_and_the_rest_keeps_its_order() -> None:
    lines = [b"A: 1", b"Location: /a", b"Link: </b>", b"location: //evil.test", b"Link: </c>"]
    assert answer(*lines) == [
        b"A: 1",
        b"Location: " + P + b"/a",
        b"Link: <" + P + b"/b>",
        b"Link: <" + P + b"/c>",
    ]
    assert answer(b"Location: javascript:x", b"Location: /a") == []


def test_without_the_slash_a_relative_reference_would_leave_the_prefix() -> None:
    bare = Mount(P, frozenset(), b"", True)
    assert rewrite_url(bare, b"login?x") == P + b"/login?x"
    assert rewrite_url(bare, b"?x") == b"?x"


def test_an_origin_of_its_own_keeps_what_may_pass() -> None:
    own = Mount(b"", frozenset((BACKEND,)), b"/r/s", True, b"app.test")
    for value in (b"/x", b"/a/../b", b"../../x", b"http://10.0.0.5:8080/x", b"https://app.test/x"):
        assert rewrite_url(own, value) == value
    assert rewrite_url(own, b"javascript:x") is None
    assert answer(b"Location: http://app.test/x?y", mount=own) == [b"Location: https://app.test/x?y"]
    assert answer(b"Location: http://app.test", mount=own) == [b"Location: https://app.test/"]
    assert answer(b"Link: <http://APP.test:80/../x>", mount=own) == [b"Link: <https://app.test/../x>"]
    over_http = replace(own, secure=False)
    for mount, value in (
        (own, b"http://u@other.test/x"),
        (own, b"https://u@app.test/x"),
        (over_http, b"http://app.test/x"),
    ):
        assert rewrite_url(mount, value) == value


BASES = [
    (b"/x/y/", b"/x/y/"),
    (b"z/", b"/r/z/"),
    (b"", b"/r/s"),
    (b"../../../q", b"/q"),
    (P + b"/k/", b"/k/"),
    (b"https://bastion.test/k/?x", b"/k/"),
    (b"http://10.0.0.5:8080", b"/"),
    (b"https://cdn.test/", None),
    (b"//cdn.test/", None),
    (b"\\x", None),
    (b"data:x", None),
    (b"/..%2f", None),
]


@pytest.mark.parametrize(("base", "path"), BASES)
def test_a_base_moves_what_follows_it(base: Any, path: Any) -> None:
    assert with_base(MOUNT, base).request_path == path


def test_under_a_base_elsewhere_only_whole_urls_are_ours() -> None:
    mount = with_base(MOUNT, b"//cdn.test/")
    for value in (b"/x", b"x", b"../../../x", b"//cdn.test/y"):
        assert rewrite_url(mount, value) == value
    assert rewrite_url(mount, b"http://10.0.0.5:8080/x") == P + b"/x"
    assert with_base(mount, b"x").request_path is None


# --- where a browser would go (WHATWG URL, the parts that matter here)


def goes_to(value: Any, base: Any = P + b"/r/s") -> Any:
    """Host and path that a browser on https://bastion.test reads in a value; None for what is no place of
    HTTP.
    """
    value = re.sub(rb"[\t\n\r]", b"", value.strip(bytes(range(0x21))))
    value = re.split(rb"[?#]", value, maxsplit=1)[0]
    scheme = re.match(rb"([A-Za-z][A-Za-z0-9+.-]*):", value)
    if scheme:
        if scheme[1].lower() not in (b"http", b"https"):
            return None
        value = value[scheme.end() :]
        if scheme[1].lower() == b"http" or re.match(rb"[/\\]{2}", value):
            value = b"//" + value.lstrip(b"/\\")
    value = value.replace(b"\\", b"/")
    if value.startswith(b"//"):
        host, _, path = value.lstrip(b"/").partition(b"/")
        host = re.sub(
            rb"%([0-9a-fA-F]{2})", lambda m: bytes([int(m[1], 16)]), host.rpartition(b"@")[2]
        ).lower()
        return re.sub(rb":0*(443|80)?\Z", b"", host).removesuffix(b"."), _without_dots(b"/" + path)
    if not value:
        return None  # it stays where it is
    return b"bastion.test", _without_dots(
        value if value.startswith(b"/") else base.rpartition(b"/")[0] + b"/" + value
    )


def _without_dots(path: Any) -> Any:
    kept: list[Any] = []
    segments = path.split(b"/")[1:]
    for i, segment in enumerate(segments):
        plain = segment.lower().replace(b"%2e", b".")
        if plain == b"..":
            del kept[-1:]
        if plain not in (b".", b".."):
            kept.append(segment)
        elif i == len(segments) - 1:
            kept.append(b"")
    return b"/" + b"/".join(kept)


PIECES = [
    b"/",
    b"//",
    b"\\",
    b".",
    b"..",
    b"../",
    b"%2e",
    b"%2E%2e",
    b"%2f",
    b"%5C",
    b"%",
    b"x",
    b"api",
    b"?",
    b"#",
    b"@",
    b":",
    b":443",
    b";",
]
PIECES += [
    b"http:",
    b"https:",
    b"https://",
    b"bastion.test",
    b"BASTION.TEST.",
    b"b%61stion",
    b"10.0.0.5:8080",
    b"evil.test",
    b"\t",
    b"\n",
    b" ",
]
PIECES += [b"\x00", b"\xc3\xa9", b"[", b"]", b"javascript:", P, P + b"/", b"&", b"0x7f.1"]
VALUES = st.lists(st.sampled_from(PIECES), max_size=9).map(b"".join) | st.binary(max_size=30)


@settings(max_examples=1500)
@given(VALUES, st.sampled_from([b"/r/s", b"/", b"", b"/a/../b", b"/%2e%2e/x"]))
@example(b"/.//evil.test", b"/")
def test_no_url_of_this_host_leads_out_of_the_prefix(value: Any, request_path: Any) -> None:
    url = rewrite_url(Mount(P, MOUNT.hosts, request_path, True, b"bastion.test"), value)
    place = None if url is None else goes_to(url, P + request_path)
    if place is not None and place[0] == b"bastion.test":
        # Nor for whoever decodes an escaped slash in what it got.
        for path in (place[1], _without_dots(re.sub(rb"(?i)%2f|%5c", b"/", place[1]))):
            assert path == P or path.startswith(P + b"/"), url


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b"location", b"refresh", b"link", b"content-location", b"set-cookie", b"x"]),
            VALUES,
        )
    )
)
def test_no_answer_raises_and_no_line_breaks(lines: Any) -> None:
    for _, _, value in rewrite_fields(
        MOUNT, [(name, name, value) for name, value in lines if b"\n" not in value and b"\r" not in value]
    ):
        assert b"\n" not in value and b"\r" not in value


@pytest.mark.parametrize(
    "unit", [b"<", b"</a>,", b"<a", b'"', b'"\\', b"../", b"/..", b"%2e%2e/", b" ", b"a:", b"[", b"0"]
)
@pytest.mark.parametrize("name", [b"location", b"refresh", b"link", b"set-cookie"])
def test_a_long_value_takes_no_longer_than_it_is_long(name: Any, unit: Any) -> None:
    """64 KiB, the most that a head may have; what is quadratic takes seconds here, and the test runs into its
    timeout.
    """
    for start in (b"", b"/", b"0; url=", b"a=b; path=/"):
        rewrite_fields(MOUNT, [(name, name, start + unit * (65536 // len(unit)))] * 10)
