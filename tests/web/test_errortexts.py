"""What is a person told of each error?"""

from __future__ import annotations

import re

import pytest

from bastion.kube.errorwords import WORDS
from bastion.message.person import ErrorFacts
from bastion.web.errorpage import error_pages
from bastion.web.errortexts import told

PATH = "/api/v1/namespaces/shop/services/orders:http/proxy/"
CASES = [(word, code) for word in WORDS.values() for code in word.codes]
RULE = "kind: Role\n# <script>"


def facts(**changes: object) -> ErrorFacts:
    given: dict[str, object] = {
        "code": 503,
        "word": "ConnectionRefused",
        "hop": WORDS["ConnectionRefused"].hop,
        "meaning": "nothing listens",
        "message": "whole: nothing listens at 10.0.0.1:80",
        "sentence": "nothing listens at 10.0.0.1:80",
        "remedy": "look there",
        "request": "0f8e",
        "reason": "ServiceUnavailable",
        "path": PATH,
    }
    return ErrorFacts(**(given | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("word", "code"), CASES, ids=[f"{word.name}-{code}" for word, code in CASES])
def test_each_word_has_a_headline_marks_one_hop_and_says_what_to_do(word: object, code: int) -> None:
    assert hasattr(word, "name") and hasattr(word, "hop")
    found = told(facts(word=word.name, code=code, hop=word.hop), "now")
    assert [way.kind.split()[0] for way in found.way if "bad" in way.kind] == ["bad"]
    assert found.headline and "{" not in found.headline
    assert found.steps
    assert ("Request id", "0f8e") in found.details


@pytest.mark.parametrize(
    ("changes", "seconds"),
    [
        ({}, 10),
        ({"retry_after": 5}, 5),
        ({"code": 429}, 10),
        ({"method": "POST"}, 0),
        ({"code": 504}, 0),
        ({"code": 403}, 0),
    ],
)
def test_only_what_may_pass_is_tried_again_and_never_what_was_sent(
    changes: dict[str, object], seconds: int
) -> None:
    assert told(facts(**changes), "now").retry == seconds


def test_a_refusal_says_what_was_missing_and_not_whether_it_exists() -> None:
    found = told(facts(code=403, word="MissingRule", hop=WORDS["MissingRule"].hop, rule=RULE), "now")
    assert found.headline == "You may not open this"
    assert "get services/proxy for orders:http in namespace shop" in found.lede
    assert found.steps[0].code == RULE


def test_a_form_from_a_sandbox_is_told_so_and_names_nobody() -> None:
    found = told(facts(code=401, word="NoCredentials", hop=WORDS["NoCredentials"].hop, sandboxed=True), "now")
    assert found.headline == "This form came from a page without a session"


def test_the_page_is_text_and_its_fields_keep_the_origin() -> None:
    page = error_pages("https://bastion.test", signs_in=True)(facts(code=403, rule=RULE, word="MissingRule"))
    assert b"<script>" not in page.body.replace(b"<script type", b"")
    fields = {lower: value for lower, _, value in page.fields}
    policy = fields[b"content-security-policy"].decode()
    (nonce,) = set(re.findall(r"'nonce-([^']+)'", policy))
    assert set(re.findall(rb'nonce="([^"]+)"', page.body)) == {nonce.encode()}
    assert b'href="https://bastion.test/"' in page.body
