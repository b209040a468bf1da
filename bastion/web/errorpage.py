"""What does a person see of an error?  The facts of `message.person`, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from bastion.http.fields import Field
from bastion.message.person import ErrorFacts, ErrorPage
from bastion.web.pages import FIELDS, document

_FIELDS: tuple[Field, ...] = (
    (b"content-type", b"Content-Type", b"text/html; charset=utf-8"),
    (b"cache-control", b"Cache-Control", b"no-store"),
    *FIELDS,
)


def error_pages(login: str) -> Callable[[ErrorFacts], ErrorPage]:
    """`login`: where people sign in; empty where they cannot."""

    def page(facts: ErrorFacts) -> ErrorPage:
        return ErrorPage(_FIELDS, document(_title(facts), _content(facts, login)).encode("utf-8", "replace"))

    return page


def _title(facts: ErrorFacts) -> str:
    return facts.meaning[:1].upper() + facts.meaning[1:]


def _content(facts: ErrorFacts, login: str) -> str:
    parts = [f'<p role="alert">{escape(facts.message)}</p>']
    if facts.pods:
        counted = "".join(f"<li>{escape(reason)}: {escape(count)}</li>" for reason, count in facts.pods)
        parts.append(f'<ul aria-label="Pods by reason">{counted}</ul>')
    if facts.remedy:
        parts.append(f"<p>What helps: {escape(facts.remedy)}.</p>")
    if facts.rule:
        parts.append(f"<pre>{escape(facts.rule)}</pre>")
    if facts.code == 401 and login:
        parts.append(f'<a class="button" href="{escape(login)}">Sign in</a>')
    parts.append(
        f"<footer>{facts.code} <code>{escape(facts.word)}</code>, hop <code>{escape(facts.hop)}</code>,"
        f" request <code>{escape(facts.request)}</code></footer>"
    )
    return "\n".join(parts)
