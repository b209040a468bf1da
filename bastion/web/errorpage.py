"""What does a person see of an error?  The facts of `message.person`, and nothing else."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from bastion.http.fields import Field
from bastion.message.ownorigin import page_fields
from bastion.message.person import ErrorFacts, ErrorPage
from bastion.web.rendering import html

_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"Content-Type", b"text/html; charset=utf-8"),
    (b"cache-control", b"Cache-Control", b"no-store"),
    (b"vary", b"Vary", b"Accept, Sec-Fetch-Mode"),
)


def error_pages(login: str) -> Callable[[ErrorFacts], ErrorPage]:
    """`login`: where people sign in; empty where they cannot."""

    def page(facts: ErrorFacts) -> ErrorPage:
        nonce = secrets.token_urlsafe(16)
        text = html(
            "error.html",
            nonce,
            title=facts.meaning[:1].upper() + facts.meaning[1:],
            facts=facts,
            login=login if facts.code == 401 else "",
        )
        return ErrorPage((*_FIELDS, *page_fields(nonce)), text.encode("utf-8", "replace"))

    return page
