"""Whom do a front proxy's headers name?

Rows C-RH-n are those of kube-apiserver's own requestheader_test.go.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.requestheader import FrontProxyAuthenticator, FrontProxyHeaders
from bastion.authn.subprotocol import request_credentials
from bastion.authn.x509 import CertificateAuthenticator, CertificateVerifier, TrustAnchors
from bastion.http.fields import Field
from bastion.kube.user import User
from bastion.message.identity import withholding
from tests.authn.certificates import NOW, SERVER, Issued, authority, issue
from tests.fakes import SOMEBODY, run

if TYPE_CHECKING:
    from bastion.http.fields import Field


def headers(
    usernames: str = "X-Remote-User", groups: str = "", uids: str = "", extra: str = ""
) -> FrontProxyHeaders:
    """Blank-separated names, as they are configured."""
    return FrontProxyHeaders(
        *(
            tuple(name.lower().encode() for name in names.split())
            for names in (usernames, groups, uids, extra)
        )
    )


def fields(*lines: str) -> list[Field]:
    made = [line.partition(": ") for line in lines]
    return [(name.lower().encode(), name.encode(), value.encode()) for name, _, value in made]


BOB = "X-Remote-User: Bob"
EXTRAS = (
    "X-Remote-Extra-1-key1: alfa",
    "X-Remote-Extra-1-Key1: bravo",
    "X-Remote-Extra-1-key2: charlie",
    "X-Remote-extra-1-key2: delta",
    "X-Remote-Extra-1-: india",
    "X-Remote-Extra-1-: juliet",
    "X-Remote-Extra-2-key1: echo",
    "X-Remote-Extra-2-key1: foxtrot",
    "X-Remote-Extra-2-key2: golf",
    "X-Remote-Extra-2-key2: hotel",
    "X-Remote-Extra-2-: kilo",
    "X-Remote-Extra-2-: lima",
)
EXTRA = (
    ("key1", ("alfa", "bravo", "echo", "foxtrot")),
    ("key2", ("charlie", "delta", "golf", "hotel")),
    ("", ("india", "juliet", "kilo", "lima")),
)
ESCAPED = {
    "Alpha": "alpha",
    "Percent%20encoded": "percent encoded",
    "Almost%zzpercent%xxencoded": "almost%zzpercent%xxencoded",
    "Example.com%2fpercent%2520encoded": "example.com/percent%20encoded",
    "Example.com%2F%E4%BB%8A%E6%97%A5%E3%81%AF": "example.com/今日は",
    "Abc123!#$+.-_*\\^`~|'": "abc123!#$+.-_*\\^`~|'",
    "%ff": "%ff",
}

NAMED = {
    "C-RH-1 nothing configured": (headers(usernames=""), (BOB,), None),
    "C-RH-2 no such header": (headers(), (), None),
    "C-RH-3": (headers(groups="X-Remote-Group", extra="X-Remote-Extra-"), (BOB,), User("Bob")),
    "C-RH-4 names that are alike": (
        headers(),
        ("Prefixed-X-Remote-User-With-Suffix: Bob", "X-Remote-User-With-Suffix: Bob"),
        None,
    ),
    "C-RH-5 only the first value of each": (
        headers("X-Remote-User A-Second-X-Remote-User Another-X-Remote-User"),
        (
            "X-Remote-User: ",
            "X-Remote-User: First header, second value",
            "A-Second-X-Remote-User: Second header, first value",
            "A-Second-X-Remote-User: Second header, second value",
            "Another-X-Remote-User: Third header, first value",
        ),
        User("Second header, first value"),
    ),
    "C-RH-6 whatever the case": (headers("x-REMOTE-user"), ("X-Remote-USER: Bob",), User("Bob")),
    "C-RH-7 no group": (headers(groups="X-Remote-Group"), (BOB,), User("Bob")),
    "C-RH-8 groups in order, not split": (
        headers(groups="X-Remote-Group-1 X-Remote-Group-2"),
        (
            BOB,
            "X-Remote-Group-2: two-a",
            "X-Remote-Group-1: one-a",
            "X-Remote-Group-1: one-b",
            "X-Remote-Group-2: two,b",
        ),
        User("Bob", groups=("one-a", "one-b", "two-a", "two,b")),
    ),
    "C-RH-9": (
        headers(groups="X-Remote-GROUP"),
        (BOB, "x-remote-group: Users"),
        User("Bob", groups=("Users",)),
    ),
    "C-RH-10 no uid": (headers(uids="X-Remote-Uid"), (BOB,), User("Bob")),
    "C-RH-11 another header's uid": (
        headers(uids="X-Remote-Uid"),
        (BOB, "X-Remote-Uid-1: one", "X-Remote-Uid-2: two"),
        User("Bob"),
    ),
    "C-RH-12 the first uid": (
        headers(uids="X-Remote-Uid-1 X-Remote-Uid-2"),
        (BOB, "X-Remote-Uid-2: two", "X-Remote-Uid-1: one"),
        User("Bob", "one"),
    ),
    "C-RH-13 extras": (
        headers(extra="X-Remote-Extra-1- X-Remote-Extra-2-"),
        (BOB, *EXTRAS),
        User("Bob", extra=EXTRA),
    ),
    "C-RH-14 and others": (
        headers(extra="X-Remote-Extra-1- X-Remote-Extra-2-"),
        (BOB, *EXTRAS, "X-Other: x"),
        User("Bob", extra=EXTRA),
    ),
    "C-RH-15 escaped keys": (
        headers(extra="X-Remote-Extra-"),
        (BOB, *(f"X-Remote-Extra-{key}: v" for key in ESCAPED)),
        User("Bob", extra=tuple((key, ("v",)) for key in ESCAPED.values())),
    ),
    "groups of nobody": (headers(groups="X-Remote-Group"), ("X-Remote-Group: system:masters",), None),
    "an empty name": (headers(), ("X-Remote-User: ",), None),
    "in UTF-8": (headers(), ("X-Remote-User: Jürgen",), User("Jürgen")),
}


@pytest.mark.parametrize(("configured", "lines", "user"), NAMED.values(), ids=NAMED)
def test_the_headers_name_a_user(
    configured: FrontProxyHeaders, lines: tuple[str, ...], user: User | None
) -> None:
    assert configured.asserted(fields(*lines)) == user


def test_a_name_that_is_not_utf8_names_nobody() -> None:
    assert headers().asserted([(b"x-remote-user", b"X-Remote-User", b"J\xfcrgen")]) is None
    bad = [*fields(BOB), (b"x-remote-group", b"X-Remote-Group", b"\xff")]
    assert headers(groups="X-Remote-Group").asserted(bad) is None


def test_all_its_names_are_known() -> None:
    assert headers().names() == ((b"x-remote-user",), ())
    assert headers(groups="G", uids="U", extra="E-").names() == ((b"x-remote-user", b"g", b"u"), (b"e-",))


# --- whose certificate it takes

PROXIES, USERS = authority("front proxies"), authority("users")
PROXY = issue(PROXIES, "aggregator")


def _verifier(trust: TrustAnchors) -> CertificateVerifier:
    return CertificateVerifier(lambda: trust, lambda: NOW)


def known(certificate: Issued | None, *lines: str, allowed: str = "") -> User | None:
    """As a bastion with both kinds of authority would have it, front proxies first."""
    verifiers = [_verifier(TrustAnchors(one.pem)) for one in (PROXIES, USERS)]
    front = FrontProxyAuthenticator(verifiers[0], frozenset(allowed.split()))
    chain = (certificate.der,) if certificate is not None else ()
    credentials = request_credentials(
        fields(*lines), websocket=False, certificate=chain, front_proxy=headers()
    )
    found = front.known(credentials).value
    assert run(front.authenticate(credentials, SOMEBODY)) == found
    return found if found is not None else CertificateAuthenticator(verifiers[1]).known(credentials).value


def test_the_certificate_of_a_front_proxy_makes_the_headers_count() -> None:
    assert known(PROXY, BOB) == User("Bob", groups=("system:authenticated",))
    # C-X5-25
    assert known(PROXY, BOB, allowed="other aggregator") == User("Bob", groups=("system:authenticated",))


REFUSED = {
    "C-X5-18 no certificate": (None, ""),
    "C-X5-20 self-signed": (issue(None, "aggregator"), ""),
    "C-X5-21 a server's": (issue(PROXIES, "aggregator", usage=[SERVER]), ""),
    "C-X5-24 not one of the names": (PROXY, "foo bar"),
    "C-X5-24 a name that begins so": (issue(PROXIES, "aggregator2"), "aggregator"),
    "C-X5-26 not yet valid": (issue(PROXIES, "aggregator", begins=60), ""),
    "C-X5-27 expired": (issue(PROXIES, "aggregator", ends=-60), ""),
    "a name is asked for and there is none": (issue(PROXIES, None), "aggregator"),
}


@pytest.mark.parametrize(("certificate", "allowed"), REFUSED.values(), ids=REFUSED)
def test_without_it_they_are_nothing(certificate: Issued | None, allowed: str) -> None:
    assert known(certificate, BOB, allowed=allowed) is None


def test_a_users_certificate_is_the_users_whatever_the_headers_say() -> None:
    found = known(issue(USERS, "joe"), "X-Remote-User: admin", "X-Remote-Group: system:masters")
    assert found is not None
    assert (found.name, found.groups) == ("joe", ("system:authenticated",))


def test_a_front_proxys_certificate_without_headers_is_nobodys() -> None:
    assert known(PROXY) is None


def test_an_empty_allow_list_takes_a_certificate_without_a_name() -> None:
    assert known(issue(PROXIES, None, "proxies"), BOB) is not None


def test_with_a_token_of_its_own_kind_nothing_else_is_looked_at() -> None:
    lines = fields(BOB, "X-Bastion-Authorization: Bearer t")
    credentials = request_credentials(lines, websocket=False, certificate=(PROXY.der,), front_proxy=headers())
    assert credentials == Credentials("t", explicit=True)


def test_what_a_request_carries_is_compared_and_never_shown() -> None:
    credentials = request_credentials(
        fields(BOB), websocket=False, certificate=(PROXY.der,), front_proxy=headers()
    )
    assert credentials == Credentials(certificate=(PROXY.der,), asserted=User("Bob"))
    assert hash(credentials) == hash(Credentials(certificate=(PROXY.der,), asserted=User("Bob")))
    assert "Bob" not in repr(credentials)


# --- and what reaches no backend (C-AF-13..26)


def test_configured_names_are_kept_from_backends() -> None:
    withheld = withholding(*headers("Who", "Team", "Number", "More-").names())
    for name in (
        b"who",
        b"team",
        b"number",
        b"more-",
        b"more-x",
        b"x-remote-user",
        b"x-remote-extra-x",
        b"a_b",
    ):
        assert withheld(name)
    for name in (b"whose", b"x-who", b"x-more-x", b"accept"):
        assert not withheld(name)
