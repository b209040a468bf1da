"""Which credentials count, of those that a browser shows whoever made it ask?"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from bastion.authn.authenticator import Credentials
from bastion.authn.requestheader import FrontProxyHeaders
from bastion.identity.signedin import SignedIn
from bastion.kube.user import User
from bastion.message.ownorigin import CredentialKind
from bastion.message.upgrade import UpgradeRequest
from bastion.proxy.credentials import CredentialReader
from bastion.proxy.origin import Origins

HOST = b"bastion.test:8443"
OWN, EVIL = "https://bastion.test:8443", "https://evil.test"
ANNA = SignedIn(b"i", "main", "anna", "", "main:anna", (), begun=0.0, issued=0, until=2**40)
SHOWN = (b"a certificate",)
REMOTE_USER = ("X-Remote-User", "erin")

# Every way to be somebody, and what kind it is; the names are those of the fields of Credentials.
KINDS = {
    "": (Credentials(), CredentialKind.NOTHING),
    "token": (Credentials("t"), CredentialKind.TOKEN),
    "explicit": (Credentials("t", explicit=True), CredentialKind.TOKEN),
    "certificate": (Credentials(certificate=SHOWN), CredentialKind.CERTIFICATE),
    "asserted": (Credentials(certificate=SHOWN, asserted=User("erin")), CredentialKind.FRONT_PROXY),
    "session": (Credentials("t", session=True), CredentialKind.COOKIE),
    "signed_in": (Credentials(session=True, signed_in=ANNA), CredentialKind.COOKIE),
    "note": (Credentials(note="scheme Basic"), CredentialKind.NOTHING),
}


def test_whoever_adds_a_credential_says_which_kind_it_is() -> None:
    assert set(KINDS) == {"", *Credentials.__struct_fields__}
    assert {kind for _, kind in KINDS.values()} == set(CredentialKind)


@pytest.mark.parametrize(("credentials", "kind"), KINDS.values(), ids=KINDS)
def test_each_is_of_its_kind(credentials: Any, kind: Any) -> None:
    assert credentials.kind is kind


MIXED = [
    # A token that a front proxy passes on beside its own headers is as ambient as those: they are looked at
    # first.
    (Credentials("t", certificate=SHOWN, asserted=User("erin")), CredentialKind.FRONT_PROXY),
    (Credentials("t", certificate=SHOWN), CredentialKind.CERTIFICATE),
    (Credentials("t", explicit=True, session=True), CredentialKind.COOKIE),
]


@pytest.mark.parametrize(("credentials", "kind"), MIXED)
def test_of_several_the_ambient_one_decides(credentials: Any, kind: Any) -> None:
    assert credentials.kind is kind


def read(method: Any, *lines: Any, certificate: Any = SHOWN, upgrade: bool = False) -> Any:
    fields = [(name.lower().encode(), name.encode(), value.encode()) for name, value in lines]
    exchange = SimpleNamespace(
        method=method,
        fields=fields,
        client="127.0.0.1",
        scheme=b"https",
        host=HOST,
        certificate=certificate,
        to_proxy=False,
    )
    reader = CredentialReader(Origins(()), FrontProxyHeaders((b"x-remote-user",)), None, lambda: 0.0)
    return reader.read(exchange, UpgradeRequest(b"websocket") if upgrade else None, None).kind


def said(site: str = "", mode: str = "", dest: str = "", origin: str = "") -> Any:
    names = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": dest, "Origin": origin}
    return [(name, value) for name, value in names.items() if value]


COUNT = {
    "curl": ("GET", []),
    "curl that posts": ("POST", []),
    "the address bar": ("GET", said("none", "navigate", "document")),
    "a link elsewhere": ("GET", said("cross-site", "navigate", "document")),
    "our own page's fetch": ("DELETE", said("same-origin", "cors", "empty", OWN)),
    "a program that says where it is": ("POST", said(origin=OWN)),
}
NEVER = {
    "a form elsewhere": ("POST", said("cross-site", "navigate", "document", EVIL)),
    "the same in an old browser": ("POST", said(origin=EVIL)),
    "a form that hides where it is from": ("POST", said("cross-site", "navigate", "document", "null")),
    "a frame": ("GET", said("cross-site", "navigate", "iframe")),
    "an image": ("GET", said("cross-site", "no-cors", "image")),
    "a sandboxed page's fetch": ("PUT", said("cross-site", "cors", "empty", "null")),
    "a sibling's": ("GET", said("same-site", "no-cors", "script")),
}


@pytest.mark.parametrize("lines", [[], [REMOTE_USER]], ids=["certificate", "front proxy"])
@pytest.mark.parametrize(("method", "marks"), COUNT.values(), ids=COUNT)
def test_it_counts_for_programs_and_for_our_own_pages(lines: Any, method: Any, marks: Any) -> None:
    assert read(method, *lines, *marks) in (CredentialKind.CERTIFICATE, CredentialKind.FRONT_PROXY)


@pytest.mark.parametrize(
    "lines",
    [[], [REMOTE_USER], [REMOTE_USER, ("Authorization", "Bearer passed-on")]],
    ids=["cert", "front", "both"],
)
@pytest.mark.parametrize(("method", "marks"), NEVER.values(), ids=NEVER)
def test_it_does_not_count_for_another_site(lines: Any, method: Any, marks: Any) -> None:
    assert read(method, *lines, *marks) is CredentialKind.NOTHING


@pytest.mark.parametrize(
    ("marks", "kind"),
    [
        ([], CredentialKind.CERTIFICATE),
        (said(origin=OWN), CredentialKind.CERTIFICATE),
        (said(origin=EVIL), CredentialKind.NOTHING),
    ],
)
def test_a_websocket_of_another_site_has_no_certificate(marks: Any, kind: Any) -> None:
    assert read("GET", *marks, upgrade=True) is kind


@pytest.mark.parametrize(("method", "marks"), NEVER.values(), ids=NEVER)
def test_a_token_in_a_header_is_whoevers_who_holds_it(method: Any, marks: Any) -> None:
    assert read(method, ("Authorization", "Bearer t"), *marks, certificate=()) is CredentialKind.TOKEN
    assert read(method, ("X-Bastion-Authorization", "Bearer t"), *marks) is CredentialKind.TOKEN
