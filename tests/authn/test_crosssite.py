"""Does a cookie count?  One row per way that a request may come about."""

from __future__ import annotations

from typing import Any

import pytest

from bastion.signin.crosssite import may_use_cookie, own_origins, provenance

HOST = b"bastion.example.test:8443"
OWN, SIBLING, EVIL = (
    b"https://bastion.example.test:8443",
    b"https://web--shop.svc.example.test:8443",
    b"https://evil.test",
)


def asked(method: str, upgrade: bool = False, **said: Any) -> bool:
    names = {
        "site": b"sec-fetch-site",
        "mode": b"sec-fetch-mode",
        "dest": b"sec-fetch-dest",
        "origin": b"origin",
    }
    fields = [(names[key], names[key].title(), value) for key, value in said.items()]
    return may_use_cookie(provenance(method, fields, b"https", HOST, upgrade=upgrade))


COUNTS = {
    # --- a person
    "the address bar": ("GET", {"site": b"none", "mode": b"navigate", "dest": b"document"}),
    "a link on another site": ("GET", {"site": b"cross-site", "mode": b"navigate", "dest": b"document"}),
    "a link on a sibling": ("GET", {"site": b"same-site", "mode": b"navigate", "dest": b"document"}),
    "a link in an old browser": ("GET", {}),
    # --- our own page
    "an image": ("GET", {"site": b"same-origin", "mode": b"no-cors", "dest": b"image"}),
    "a frame": ("GET", {"site": b"same-origin", "mode": b"navigate", "dest": b"iframe"}),
    "a form": ("POST", {"site": b"same-origin", "mode": b"navigate", "dest": b"document", "origin": OWN}),
    "a form in an old browser": ("POST", {"origin": OWN}),
    "a form of a page without a referrer": (
        "POST",
        {"site": b"same-origin", "mode": b"navigate", "origin": b"null"},
    ),
    "a fetch": ("PUT", {"site": b"same-origin", "mode": b"cors", "dest": b"empty", "origin": OWN}),
    "a fetch that deletes": ("DELETE", {"site": b"same-origin", "mode": b"cors", "origin": OWN}),
    "a fetch without an Origin": ("POST", {"site": b"same-origin", "mode": b"cors"}),
    "HEAD in an old browser": ("HEAD", {}),
    "OPTIONS in an old browser": ("OPTIONS", {}),
}
NEVER = {
    # --- another site's page
    "a cross-site form": (
        "POST",
        {"site": b"cross-site", "mode": b"navigate", "dest": b"document", "origin": EVIL},
    ),
    "a cross-site form in an old browser": ("POST", {"origin": EVIL}),
    "a cross-site form without an Origin": ("POST", {}),
    "a cross-site form that hides where it is from": (
        "POST",
        {"site": b"cross-site", "mode": b"navigate", "origin": b"null"},
    ),
    "the same in an old browser": ("POST", {"origin": b"null"}),
    "a cross-site fetch": ("GET", {"site": b"cross-site", "mode": b"cors", "dest": b"empty", "origin": EVIL}),
    "a cross-site fetch without an Origin": (
        "GET",
        {"site": b"cross-site", "mode": b"no-cors", "dest": b"empty"},
    ),
    "a cross-site fetch in an old browser": ("GET", {"origin": EVIL}),
    "a cross-site fetch from a sandbox": ("GET", {"site": b"cross-site", "mode": b"cors", "origin": b"null"}),
    "the same in an old browser, with GET": ("GET", {"origin": b"null"}),
    "a cross-site image": ("GET", {"site": b"cross-site", "mode": b"no-cors", "dest": b"image"}),
    "a cross-site script": ("GET", {"site": b"cross-site", "mode": b"no-cors", "dest": b"script"}),
    "a cross-site frame": ("GET", {"site": b"cross-site", "mode": b"navigate", "dest": b"iframe"}),
    "a cross-site object": ("GET", {"site": b"cross-site", "mode": b"navigate", "dest": b"object"}),
    "a cross-site HEAD": ("HEAD", {"site": b"cross-site", "mode": b"no-cors"}),
    "a cross-site ping": ("POST", {"site": b"cross-site", "mode": b"no-cors", "origin": EVIL}),
    # --- a sibling's page: the same site to a browser, another to us
    "a sibling's fetch": (
        "GET",
        {"site": b"same-site", "mode": b"cors", "dest": b"empty", "origin": SIBLING},
    ),
    "a sibling's image": ("GET", {"site": b"same-site", "mode": b"no-cors", "dest": b"image"}),
    "a sibling's form": (
        "POST",
        {"site": b"same-site", "mode": b"navigate", "dest": b"document", "origin": SIBLING},
    ),
    "a sibling's frame": ("GET", {"site": b"same-site", "mode": b"navigate", "dest": b"iframe"}),
    # --- what no browser sends
    "an Origin that belies the site": ("POST", {"site": b"same-origin", "mode": b"cors", "origin": EVIL}),
    "a site that belies the Origin": ("POST", {"site": b"cross-site", "mode": b"cors", "origin": OWN}),
    "the same with GET": ("GET", {"site": b"cross-site", "mode": b"navigate", "origin": OWN}),
    "a site that is none": ("GET", {"site": b"Same-Origin", "mode": b"no-cors"}),
    "a form from nowhere": ("POST", {"site": b"none", "mode": b"navigate", "dest": b"document"}),
    "two Origins": ("POST", {"origin": OWN + b"," + OWN}),
    "another port": ("POST", {"origin": b"https://bastion.example.test"}),
    "another scheme": ("POST", {"origin": b"http://bastion.example.test:8443"}),
    "a longer name": ("POST", {"origin": OWN + b"0"}),
    "an empty Origin": ("POST", {"origin": b""}),
}


