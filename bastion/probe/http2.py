"""HTTP/2 for one request: h2 keeps the protocol, the bytes go over a probe's own connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from bastion.http.fields import Field
from bastion.network.errors import ReceiveError
from bastion.probe.response import Answer
from bastion.probe.wire import Wire

Header = tuple[bytes, bytes]


class Http2Exchange:
    """`trailers` are there once the body has been read to its end."""

    def __init__(self, wire: Wire) -> None:
        config = h2.config.H2Configuration(client_side=True, header_encoding=None)
        self._wire = wire
        self._h2 = h2.connection.H2Connection(config)
        self._pieces: list[bytes] = []
        self._head: list[Header] | None = None
        self._ended = False
        self.trailers: list[Header] = []

    async def ask(self, head: Sequence[Header], body: bytes) -> Answer:
        """Raises OSError or ReceiveError where no response came."""
        self._h2.initiate_connection()
        stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(stream, list(head), end_stream=not body)
        await self._flush()
        await self._send(stream, body)
        while self._head is None:
            await self._more()
        fields: list[Field] = [(name.lower(), name, value) for name, value in self._head if name[:1] != b":"]
        status = int(dict(self._head).get(b":status", b"0"))
        length = next((int(v) for n, _, v in fields if n == b"content-length" and v.isdigit()), -1)
        if self._ended and not self._pieces and length < 0:
            length = 0
        return Answer(status, 2.0, fields, length, self._body())

    async def _send(self, stream: int, body: bytes) -> None:
        while body:
            room = min(
                self._h2.local_flow_control_window(stream), self._h2.max_outbound_frame_size, len(body)
            )
            if room <= 0:
                await self._more()
                continue
            self._h2.send_data(stream, body[:room], end_stream=room == len(body))
            body = body[room:]
            await self._flush()

    async def _body(self) -> AsyncIterator[bytes]:
        while True:
            while self._pieces:
                yield self._pieces.pop(0)
            if self._ended:
                return
            await self._more()

    async def _more(self) -> None:
        data = await self._wire.read()
        if not data:
            raise ReceiveError("the connection was closed before the end of the response")
        try:
            events = self._h2.receive_data(data)
        except (h2.exceptions.ProtocolError, ValueError) as error:
            raise ReceiveError(f"not HTTP/2: {error}") from error
        for event in events:
            self._take(event)
        await self._flush()

    def _take(self, event: h2.events.Event) -> None:
        if isinstance(event, h2.events.ResponseReceived):
            self._head = list(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = list(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            self._pieces.append(event.data)
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            self._ended = True
        elif isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated) and not self._ended:
            raise ReceiveError("the stream was reset")

    async def _flush(self) -> None:
        if data := self._h2.data_to_send():
            self._wire.writer.write(data)
            await self._wire.writer.drain()
