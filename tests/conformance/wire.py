"""What both ends of a conversation do: read a message, and play a script."""

from __future__ import annotations

from asyncio import IncompleteReadError, StreamReader, StreamWriter
from collections.abc import Mapping, Sequence

from tests.conformance.cases import Step

LIMIT = 1 << 24  # bytes of a head: far above what a bastion lets pass

Headers = Mapping[str, list[str]]  # by lower-case name, values in the order they came


async def read_head(reader: StreamReader, begun: bytes = b"") -> tuple[str, Headers]:
    """The first line, and the headers; `begun` was read before.

    Raises IncompleteReadError where there is no whole head.
    """
    first, *lines = (begun + await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers: dict[str, list[str]] = {}
    for line in filter(None, lines):
        name, _, value = line.partition(":")
        headers.setdefault(name.lower(), []).append(value.strip())
    return first, headers


async def read_body(reader: StreamReader, headers: Headers, *, until_end: bool = False) -> str:
    """`until_end`: what an answer without a length does.

    Raises IncompleteReadError or ValueError where it is cut.
    """
    if "chunked" in "".join(headers.get("transfer-encoding", ())).lower():
        return (await _read_chunks(reader)).decode("latin-1")
    if "content-length" in headers:
        return (await reader.readexactly(int(headers["content-length"][0]))).decode("latin-1")
    return (await reader.read(-1)).decode("latin-1") if until_end else ""


async def _read_chunks(reader: StreamReader) -> bytes:
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).partition(b";")[0], 16):
        body += (await reader.readexactly(size + 2))[:-2]
    while await reader.readuntil(b"\r\n") != b"\r\n":
        pass  # trailers: nobody promises to pass them on
    return body


async def play(
    script: Sequence[Step], reader: StreamReader, writer: StreamWriter, received: list[str]
) -> bool:
    """Whether the connection stays open; what comes in is appended to `received`."""
    for act, what in script:
        if act == "send" and isinstance(what, bytes):
            writer.write(what)
            await writer.drain()
        elif act == "receive" and isinstance(what, int):
            received.append(await _receive(reader, what))
        elif act == "receive":
            received.append((await reader.read(-1)).decode("latin-1"))
        elif act == "echo":
            received.append(await _echo(reader, writer))
        elif act == "close":
            return False
    return True


async def _receive(reader: StreamReader, count: int) -> str:
    try:
        return (await reader.readexactly(count)).decode("latin-1")
    except IncompleteReadError as error:
        return error.partial.decode("latin-1")


async def _echo(reader: StreamReader, writer: StreamWriter) -> str:
    echoed = b""
    while data := await reader.read(1 << 16):
        echoed += data
        writer.write(data)
        await writer.drain()
    return echoed.decode("latin-1")
