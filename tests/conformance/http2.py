"""The same client over HTTP/2: a case's bytes are read as HTTP/1.1, and sent as what HTTP/2 says instead."""

from __future__ import annotations

import asyncio

from tests.conformance.cases import Case
from tests.conformance.client import PATIENCE, Answer
from tests.conformance.wire import Headers
from tests.http2 import frames as f
from tests.http2.client import client

# What HTTP/2 has no way to say, or says otherwise.
_OF_HTTP1 = frozenset(
    [
        "connection",
        "keep-alive",
        "proxy-connection",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "te",
        "expect",
    ]
)


def translated(case: Case) -> tuple[f.Pairs, bytes | None] | None:
    """(fields, body); None where it is a question about HTTP/1.1 itself."""
    head, end, body = case.request.partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if not end or case.client or case.then or len(words) != 3 or words[2] != "HTTP/1.1":
        return None
    fields: list[tuple[str, str]] = []
    authority: list[str] = []
    for one in lines:
        name, colon, value = one.partition(":")
        lower = name.lower()
        if not colon or lower in _OF_HTTP1 or name != name.strip() or "_" in name:
            return None
        if lower == "host":
            authority.append(value.strip())
        else:
            fields.append((lower, value.strip()))
    if len(authority) != 1 or not words[1].startswith("/"):
        return None
    lengths = [value for name, value in fields if name == "content-length"]
    if lengths not in ([], [str(len(body))]):
        return None
    pseudo = [(":method", words[0]), (":scheme", "https"), (":authority", authority[0]), (":path", words[1])]
    return [*pseudo, *fields], body if lengths else None


class Http2Client:
    """Speaks to one bastion, whoever it says it is."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def ask(self, case: Case) -> Answer:
        found = translated(case)
        assert found is not None
        answer = Answer()
        try:
            async with asyncio.timeout(PATIENCE), client(self._port) as one:
                fields, body = found
                heard = await one.ask(fields, body)
        except TimeoutError:
            answer.ended = "silence"
            return answer
        if heard.status:
            answer.status, answer.headers = heard.status, _headers(heard)
            answer.body = heard.body.decode("latin-1")
            answer.ended = "cut" if heard.end != "whole" else "whole"
        return answer


def _headers(heard: f.Answer) -> Headers:
    """As HTTP/1.1 would frame it."""
    headers: dict[str, list[str]] = {}
    final = next(head for head in heard.raw if head[0][0] == b":status" and head[0][1][:1] != b"1")
    for name, value in final:
        headers.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
    headers.pop(":status", None)
    return headers
