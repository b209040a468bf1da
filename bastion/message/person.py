"""· Does a person read this, or a program?  And what is a person told of an error?

A browser says so of itself: `Sec-Fetch-Mode: navigate` (W3C Fetch Metadata, which no page can forge) and an
`Accept` that prefers HTML.  Old browsers send no `Sec-Fetch-*`; then a token in a header is a program's.
"""

from __future__ import annotations

from typing import Protocol

import msgspec

from bastion.http.fields import Field
from bastion.kube.errors import NEAR, POD, RULE
from bastion.kube.errorword import Hop
from bastion.kube.status import StatusError

_PAGES = (b"text/html", b"application/xhtml+xml")
_TOKENS = (b"authorization", b"x-bastion-authorization")


class ErrorFacts(msgspec.Struct, frozen=True):
    """What a page about an error tells; all of it is text, nothing is HTML.

    `message` is the whole of it, `sentence` the part behind Kubernetes' own words.  `rule`: YAML to apply,
    empty where no rule is missing.  `pods`: reasons, and how many pods have each; `unready`: names of pods
    and their reasons, for who may see pods.  `request` is the audit id.
    `path` is without the query; `sandboxed`: a page without an origin sent it; `retry_after` in seconds, 0
    where nothing is promised.  `user` is who reads it, where that is known; `near` are targets whose names
    are near, each `services/NAMESPACE/NAME`.
    """

    code: int
    word: str
    hop: Hop
    meaning: str
    message: str
    sentence: str
    remedy: str
    request: str
    rule: str = ""
    pods: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    method: str = "GET"
    path: str = ""
    sandboxed: bool = False
    retry_after: int = 0
    user: str = ""
    near: tuple[str, ...] = ()
    unready: tuple[tuple[str, str], ...] = ()


class ErrorPage(msgspec.Struct, frozen=True):
    """`fields` but for Content-Length and the code's own."""

    fields: tuple[Field, ...]
    body: bytes


def is_person(method: str, fields: list[Field]) -> bool:
    """Whether a page is read: `fields` are the request's."""
    fetch, mode, token = False, b"", False
    accepted: list[bytes] = []
    for lower, _, value in fields:
        if lower.startswith(b"sec-fetch-"):
            fetch = True
            if lower == b"sec-fetch-mode":
                mode = value if mode in (b"", value) else b"several"
        elif lower == b"accept":
            accepted.append(value)
        elif lower in _TOKENS:
            token = True
    if fetch:
        return mode == b"navigate" and prefers_html(accepted)
    return method in ("GET", "HEAD") and not token and prefers_html(accepted)


def prefers_html(accepted: list[bytes]) -> bool:
    """Whether HTML is asked for by name, and JSON is not liked better (RFC 9110, 12.5.1)."""
    best = {b"html": (0.0, 0), b"json": (0.0, 0)}
    exact = 0
    for at, part in enumerate(b",".join(accepted).lower().split(b",")):
        media, *parameters = (piece.strip() for piece in part.split(b";"))
        weight = (_quality(parameters), -at)
        if media in _PAGES:
            best[b"html"] = max(best[b"html"], weight)
        elif (specific := _specific(media)) > exact or (specific and specific == exact):
            # of several ranges that a type falls into the most specific one counts
            best[b"json"] = weight if specific > exact else max(best[b"json"], weight)
            exact = specific
    return best[b"html"][0] > 0 and best[b"html"] > best[b"json"]


def _specific(media: bytes) -> int:
    """How closely a range names JSON; 0 where it does not."""
    return {b"application/json": 3, b"application/*": 2, b"*/*": 1}.get(media, 0)


def _quality(parameters: list[bytes]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return min(1.0, max(0.0, float(value)))
            except ValueError:
                return 0.0
    return 1.0


class Failed(Protocol):
    """The request that an error is about."""

    method: str
    target: bytes
    audit_id: str

    @property
    def fields(self) -> list[Field]: ...


def facts_of(error: StatusError, request: Failed) -> ErrorFacts:
    word, own = error.word, next(iter(error.causes), None)
    return ErrorFacts(
        code=error.code,
        word=error.name,
        hop=word.hop if word is not None else Hop.BASTION,
        meaning=word.meaning if word is not None else error.message,
        message=error.message,
        sentence=own.message if own is not None else error.message,
        remedy=word.remedy if word is not None else "",
        request=request.audit_id,
        rule=next((cause.message for cause in error.causes if cause.field == RULE), ""),
        pods=tuple((cause.reason, cause.message) for cause in error.causes if cause.field == POD),
        reason=error.reason,
        method=request.method,
        path=request.target.partition(b"?")[0].decode("utf-8", "replace"),
        sandboxed=(b"origin", b"null") in {(lower, value) for lower, _, value in request.fields},
        retry_after=int((error.details or {}).get("retryAfterSeconds", 0)),
        user=error.user if error.code != 401 else "",
        near=tuple(cause.message for cause in error.causes if cause.field == NEAR),
        unready=error.pods,
    )
