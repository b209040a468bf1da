"""Does a person read this, or a program?"""

from __future__ import annotations

from typing import ClassVar

import pytest

from bastion.http.fields import Field
from bastion.kube.attributes import Attributes
from bastion.kube.errors import forbidden
from bastion.message.person import facts_of, is_person, prefers_html
from tests.proxy.exchanges import fields_of

PAGE = "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
GOES = "Sec-Fetch-Mode: navigate"
TOKEN = "Authorization: Bearer t"
ASKED = [
    ((PAGE, GOES), True),
    ((PAGE, GOES, TOKEN), True),  # whatever the credential
    ((PAGE, "Sec-Fetch-Mode: cors"), False),
    ((PAGE, "Sec-Fetch-Site: none"), False),
    ((PAGE, GOES, "Sec-Fetch-Mode: cors"), False),
    ((GOES,), False),
    ((PAGE,), True),  # a browser of before Fetch Metadata
    ((PAGE, TOKEN), False),
    ((PAGE, "X-Bastion-Authorization: Bearer t"), False),
    ((), False),
]


@pytest.mark.parametrize(("lines", "person"), ASKED)
def test_who_reads_it(lines: tuple[str, ...], person: bool) -> None:
    assert is_person("GET", fields_of(*lines)) is person


def test_an_old_browsers_form_is_not_known_from_a_program() -> None:
    assert not is_person("POST", fields_of(PAGE))
    assert is_person("POST", fields_of(PAGE, GOES))


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        (b"text/html", True),
        (b"text/html;q=0.5, application/json;q=0.4", True),
        (b"text/html, application/json", True),
        (b"application/json, text/html", False),
        (b"application/json, text/html;q=0.9", False),
        (b"text/html;q=0.5, */*", False),
        (b"text/html;q=0.5, */*, application/json;q=0.1", True),
        (b"*/*", False),
        (b"text/html;q=0", False),
        (b"text/html;q=x", False),
    ],
)
def test_html_is_asked_for_by_name_and_liked_best(accept: bytes, html: bool) -> None:
    assert prefers_html([accept]) is html


class Asked:
    method, target, audit_id = "GET", b"/api/v1/namespaces/ns/pods/x/proxy/?token=secret", "id"
    fields: ClassVar[list[Field]] = [(b"origin", b"Origin", b"null")]


def test_the_facts_of_a_missing_rule() -> None:
    refused = forbidden("bob", Attributes("get", namespace="ns", resource="pods", name="x"))
    facts = facts_of(refused, Asked())
    assert (facts.code, facts.word, facts.hop, facts.request) == (403, "MissingRule", "client", "id")
    assert facts.path == "/api/v1/namespaces/ns/pods/x/proxy/" and facts.sandboxed
    assert facts.rule.startswith("apiVersion: rbac") and facts.message == refused.message
