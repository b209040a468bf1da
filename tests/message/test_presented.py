"""Does the head of an answer say the same to HEAD as to GET, and of a page what becomes of it?"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bastion.message.answers import Policy, RequestContext, present
from tests.message.test_html import NOWHERE
from tests.message.test_rewrite import MOUNT


def fields(*lines: Any) -> Any:
    parts = [line.partition(b": ") for line in lines]
    return [(name.lower(), name, value) for name, _, value in parts]


USUAL = Policy()


def presented(
    lines: Any,
    method: str = "GET",
    length: int = 21,
    mount: Any = MOUNT,
    policy: Any = USUAL,
    asked: Any = (),
) -> Any:
    return present(
        RequestContext(method, fields(*asked), bool(mount.prefix), False),
        200,
        fields(*lines),
        length,
        lambda: mount,
        policy,
    )


HTML = b"Content-Type: text/html"
ANSWERS = [  # and whether the body is edited
    ([HTML, b'ETag: "1"', b"Accept-Ranges: bytes"], True),
    ([HTML, b"Content-Encoding: gzip"], True),
    ([HTML, b'ETag: "1"', b"Content-Disposition: attachment; filename=report.html"], False),
    ([HTML, b"Content-Encoding: br"], False),
    ([HTML, b"Content-Range: bytes 0-20/99"], False),
    ([b"Content-Type: text/plain", b'ETag: "1"'], False),
]
MOUNTS = {"prefix": MOUNT, "host over TLS": NOWHERE, "host": replace(NOWHERE, secure=False)}


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS)
@pytest.mark.parametrize(("lines", "edited"), ANSWERS)
def test_head_says_what_get_would(lines: Any, edited: Any, mount: Any) -> None:
    edited = edited and (mount.prefix != b"" or mount.secure)
    got, head = presented(lines, mount=mount), presented(lines, "HEAD", mount=mount)
    assert head.fields == got.fields
    assert head.length == got.length == (None if edited else 21)
    assert (got.rewriter is not None) is edited
    assert head.rewriter is None


@pytest.mark.parametrize("mount", MOUNTS.values(), ids=MOUNTS)
def test_who_wants_no_page_edited_gets_them_as_they_are(mount: Any) -> None:
    for wish in ({"policy": Policy(edit_html=False)}, {"asked": [b"X-Bastion-Rewrite: none"]}):
        answer = presented([HTML, b'ETag: "1"'], mount=mount, **wish)
        assert (answer.rewriter, answer.length) == (None, 21)
        assert fields(b'ETag: "1"')[0] in answer.fields


def test_on_a_host_name_an_application_speaks_for_its_origin() -> None:
    lines = [HTML, b"Strict-Transport-Security: max-age=1", b"Location: /x"]
    assert presented(lines, mount=NOWHERE).fields == fields(*lines)
