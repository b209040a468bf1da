"""HTTP/2 servers: one says `h2`, the other what the health of a gRPC service is."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable

import h2.config
import h2.connection
import h2.events

from tests.probe.recorded.seen import Tell

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SERVING = {"": 1, "serving": 1, "unknown": 0, "notserving": 2, "serviceunknown": 3, "slow": 1}
CODES = {"missing": "5", "unimplemented": "12", "denied": "7"}
Connection = h2.connection.H2Connection
Respond = Callable[[Connection, int, bytes], Awaitable[None]]
KIND = [(":status", "200"), ("content-type", "application/grpc")]


async def serve_pages(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    async def respond(connection: Connection, stream: int, body: bytes) -> None:
        connection.send_headers(stream, [(":status", "200"), ("content-length", "3")])
        connection.send_data(stream, b"h2\n", end_stream=True)

    await _serve(reader, writer, tell, respond)


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    async def respond(connection: Connection, stream: int, body: bytes) -> None:
        service = body[7 : 7 + body[6]].decode() if len(body) > 6 and body[5] == 10 else ""
        if service == "hang":
            return
        if service == "slow":
            await asyncio.sleep(0.4)
        if service in CODES:
            told = [*KIND, ("grpc-status", CODES[service]), ("grpc-message", "said so")]
            connection.send_headers(stream, told, end_stream=True)
            return
        number = SERVING[service]
        message = bytes((8, number)) if number else b""
        connection.send_headers(stream, KIND)
        connection.send_data(stream, b"\x00" + struct.pack(">I", len(message)) + message)
        connection.send_headers(stream, [("grpc-status", "0")], end_stream=True)

    await _serve(reader, writer, tell, respond)


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell, respond: Respond
) -> None:
    data = await reader.readexactly(len(PREFACE))
    if data != PREFACE:
        return
    connection = Connection(h2.config.H2Configuration(client_side=False))
    connection.initiate_connection()
    bodies: dict[int, bytes] = {}
    while data:
        for event in connection.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                bodies[event.stream_id] = bodies.get(event.stream_id, b"") + event.data
                connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                tell("h2")
                await respond(connection, event.stream_id, bodies.pop(event.stream_id, b""))
        writer.write(connection.data_to_send())
        await writer.drain()
        data = await reader.read(65536)