@pytest.mark.parametrize(("method", "said"), COUNTS.values(), ids=COUNTS)
def test_it_counts(method: str, said: dict[str, bytes]) -> None:
    assert asked(method, **said)  # type: ignore[arg-type]


@pytest.mark.parametrize(("method", "said"), NEVER.values(), ids=NEVER)
def test_it_does_not_count(method: str, said: dict[str, bytes]) -> None:
    assert not asked(method, **said)  # type: ignore[arg-type]


UPGRADES = [
    (OWN, {}, True),
    (OWN, {"site": b"same-origin", "mode": b"websocket"}, True),
    (OWN, {"site": b"cross-site", "mode": b"websocket"}, True),  # Firefox compares https with wss
    (EVIL, {}, False),
    (EVIL, {"site": b"same-origin"}, False),
    (SIBLING, {"site": b"same-site"}, False),
    (b"null", {"site": b"same-origin"}, False),
    (b"", {"site": b"same-origin"}, False),
    (b"", {"site": b"none", "mode": b"navigate"}, False),
    (b"", {}, False),
]


@pytest.mark.parametrize(("origin", "said", "good"), UPGRADES)
def test_an_upgrade_counts_by_its_origin_alone(origin: bytes, said: dict[str, bytes], good: bool) -> None:
    assert asked("GET", upgrade=True, origin=origin, **said) is good


def test_a_field_given_twice_says_nothing() -> None:
    fields = [(b"sec-fetch-site", b"Sec-Fetch-Site", b"same-origin")] * 2
    assert not may_use_cookie(provenance("POST", fields, b"https", HOST))
    assert not may_use_cookie(provenance("GET", fields, b"https", HOST))


ORIGINS = [
    (b"https", b"a.test:8443", {b"https://a.test:8443"}),
    (b"https", b"A.test", {b"https://a.test"}),
    (b"https", b"a.test:443", {b"https://a.test", b"https://a.test:443"}),
    # behind something that ends TLS; a page over plain HTTP is ours only where we serve plain HTTP
    (b"http", b"a.test:8080", {b"https://a.test:8080", b"http://a.test:8080"}),
]


@pytest.mark.parametrize(("scheme", "host", "origins"), ORIGINS)
def test_what_our_own_origins_are(scheme: bytes, host: bytes, origins: set[bytes]) -> None:
    assert own_origins(scheme, host) == origins
