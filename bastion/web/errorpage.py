"""What does a person see of an error?  The facts of `message.person`, and nothing else."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from bastion.http.fields import Field
from bastion.message.ownorigin import page_fields
from bastion.message.person import ErrorFacts, ErrorPage
from bastion.proxy.pathmode import PathFacts
from bastion.web.errortexts import bare, told
from bastion.web.figures import moment
from bastion.web.frame import LINKS, Frame
from bastion.web.rendering import html

_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"Content-Type", b"text/html; charset=utf-8"),
    (b"cache-control", b"Cache-Control", b"no-store"),
    (b"vary", b"Vary", b"Accept, Sec-Fetch-Mode"),
)

Pages = Callable[[ErrorFacts], ErrorPage]


def error_pages(root: str, *, signs_in: bool, now: Callable[[], float] = time.time) -> Pages:
    """`root`: where the bastion's pages are, from every host; `signs_in`: people can."""

    def page(facts: ErrorFacts) -> ErrorPage:
        nonce = secrets.token_urlsafe(16)
        found = told(facts, moment(now()))
        text = html(
            "error.html",
            nonce,
            title=found.headline,
            here="",
            live="",
            root=root,
            frame=Frame(now=now(), links=LINKS, user=facts.user, can_sign_in=signs_in and facts.code == 401),
            told=found,
            sign_in=signs_in and facts.code == 401 and not facts.sandboxed,
        )
        return ErrorPage((*_FIELDS, *page_fields(nonce)), text.encode("utf-8", "replace"))

    return page


def path_pages(root: str, now: Callable[[], float] = time.time) -> Callable[[PathFacts], ErrorPage]:
    """What is said before a page is shown bare."""

    def page(facts: PathFacts) -> ErrorPage:
        nonce = secrets.token_urlsafe(16)
        found = bare(facts)
        frame = Frame(now=now(), links=LINKS, user=facts.user, request_id=facts.request)
        text = html(
            "path-mode.html",
            nonce,
            title=found.headline,
            here="",
            live="",
            root=root,
            frame=frame,
            told=found,
            stay=facts.stay,
        )
        return ErrorPage((*_FIELDS, *page_fields(nonce)), text.encode("utf-8", "replace"))

    return page
