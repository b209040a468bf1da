"""What is asked, and what must come of it?

`cases/*.yaml` read, checked for mistakes and spelled out in bytes.

A file is a list of cases; its name is that of their group.  Every key a case may have:

    id:       unique in its group
    note:     why; `differs: …` where kube-apiserver does something else
    as:       whose token is sent: alice, if it does not say; null for none
    method:   GET, if it does not say
    target:   the request target, as it goes on the wire
    headers:  [Name: value, …], sent after Host and Authorization, in this order
    body:     text; or `chunks: [text, …]` and `trailers: [Name: value, …]`
    raw:      [line, …], the whole request instead of all these, to be joined by CRLF
    then:     a target that alice GETs afterwards, on the same connection
    backend:  a step, or [step, …]: what a backend does with a request; if it does not say, it answers `ok`
    client:   [step, …]: what the client does once it has been answered 101
    expect:   what must come of it: see compare.py

A step is `answer: 200 OK` (with `headers: [Name: value, …]`, and with `body`, whose length is then
announced), `send: text`, `receive: 5` (bytes) or `receive: all` (until the end), `echo`, or `close`.  Text
that follows text is one write.

In all text a character is a byte (Latin-1) and `{net}` the network's prefix; `{repeat: ab, times: 3}` is
`ababab`, and `{join: [text, …]}` is one text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.conformance.fixture import token

FOLDER = Path(__file__).with_name("cases")
HOST = "bastion.test"
REQUEST = {"as", "method", "target", "headers", "body", "chunks", "trailers", "raw"}
CASE = REQUEST | {"id", "note", "then", "backend", "client", "expect"}
EXPECT = {"status", "headers", "body", "failure", "received", "ended", "then", "seen"}
SEEN = {"backend", "line", "headers", "body", "received"}
DEFAULT_ANSWER = {"answer": "200 OK", "headers": [{"Content-Type": "text/plain"}], "body": "ok\n"}

Pairs = Sequence[Mapping[str, str]]
# ("send", bytes) ("receive", how many, or None for all) ("echo", None) ("close", None)
Step = tuple[str, bytes | int | None]


class Mistake(Exception):
    """A case that says something nobody would look at, or says it twice."""


@dataclass(frozen=True, slots=True)
class Case:
    """`then`: the second request, or nothing."""

    group: str
    id: str
    note: str
    request: bytes
    then: bytes
    backend: Sequence[Step]
    client: Sequence[Step]
    expect: Mapping[str, Any]

    @property
    def name(self) -> str:
        return f"{self.group}/{self.id}"


def load(group: str, net: str) -> list[Case]:
    rows = yaml.safe_load((FOLDER / f"{group}.yaml").read_text("utf-8"))
    cases = [spell_out(group, row, net) for row in rows]
    if len({case.id for case in cases}) < len(cases):
        raise Mistake(f"{group}: an id is there twice")
    return cases


def spell_out(group: str, row: Mapping[str, Any], net: str) -> Case:
    name = f"{group}/{row['id']}"
    row = _expanded(row, net)
    _only(CASE, row, name)
    _only(EXPECT, row["expect"], name)
    for arrival in row["expect"].get("seen") or ():
        if isinstance(arrival, dict):
            _only(SEEN, arrival, name)
    return Case(
        group,
        row["id"],
        row.get("note", ""),
        _request(**{key: value for key, value in row.items() if key in REQUEST}),
        _request(target=row["then"]) if "then" in row else b"",
        list(_steps(row.get("backend", DEFAULT_ANSWER))),
        list(_steps(row.get("client", ()))),
        row["expect"],
    )


def _only(known: set[str], keys: Iterable[str], name: str) -> None:
    if unknown := set(keys) - known:
        raise Mistake(f"{name}: {', '.join(sorted(unknown))}?")


def _expanded(value: Any, net: str) -> Any:
    if isinstance(value, str):
        return value.replace("{net}", net)
    if isinstance(value, list):
        return [_expanded(item, net) for item in value]
    if isinstance(value, dict) and value.keys() == {"repeat", "times"}:
        return _expanded(value["repeat"], net) * value["times"]
    if isinstance(value, dict) and value.keys() == {"join"}:
        return "".join(_expanded(value["join"], net))
    if isinstance(value, dict):
        return {key: _expanded(item, net) for key, item in value.items()}
    return value


def _request(
    *,
    target: str = "",
    method: str = "GET",
    headers: Pairs = (),
    body: str | None = None,
    chunks: Sequence[str] | None = None,
    trailers: Pairs = (),
    raw: Sequence[str] | None = None,
    **more: str | None,  # `as` is a keyword
) -> bytes:
    if raw is not None:
        return _bytes("\r\n".join(raw))
    user = more.get("as", "alice")
    fields = [f"Host: {HOST}", *([f"Authorization: Bearer {token(user)}"] if user else []), *_lines(headers)]
    if chunks is not None:
        fields.append("Transfer-Encoding: chunked")
        content = "".join(f"{len(chunk):x}\r\n{chunk}\r\n" for chunk in chunks) + "\r\n".join(
            ["0", *_lines(trailers), "", ""]
        )
    else:
        content = body or ""
        if content or method in ("POST", "PUT", "PATCH"):
            fields.append(f"Content-Length: {len(content)}")
    return _bytes("\r\n".join([f"{method} {target} HTTP/1.1", *fields, "", content]))


def _steps(steps: Any) -> Iterator[Step]:
    """Adjacent text is joined: what is to arrive in one segment is sent in one."""
    text = ""
    for step in steps if isinstance(steps, Sequence) else [steps]:
        match step:
            case {"answer": str()}:
                text += _answer(**step)
            case {"send": str(more), **rest} if not rest:
                text += more
            case "echo" | "close" | {"receive": int() | "all"}:
                if text:
                    yield "send", _bytes(text)
                text = ""
                if isinstance(step, str):
                    yield step, None
                else:
                    yield "receive", step["receive"] if step["receive"] != "all" else None
            case _:
                raise Mistake(f"a step that is none: {step!r}")
    if text:
        yield "send", _bytes(text)


def _answer(answer: str, headers: Pairs = (), body: str | None = None) -> str:
    length = [] if body is None else [f"Content-Length: {len(body)}"]
    return "\r\n".join([f"HTTP/1.1 {answer}", *_lines(headers), *length, "", body or ""])


def _lines(headers: Pairs) -> list[str]:
    return [f"{name}: {value}" for field in headers for name, value in field.items()]


def _bytes(text: str) -> bytes:
    return text.encode("latin-1")
