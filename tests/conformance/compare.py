"""Is this what the case expects?  A case and what happened in, differences out; pure.

What an `expect` may state, and what it does not state is free:

    status:    200
    headers:   {name: value}, or [value, …] where there are several, or null where there must be none
    body:      text
    failure:   {reason, message, details}: the body is a Status of this kind, whose code is the status
    received:  [text, …]: what the client's script received after a 101
    ended:     whole, if it does not say; cut, closed or silence
    then:      {status, body} of the second answer; `closed` for no answer
    seen:      [{backend, line, headers, body, received}, …]: what the backends got; [] for nothing.  A body
    that is not
               stated is empty.  Or `lines:A || B`: whatever they got had one of these request lines.

A text may be a pattern:

    re:…       a regular expression, for all of it
    any:a|b    one of these
    says:…     this, or this and more after `: `
    gunzip:…   this, once decompressed

For what a backend gets there are rules that no case need repeat: the client's own Host and address, none of
its credentials, and no header that the client did not send, but for those a proxy adds.  So for answers: no
header that the backend did not send.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from tests.conformance.backends import Arrival
from tests.conformance.cases import HOST, Case
from tests.conformance.client import Answer

SEEN_ALWAYS = {"host": HOST, "x-forwarded-for": "127.0.0.1", "authorization": None}
# each connection has its own
FRAMING = {"connection", "content-length", "date", "keep-alive", "transfer-encoding"}
ADDED_TO_REQUESTS = FRAMING | {
    "host",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-request-id",
    "audit-id",
    "traceparent",
    "via",
}
ADDED_TO_ANSWERS = FRAMING | {
    "alt-svc",
    "audit-id",
    "cache-control",
    "retry-after",
    "server",
    "vary",
    "via",
    "www-authenticate",
    "x-bastion-error",
    "x-content-type-options",
    "x-request-id",
}
OF_ITS_OWN_ANSWERS = ADDED_TO_ANSWERS | {"allow", "content-type", "location"}  # where no backend answered
LONG = 300  # characters of a text that a difference shows


def differences(case: Case, answer: Answer, seen: Sequence[Arrival]) -> list[str]:
    expect = {"ended": "whole", **case.expect}
    return [
        *_of_the_answer(expect, answer),
        *_of_the_arrivals(expect.get("seen"), seen),
        *_inventions(case, answer, seen),
    ]


def _of_the_answer(expect: Mapping[str, Any], answer: Answer) -> Iterator[str]:
    for key in ("status", "ended", "body", "received"):
        if key in expect:
            yield from _compare(expect[key], getattr(answer, key), key)
    if "then" in expect:
        yield from _compare(expect["then"], answer.then or {}, "then")
    yield from _compare_headers(expect.get("headers", {}), answer.headers, "headers")
    if "failure" in expect:
        yield from _compare(_status_object(expect), _json(answer.body), "failure")
        yield from _compare_headers({"content-type": "re:application/json.*"}, answer.headers, "headers")


def _status_object(expect: Mapping[str, Any]) -> Mapping[str, Any]:
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": expect["status"],
        **expect["failure"],
    }


def _json(text: str) -> Any:
    try:
        return orjson.loads(text.encode("latin-1"))
    except orjson.JSONDecodeError:
        return text


def _of_the_arrivals(
    expect: str | Sequence[Mapping[str, Any]] | None, seen: Sequence[Arrival]
) -> Iterator[str]:
    if expect is None:
        return
    if isinstance(expect, str):
        lines = expect.removeprefix("lines:").split(" || ")
        yield from (
            f"seen: wanted {' or '.join(lines)}, got {got.line}" for got in seen if got.line not in lines
        )
    elif len(expect) != len(seen):
        yield f"seen: wanted {len(expect)} requests, got {[(got.backend, got.line) for got in seen]}"
    else:
        for i, (want, got) in enumerate(zip(expect, seen, strict=True)):
            for key, value in {"body": "", **want}.items():
                if key != "headers":
                    yield from _compare(value, getattr(got, key), f"seen[{i}].{key}")
            yield from _compare_headers(
                {**SEEN_ALWAYS, **want.get("headers", {})}, got.headers, f"seen[{i}].headers"
            )


def _compare_headers(want: Mapping[str, Any], got: Mapping[str, list[str]], place: str) -> Iterator[str]:
    for name, value in want.items():
        yield from _compare([value] if isinstance(value, str) else value, got.get(name), f"{place}.{name}")


def _inventions(case: Case, answer: Answer, seen: Sequence[Arrival]) -> Iterator[str]:
    asked = _field_names([case.request, case.then])
    for i, arrival in enumerate(seen):
        yield from (
            f"seen[{i}].headers.{name}: nobody sent it"
            for name in arrival.headers.keys() - asked - ADDED_TO_REQUESTS
        )
    answered = (
        _field_names([what for act, what in case.backend if isinstance(what, bytes)]) if seen else set()
    )
    own = not seen or "failure" in case.expect or "x-bastion-error" in answer.headers
    allowed = (OF_ITS_OWN_ANSWERS if own else ADDED_TO_ANSWERS) | answered
    yield from (f"headers.{name}: nobody sent it" for name in answer.headers.keys() - allowed)


def _field_names(messages: Iterable[bytes]) -> set[str]:
    return {name.decode().lower() for text in messages for name in re.findall(rb"^([\w-]+):", text, re.M)}


def _compare(want: Any, got: Any, place: str) -> Iterator[str]:
    if isinstance(want, Mapping) and isinstance(got, Mapping):
        for key, value in want.items():
            yield from _compare(value, got.get(key), f"{place}.{key}")
    elif isinstance(want, list) and isinstance(got, list) and len(want) == len(got):
        for i, (one, other) in enumerate(zip(want, got, strict=True)):
            yield from _compare(one, other, f"{place}[{i}]")
    elif not _matches(want, got):
        yield f"{place}: wanted {_short(want)}, got {_short(got)}"


def _matches(want: Any, got: Any) -> bool:
    kind, colon, rest = want.partition(":") if isinstance(want, str) else ("", "", "")
    match kind + colon:
        case "re:":
            return isinstance(got, str) and re.fullmatch(rest, got, re.S) is not None
        case "any:":
            return str(got) in rest.split("|")
        case "says:":
            return isinstance(got, str) and (got == rest or got.startswith(f"{rest}: "))
        case "gunzip:":
            return _gunzipped(got) == rest
    return bool(want == got)


def _gunzipped(text: str) -> str | None:
    try:
        return gzip.decompress(text.encode("latin-1")).decode("latin-1")
    except (OSError, EOFError):
        return None


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONG else f"{text[:LONG]}… ({len(text)} characters)"
