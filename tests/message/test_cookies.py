"""Which cookies does an application set, and which does it get back?"""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bastion.message.cookies import (
    APPLICATION,
    HANDOFF,
    RETURN,
    SESSION,
    own_cookie,
    place_cookie,
    restore_cookies,
    set_own,
)
from bastion.message.mount import Mount

P = b"/api/v1/namespaces/ns/pods/p/proxy"
PLAIN = Mount(P, frozenset(), b"/r/s", False)
TLS = Mount(P, frozenset(), b"/r/s", True)
RENAMED = b"__Secure-bastion-"

SET = [
    (b"a=1; Path=/", b"a=1; Path=" + P),
    (b"b=2; Path=/app; Domain=example.test; HttpOnly", b"b=2; Path=" + P + b"/app; HttpOnly"),
    (b"a=1;DOMAIN = x;path=/app/;SameSite=Lax", b"a=1; Path=" + P + b"/app/;SameSite=Lax"),
    (
        b"a=1; Max-Age=5; Path=" + P + b"/x; Priority=High",
        b"a=1; Max-Age=5; Path=" + P + b"/x; Priority=High",
    ),
    (b"a=1; Path=" + P + b"evil", b"a=1; Path=" + P + P + b"evil"),
    # no path, or none that is one: the default of the request
    (b"a=1", b"a=1; Path=" + P + b"/r"),
    (b"a=1; Path", b"a=1; Path=" + P + b"/r"),
    (b"a=1; Path=x", b"a=1; Path=" + P + b"/r"),
    (b"a=1; Path=/x; b; Path=", b"a=1; Path=" + P + b"/r; b"),
    # the last one counts
    (b"a=1; Path=/x; Path=/y", b"a=1; Path=" + P + b"/y"),
    # climbing
    (b"a=1; Path=/../..", b"a=1; Path=" + P),
    (b"a=1; Path=/x/../../y", b"a=1; Path=" + P + b"/y"),
    (b"a=1; Path=" + P + b"/../../q", b"a=1; Path=" + P + b"/q"),
    (b"a=1; Path=/..%2f", b"a=1; Path=" + P),
    # values are the application's own affair
    (b'a="x=;y"; Path=/', b'a="x=;y"; Path=' + P),
    (b"a=\xc3\xa9\\; Path=/", b"a=\xc3\xa9\\; Path=" + P),
    (b"; Path=/", b"; Path=" + P),
    # names that promise the path `/`
    (b"__Host-sid=1; Secure; Path=/", RENAMED + b"__Host-sid=1; Secure; Path=" + P),
    (b" __host-SID =1; Secure; Path=/", RENAMED + b"__host-SID=1; Secure; Path=" + P),
    (b"__Secure-sid=1; Secure; Path=/", b"__Secure-sid=1; Secure; Path=" + P),
    # the bastion's own, and what would read like them in a Cookie header
    (b"__Host-bastion_session=evil; Path=/; Secure", None),
    (b"__Host-bastion_app=evil", None),
    (b"\t__HOST-Bastion=evil", None),
    (b"bastion_x=evil", None),
    (b"=__Host-bastion_session=evil", None),
    (b"__Host-bastion_session", None),
    (RENAMED + b"__Host-sid=evil", None),
    (b"=__Host-sid=evil", None),
    (b"a=1\x00; Path=/", None),
    (b"a=1\r\nSet-Cookie: b=2", None),
]


@pytest.mark.parametrize(("value", "expected"), SET)
def test_cookies_stay_under_the_prefix(value: Any, expected: Any) -> None:
    assert place_cookie(PLAIN, value) == expected


def test_over_tls_every_cookie_is_secure() -> None:
    assert place_cookie(TLS, b"a=1; Path=/; HttpOnly") == b"a=1; Path=" + P + b"; HttpOnly; Secure"
    assert place_cookie(TLS, b"a=1; SECURE; Path=/") == b"a=1; SECURE; Path=" + P


@pytest.mark.parametrize(
    ("path", "default"),
    [(b"/", b""), (b"/r", b""), (b"/r/", b"/r"), (b"/r/s/t", b"/r/s"), (b"", b""), (None, b"")],
)
def test_the_default_path_is_the_requests_directory(path: Any, default: Any) -> None:
    assert place_cookie(Mount(P, frozenset(), path, False), b"a=1") == b"a=1; Path=" + P + default


def test_a_requests_path_adds_no_attribute() -> None:
    assert place_cookie(Mount(P, frozenset(), b"/a;Domain=evil.test/b", False), b"a=1") == b"a=1"


def test_an_origin_of_its_own_keeps_paths_and_names() -> None:
    own = Mount(b"", frozenset(), b"/r/s", True)
    assert place_cookie(own, b"__Host-a=1; Secure; Path=/") == b"__Host-a=1; Secure; Path=/"
    assert place_cookie(own, b"a=1; Path=/x; Domain=test") == b"a=1; Path=/x; Secure"
    assert place_cookie(own, b"__Host-bastion_session=1") is None


SENT = [
    (b"a=1; b=2", b"a=1; b=2"),
    (b'a="bastion";b;;  c=d=e', b'a="bastion";b;;  c=d=e'),
    (b"a=1; __Host-bastion_session=s; b=2", b"a=1; b=2"),
    (b"__Host-bastion_session=s; a=1;b=2", b"a=1;b=2"),
    (b"a=1; bastion_x=s", b"a=1"),
    (b"__HOST-BASTION_APP=s", None),
    (b"__Host-bastion_session", None),
    (b"__Host-bastion_session=s; ", None),
    (b"a=1; " + RENAMED + b"__Host-sid=2; b=3", b"a=1; __Host-sid=2; b=3"),
    (RENAMED + b"__host-SID=2", b"__host-SID=2"),
    (RENAMED + b"other=2; a=1", b"a=1"),
    (b'a="; __Host-bastion_session=s; "', b'a="; "'),
    (b"__Host-sid=1", b"__Host-sid=1"),
]


