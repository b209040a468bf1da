"""What an HTTP prober needs of a response, whichever version of HTTP brought it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from bastion.http.fields import Field, first_value
from bastion.network.errors import ReceiveError
from bastion.network.http1.reader import Expected, Malformed, ResponseReader
from bastion.network.http1.response import Interim, Response
from bastion.probe.wire import Wire


@dataclass(slots=True)
class Answer:
    """`version` 1.0, 1.1 or 2.0; `length` as the head says, -1 where it does not; `body` gives the pieces,
    and raises NetworkError or OSError where it is cut short.
    """

    status: int
    version: float
    fields: list[Field]
    length: int
    body: AsyncIterator[bytes]

    def field(self, name: bytes) -> bytes:
        return first_value(self.fields, name)


class _Source:
    """The prober reads no faster than it can: there is nothing to pause."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.interim: Interim | None = None

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def http1_exchange(wire: Wire, head: bytes, body: bytes, *, to_head: bool) -> Answer:
    """Raises OSError or NetworkError where no response came."""
    wire.writer.write(head + body)
    await wire.writer.drain()
    parser = ResponseReader()
    parser.begin(_Source(), Expected.BODILESS if to_head else Expected.ORDINARY)
    raw = b""
    failure: ReceiveError | None = None
    while parser.response is None:
        data = await wire.read()
        if not data:
            raise ReceiveError("the connection was closed without a response")
        raw = raw + data
        try:
            _feed(parser, data)
        except ReceiveError as error:
            if parser.response is None:
                raise
            failure = error  # of the body: the head is good
    response = parser.response
    length = response.length if response.length is not None else -1
    if response.status in (204, 304) and (response.length is None or not to_head):
        length = 0
    return Answer(
        response.status,
        _version(raw),
        response.fields,
        length,
        _body(wire, parser, response, failure),
    )


async def _body(
    wire: Wire, parser: ResponseReader, response: Response, failure: ReceiveError | None
) -> AsyncIterator[bytes]:
    try:
        while True:
            if response.ready and not response.exhausted:
                if data := await response.read():
                    yield data
                continue
            if response.complete:
                return
            if failure is not None:
                raise failure
            data = await wire.read()
            if not data and response.until_close:
                return
            try:
                if not data:
                    raise ReceiveError("the response was cut short")
                _feed(parser, data)
            except ReceiveError as error:
                failure = error  # of what comes behind the pieces that are there by now
    finally:
        parser.close()


def _feed(parser: ResponseReader, data: bytes) -> None:
    try:
        parser.feed(data)
    except Malformed as error:
        raise ReceiveError(str(error)) from error


def _version(raw: bytes) -> float:
    """Of the response behind the interim ones."""
    for head in raw.split(b"\r\n\r\n"):
        if head[9:10] != b"1":
            return 1.0 if head.startswith(b"HTTP/1.0") else 1.1
    return 1.1
