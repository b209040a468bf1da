"""Requests whose bodies are too large for one piece, or that are too many to make one at a time: asyncio over
TLS.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import uvloop

from bench.fixture import User
from bench.ground import Ground

T = TypeVar("T")
BUFFER = 1 << 18


class BrokenResponse(Exception):
    """A malformed or unexpected response."""


def run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)


@dataclass(frozen=True, slots=True)
class Connection:
    """One request after the other.  Everything raises BrokenResponse, OSError or asyncio's
    IncompleteReadError.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def ask(self, method: str, path: str, user: User, length: int | None = None) -> None:
        head = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Authorization: {user.authorization}"]
        head += [] if length is None else [f"Content-Length: {length}"]
        self.writer.write("\r\n".join((*head, "", "")).encode())

    async def answered(self) -> int:
        """The length of a 200's body, which is still to be read."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        status, fields = read_head(head)
        if status != 200 or "content-length" not in fields:
            raise BrokenResponse(f"answered {head.partition(chr(13).encode())[0]!r}")
        return int(fields["content-length"])

    def close(self) -> None:
        self.writer.transport.abort()


async def connect(ground: Ground, port: int) -> Connection:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=ground.client_tls(), limit=BUFFER)
    return Connection(reader, writer)


def read_head(head: bytes) -> tuple[int, dict[str, str]]:
    """Status, and fields by lower-case name.  Raises BrokenResponse."""
    line, *fields = head.decode("latin-1").split("\r\n")
    version, _, rest = line.partition(" ")
    if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
        raise BrokenResponse(f"no answer of HTTP: {line[:80]!r}")
    pairs = (field.partition(":") for field in fields if field)
    return int(rest[:3]), {name.lower(): value.strip() for name, _, value in pairs}