@pytest.mark.parametrize(("value", "expected"), SENT)
def test_an_application_sees_its_own_cookies_as_it_set_them(value: Any, expected: Any) -> None:
    assert restore_cookies(value) == expected


NAMES = st.text("__Host-bastion_Secure-ab \t", max_size=25).map(str.encode)


@given(
    NAMES, st.binary(max_size=10).map(lambda b: bytes(set(b) - set(b";\r\n\x00") - set(range(32)) - {127}))
)
def test_what_a_browser_stores_comes_back_as_it_was_set(name: Any, content: Any) -> None:
    """Unless it was refused, and no name of the bastion's is ever stored."""
    placed = place_cookie(TLS, name + b"=" + content)
    if placed is None:
        return
    stored = placed.partition(b";")[0]
    key, _, value = stored.partition(b"=")
    stored = key.strip(b" \t") + b"=" + value if key.strip(b" \t") else value.strip(b" \t")
    assert not stored.lower().startswith((b"__host-", b"bastion_"))
    back = restore_cookies(b"x=1; " + stored)
    assert back == b"x=1; " + (
        name.strip(b" \t") + b"=" + content if name.strip(b" \t") else content.strip(b" \t")
    )


@given(st.binary(max_size=60))
def test_nothing_raises_and_the_path_is_always_ours(value: Any) -> None:
    restore_cookies(value)
    placed = place_cookie(PLAIN, value)
    if placed is not None:
        attributes = [part.partition(b"=") for part in placed.split(b";")[1:]]
        paths = [content for key, _, content in attributes if key.strip(b" \t").lower() == b"path"]
        assert len(paths) == 1 and (paths[0] == P or paths[0].startswith(P + b"/"))
        assert not [key for key, _, _ in attributes if key.strip(b" \t").lower() == b"domain"]


def test_a_long_cookie_header_takes_no_longer_than_it_is_long() -> None:
    for value in (
        b"a=b;" * 16384,
        b'a="' + b"\\" * 65536,
        b"bastion" * 9000,
        RENAMED * 4000,
        b";" * 65536 + b"bastion",
    ):
        for _ in range(20):
            restore_cookies(value)
            place_cookie(TLS, value)


# --- the bastion's own

OWN_COOKIES = [
    # Cookie fields, the value of the session's
    ([b"__Host-bastion_session=abc"], b"abc"),
    ([b"a=1; __Host-bastion_session=abc; b=2"], b"abc"),
    ([b"a=1;__Host-bastion_session=abc;b=2"], b"abc"),
    ([b"a=1", b"__Host-bastion_session=abc"], b"abc"),
    ([b"__Host-bastion_session=a=b=="], b"a=b=="),
    ([b"__Host-bastion_session=abc; __Host-bastion_session=def"], b""),
    ([b"__Host-bastion_session=abc", b"__Host-bastion_session=abc"], b""),
    ([b"__host-bastion_session=abc"], b""),
    ([b"x__Host-bastion_session=abc"], b""),
    ([b"a=__Host-bastion_session=abc"], b""),
    ([b"__Host-bastion_session"], b""),
    ([b"__Host-bastion_session="], b""),
    ([b'a="; __Host-bastion_session=abc"'], b'abc"'),
    ([b""], b""),
    ([], b""),
]


@pytest.mark.parametrize(("lines", "value"), OWN_COOKIES)
def test_the_value_of_one_of_our_own(lines: Any, value: Any) -> None:
    assert own_cookie([(b"cookie", b"Cookie", line) for line in lines], SESSION) == value


def test_reading_cookies_takes_time_in_proportion_to_their_size() -> None:
    """CVE-2024-7592: http.cookies takes seconds for this."""
    began = time.perf_counter()
    own_cookie([(b"cookie", b"Cookie", b'__Host-bastion_session="' + b"\\" * 60_000)], SESSION)
    assert time.perf_counter() - began < 0.1


@pytest.mark.parametrize("name", [SESSION, RETURN, APPLICATION, HANDOFF])
def test_our_own_are_neither_shown_to_an_application_nor_set_by_one(name: Any) -> None:
    assert restore_cookies(b"a=1; %b=x; b=2" % name) == b"a=1; b=2"
    for prefix in (b"", b"/p/proxy"):
        assert place_cookie(Mount(prefix, frozenset(), b"/", True), b"%b=x; Path=/; Secure" % name) is None


def test_our_own_are_bound_to_their_host_and_kept_from_scripts_and_other_sites() -> None:
    assert (
        set_own(SESSION, b"v", 60)
        == b"__Host-bastion_session=v; Path=/; Secure; HttpOnly; SameSite=Lax; Max-Age=60"
    )
    assert set_own(SESSION, b"", 0).startswith(b"__Host-bastion_session=; ")


def test_on_a_host_of_its_own_a_siblings_cookie_does_not_become_a_host_cookie() -> None:
    assert restore_cookies(b"a=1; __Secure-bastion-__Host-session=evil", renamed=False) == b"a=1"
    assert restore_cookies(b"a=1; __Secure-bastion-__Host-session=good") == b"a=1; __Host-session=good"
