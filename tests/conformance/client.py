"""What does the client see?

Bytes sent on a connection of their own, and the answer as it comes: nothing mended, nothing hidden.
"""

from __future__ import annotations

import asyncio
import ssl
from asyncio import IncompleteReadError, LimitOverrunError, StreamReader, StreamWriter
from dataclasses import dataclass, field
from typing import Any

from tests.conformance.cases import Case
from tests.conformance.wire import LIMIT, Headers, play, read_body, read_head

PATIENCE = 8.0  # seconds for a case


@dataclass(slots=True)
class Answer:
    """`ended`: whole, cut (a part of the body is missing), closed (there is no answer), or silence (the time
    is over).

    `received` is what came after a 101; `then` the status and body of the second answer, its status `closed`
    for none.
    """

    status: int | None = None
    headers: Headers = field(default_factory=dict)
    body: str = ""
    received: list[str] = field(default_factory=list)
    ended: str = "closed"
    then: dict[str, Any] | None = None


class Client:
    """Speaks TLS to one bastion, whoever it says it is."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._tls.check_hostname, self._tls.verify_mode = False, ssl.CERT_NONE
        self._tls.set_alpn_protocols(["http/1.1"])

    async def ask(self, case: Case) -> Answer:
        answer = Answer()
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=self._tls, limit=LIMIT)
        try:
            async with asyncio.timeout(PATIENCE):
                await _converse(case, reader, writer, answer)
        except TimeoutError:
            answer.ended = "silence"
        finally:
            writer.transport.abort()
        return answer


async def _converse(case: Case, reader: StreamReader, writer: StreamWriter, answer: Answer) -> None:
    try:
        await _exchange(case.request, reader, writer, answer)
    except (ConnectionError, IncompleteReadError, LimitOverrunError, ValueError):
        return
    if answer.status == 101:
        await play(case.client, reader, writer, answer.received)
    elif case.then:
        second = Answer()
        try:
            await _exchange(case.then, reader, writer, second)
        except (ConnectionError, IncompleteReadError):
            pass
        answer.then = {"status": second.status or "closed", "body": second.body}


async def _exchange(request: bytes, reader: StreamReader, writer: StreamWriter, answer: Answer) -> None:
    """Fills the answer as far as it comes.  Raises what broke it."""
    writer.write(request)
    await writer.drain()
    status = 100
    while status < 200 and status != 101:  # informational answers
        line, headers = await read_head(reader)
        status = int(line.split(" ")[1])
    answer.status, answer.headers, answer.ended = status, headers, "cut"
    if not (request.startswith(b"HEAD ") or status in (101, 204, 304)):
        try:
            answer.body = await read_body(reader, headers, until_end=True)
        except IncompleteReadError as error:
            answer.body = error.partial.decode("latin-1")
            raise
    answer.ended = "whole"
