"""A client's connection without a network: bytes in, what came back read into streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from bastion.kube.status import StatusError
from bastion.network.http2.codec import NewCodec
from bastion.network.http2.library import new_codec
from bastion.proxy.exchange import Exchange
from bastion.runtime.deadlines import Deadlines
from bastion.server.http2.protocol import Http2Protocol
from bastion.server.state import ServerState
from bastion.settings.sections import Timeouts
from tests.fakes import settle
from tests.http2.frames import PREFACE, Answer, Reader, settings

TIMEOUTS = Timeouts(request_header=10, keep_alive=60, request_body_idle=20, response_stall=20)
Serve = Callable[[Exchange], Awaitable[None]]


class Wire(asyncio.Transport):
    """Keeps what is written; `taken` False: the client reads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.reader = Reader()
        self.closed = False
        self.protocol: asyncio.Protocol | None = None
        self.held = b""

    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.closed:
            self.held += bytes(data)
            self.reader.feed(bytes(data))

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            asyncio.get_running_loop().call_soon(self._lost)

    abort = close

    def _lost(self) -> None:
        if self.protocol is not None:
            self.protocol.connection_lost(None)

    def is_closing(self) -> bool:
        return self.closed

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def get_write_buffer_size(self) -> int:
        return 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("192.0.2.1", 1) if name == "peername" else default


@dataclass
class App:
    """`answer` serves; `served` are the targets, `left` those of exchanges that were cancelled."""

    answer: Serve
    served: list[bytes] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    left: list[bytes] = field(default_factory=list)

    async def serve(self, exchange: Exchange) -> None:
        self.served.append(exchange.target)
        try:
            await self.answer(exchange)
        except StatusError as error:
            exchange.send_status(error)
        except asyncio.CancelledError:
            self.left.append(exchange.target)
            raise

    def refuse(self, exchange: Exchange, error: StatusError) -> None:
        self.refused.append(error.code)
        exchange.send_status(error)


class Conversation:
    def __init__(self, answer: Serve, codec: NewCodec | None = None) -> None:
        self.app = App(answer)
        self.state = ServerState(self.app, Deadlines(), timeouts=TIMEOUTS)
        self.wire = Wire()
        loop = asyncio.get_running_loop()
        self.protocol = Http2Protocol(self.state, loop, codec or new_codec())
        self.wire.protocol = self.protocol
        self.protocol.connection_made(self.wire)
        self.peer = self.wire.reader

    async def say(self, *frames: bytes, preface: bool = False) -> None:
        for piece in (PREFACE + settings(), *frames) if preface else frames:
            if not self.wire.closed:
                self.protocol.data_received(piece)
        await settle()

    def answer(self, stream: int = 1) -> Answer:
        return self.peer.answer(stream)

    @property
    def ended(self) -> bool:
        """The connection was."""
        return self.wire.closed or bool(self.peer.goaways)


async def conversation(answer: Serve, *frames: bytes, codec: NewCodec | None = None) -> Conversation:
    """After the preface and these frames."""
    one = Conversation(answer, codec)
    await one.say(*frames, preface=True)
    return one


# --- who answers


async def echo(exchange: Exchange) -> None:
    """The target, or the body where there is one, and its trailers."""
    body, trailers = exchange.target, []
    if exchange.body is not None:
        body = b""
        while piece := await exchange.body.read():
            body += piece
        trailers = list(exchange.body.trailers)
    exchange.start(200, b"", [], None if trailers else len(body))
    exchange.finish(body, trailers)


async def never(exchange: Exchange) -> None:
    await asyncio.Event().wait()


def pour(size: int) -> Serve:
    """As a forwarder does it: piece by piece, never ahead of the reader."""

    async def serve(exchange: Exchange) -> None:
        exchange.start(200, b"", [], size)
        for _ in range(0, size - 65536, 65536):
            exchange.write(bytes(65536))
            if not exchange.writable:
                await exchange.drain()
        exchange.finish(bytes(65536))

    return serve
