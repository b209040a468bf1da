"""When does a session of the sign-in page count for a call of the API?"""

from __future__ import annotations

import pytest

from bastion.http.fields import Field
from bastion.signin.apicalls import session_may_call
from bastion.signin.crosssite import provenance

OWN, EVIL = "Origin: https://b.example", "Origin: https://evil.example"
SAME, CROSS, SIBLING, NONE = (
    f"Sec-Fetch-Site: {site}" for site in ("same-origin", "cross-site", "same-site", "none")
)
NAVIGATE = "Sec-Fetch-Mode: navigate"
JSON, FORM = "Content-Type: application/json", "Content-Type: text/plain; charset=utf-8"
CSRF = "X-Bastion-CSRF: 1"


@pytest.mark.parametrize(
    ("method", "upgrade", "lines", "counts"),
    [
        ("GET", False, [SAME], True),
        ("GET", False, [SAME, OWN], True),
        ("GET", False, [NONE, NAVIGATE], True),  # a person at the address bar
        ("GET", False, [NONE], False),
        ("GET", False, [], False),  # no browser says nothing
        ("GET", False, [CROSS, NAVIGATE], False),
        ("GET", False, [SIBLING], False),
        ("GET", False, [SAME, EVIL], False),
        ("GET", False, [SAME, "Origin: null"], False),  # a sandboxed page
        ("POST", False, [SAME, OWN, JSON], True),
        ("POST", False, [SAME, OWN, CSRF], True),
        ("DELETE", False, [SAME, OWN, CSRF], True),
        ("POST", False, [SAME, OWN], False),
        ("POST", False, [SAME, OWN, FORM], False),
        ("POST", False, [NONE, JSON], False),
        ("POST", False, [CROSS, EVIL, JSON], False),
        ("POST", False, [CROSS, JSON, CSRF], False),
        ("POST", False, [OWN, JSON], False),
        ("PATCH", False, [SIBLING, "Origin: https://x.b.example", JSON], False),
        ("GET", True, [OWN], True),
        ("GET", True, [OWN, SAME], True),
        ("GET", True, [SAME], False),
        ("GET", True, [EVIL, CROSS], False),
        ("GET", True, ["Origin: null", CSRF], False),
        ("GET", True, ["Origin: https://b.example.evil"], False),
    ],
)
def test_only_for_a_page_of_our_own(method: str, upgrade: bool, lines: list[str], counts: bool) -> None:
    split = (line.encode().partition(b": ") for line in lines)
    fields: list[Field] = [(name.lower(), name, value) for name, _, value in split]
    asked = provenance(method, fields, b"https", b"b.example", upgrade=upgrade)
    assert session_may_call(asked, fields) is counts
