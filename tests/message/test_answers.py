"""What may an answer say under a prefix, where it speaks from the bastion's origin, and what on a host of the
application's own?
"""

from __future__ import annotations

from typing import Any

import pytest

from bastion.kube.status import unauthorized
from bastion.message.answers import Policy, RequestContext, present
from bastion.message.mount import Mount
from bastion.message.ownorigin import (
    DATA,
    RULES,
    SANDBOX,
    CredentialKind,
    CrossSite,
    Rule,
    page_fields,
    status_fields,
)

PREFIX = b"/api/v1/namespaces/shop/services/web/proxy"
PAGE = (b"content-type", b"Content-Type", b"text/html")


def answered(*fields: Any, prefixed: bool = True, ambient: bool = False, sandbox: bool = True) -> Any:
    mount = Mount(PREFIX if prefixed else b"", frozenset(), b"/", True, b"bastion.test")
    return present(
        RequestContext("GET", [], prefixed, ambient),
        200,
        list(fields),
        2,
        lambda: mount,
        Policy(edit_html=False, sandbox=sandbox),
    ).fields


def field(name: Any, value: Any) -> Any:
    return (name.lower().encode(), name.encode(), value)


def values_of(fields: Any, name: Any) -> Any:
    return [value for lower, _, value in fields if lower == name.lower().encode()]


ORIGIN_WIDE = {
    "Accept-CH": b"Sec-CH-UA-Model",
    "Critical-CH": b"Sec-CH-UA-Model",
    "Set-Login": b"logged-out",
    "Idp-Signin-Status": b"action=signin",
    "Use-As-Dictionary": b'match="/api/*"',
    "Secure-Session-Registration": b'(ES256);path="/x";challenge="c"',
    "Sec-Session-Registration": b'(ES256);path="/x";challenge="c"',
    "Secure-Session-Challenge": b'"c";id="s"',
    "Origin-Agent-Cluster": b"?0",
    "Clear-Site-Data": b'"*"',
    "Service-Worker-Allowed": b"/",
    "Strict-Transport-Security": b"max-age=1; includeSubDomains",
    "Alt-Svc": b'h2="evil.test:443"',
    "NEL": b'{"report_to":"x","max_age":1}',
    "Report-To": b"{}",
    "Reporting-Endpoints": b'default="https://evil.test/"',
    "Shared-Storage-Write": b'set;key="a";value="b"',
    "Attribution-Reporting-Register-Source": b"{}",
    "Activate-Storage-Access": b"load",
}


@pytest.mark.parametrize("name", ORIGIN_WIDE)
def test_nobody_speaks_for_the_whole_origin_under_a_prefix(name: Any) -> None:
    said = field(name, ORIGIN_WIDE[name])
    assert not values_of(answered(PAGE, said), name)
    if name != "Clear-Site-Data":
        assert said in answered(PAGE, said, prefixed=False), "on a host of its own it does"


CLEARED = {
    # what an application says on its own host, what is left of it
    b'"*"': [b'"cache", "storage", "executionContexts"'],
    b'"cookies"': [],
    b'"cookies", "cache"': [b'"cache"'],
    b'"cache","cookies","storage"': [b'"cache", "storage"'],
    b'"storage"': [b'"storage"'],
    b' "cache"\t, "*"': [b'"cache", "storage", "executionContexts"'],
    b'"COOKIES"': [],
    b"cookies": [],
    b'"what comes next"': [],
    b"": [],
}


@pytest.mark.parametrize(("said", "left"), CLEARED.items())
def test_on_its_own_host_an_application_clears_what_is_its_own(said: Any, left: Any) -> None:
    """Cookies are cleared for the whole domain (Clear Site Data, 3.1): those of other applications, and
    perhaps of the bastion.
    """
    assert (
        values_of(answered(field("Clear-Site-Data", said), PAGE, prefixed=False), "Clear-Site-Data") == left
    )


# --- the sandbox


@pytest.mark.parametrize(
    "own", [(), (field("Content-Security-Policy", b"sandbox allow-same-origin allow-scripts"),)]
)
def test_what_no_token_asked_for_is_sandboxed_beside_any_policy_of_its_own(own: Any) -> None:
    assert answered(PAGE, *own, ambient=True).count(SANDBOX) == 1
    assert SANDBOX not in answered(PAGE, *own)
    assert SANDBOX not in answered(PAGE, *own, ambient=True, prefixed=False)
    assert SANDBOX not in answered(PAGE, *own, ambient=True, sandbox=False)
    assert set(own) <= set(answered(PAGE, *own, ambient=True))


@pytest.mark.parametrize(
    "kind", ["text/html", "image/svg+xml", "application/xhtml+xml", "application/pdf", "", "text/plain"]
)
def test_the_sandbox_does_not_depend_on_what_it_is_said_to_be(kind: Any) -> None:
    assert SANDBOX in answered(field("Content-Type", kind.encode()), ambient=True)
    assert SANDBOX in answered(ambient=True)


def test_the_sandbox_is_one() -> None:
    _, _, value = SANDBOX
    assert value.split()[0] == b"sandbox"
    assert not {b"allow-same-origin", b"allow-top-navigation", b"allow-popups-to-escape-sandbox"} & set(
        value.split()
    )


# --- the table


def test_every_kind_of_credential_has_a_rule() -> None:
    assert set(RULES) == set(CredentialKind)


def test_the_rules() -> None:
    """Two kinds that a browser shows unasked and that count for anybody's page would be what the table is
    against.
    """
    assert RULES[CredentialKind.TOKEN] == Rule(ambient=False, cross_site=CrossSite.COUNTS)
    for kind in set(CredentialKind) - {CredentialKind.TOKEN}:
        assert RULES[kind].ambient
    assert {kind for kind, rule in RULES.items() if rule.ambient and rule.cross_site is CrossSite.COUNTS} == {
        CredentialKind.NOTHING
    }


@pytest.mark.parametrize("fields", [DATA, page_fields("'none'")], ids=["data", "page"])
def test_an_answer_of_the_bastions_own_lets_nothing_in(fields: Any) -> None:
    said = {lower: value for lower, _, value in fields}
    policy = said[b"content-security-policy"].decode().split("; ")
    assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy)
    assert "unsafe-inline" not in said[b"content-security-policy"].decode()
    assert said[b"cross-origin-opener-policy"] == said[b"cross-origin-resource-policy"] == b"same-origin"
    assert said[b"x-content-type-options"] == b"nosniff"
    assert all(name.lower() == lower for lower, name, _ in fields)


@pytest.mark.parametrize(
    "mark",
    [field("Sec-Fetch-Mode", b"navigate"), field("Sec-Fetch-Dest", b"iframe"), field("Sec-Fetch-Dest", b"")],
)
def test_a_browser_is_told_how_to_keep_a_status_apart_and_a_program_what_it_always_was(mark: Any) -> None:
    fields = status_fields(unauthorized(), [PAGE, mark])
    assert set(DATA) <= set(fields)
    assert {lower for lower, _, _ in status_fields(unauthorized(), [PAGE])} == {
        *(
            b"content-type",
            b"cache-control",
            b"x-content-type-options",
            b"www-authenticate",
            b"x-bastion-error",
        )
    }
