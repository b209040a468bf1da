"""What the ports of the pod `tcp` say and expect."""

from __future__ import annotations

import asyncio
import socket
import struct

from tests.probe.recorded.certificates import Certificates
from tests.probe.recorded.seen import Handler, Tell


def ports(certificates: Certificates) -> dict[int, Handler]:
    return {
        2525: mail(certificates),
        7001: says(b"SSH-2.0-kit_1.0\r\n"),
        7002: says(b""),
        7003: closes(b""),
        7004: talk,
        7005: closes(b"a" * 70000),
        7006: closes(b"ready"),
        7007: says(b"late\r\n", 0.4),
        7008: database(certificates),
        7009: reset,
        7010: says(b"\x00\xff\xfe binary\n"),
        7011: flood,
    }


def hang_up_rudely(writer: asyncio.StreamWriter) -> None:
    """By RST."""
    one: socket.socket = writer.get_extra_info("socket")
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def heard(tell: Tell, line: bytes) -> None:
    text = line.decode("latin-1")
    if text.strip().isprintable() and text.isascii():  # else a TLS hello where none is understood
        tell("tcp", text)


def says(banner: bytes, after: float = 0.0) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
        heard(tell, b"connected")
        await asyncio.sleep(after)
        writer.write(banner)
        while line := await reader.readline():
            heard(tell, line)

    return serve


def closes(banner: bytes) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
        heard(tell, b"connected")
        writer.write(banner)
        await writer.drain()
        await asyncio.sleep(0.1)

    return serve


async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    await asyncio.sleep(0.05)
    hang_up_rudely(writer)


async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    while not writer.is_closing():
        writer.write(b"no\n")
        await writer.drain()
        await asyncio.sleep(0.02)


async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    writer.write(b"one\r\ntwo\r\nPING :abc123\r\n")
    line = await reader.readline()
    heard(tell, line)
    writer.write(b":srv 001 welcome\r\n" if line == b"PONG abc123\n" else b"ERROR\r\n")
    await reader.readline()


def mail(certificates: Certificates) -> Handler:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
        writer.write(b"220 mail.probe.test ESMTP kit 1.0\r\n")
        secure = False
        while line := await reader.readline():
            heard(tell, line)
            word = line.split()[0].upper() if line.split() else b""
            if word == b"EHLO":
                offered = b"AUTH PLAIN" if secure else b"STARTTLS"
                writer.write(b"250-mail.probe.test\r\n250-" + offered + b"\r\n250 OK\r\n")
            elif word == b"STARTTLS":
                writer.write(b"220 go\r\n")
                await writer.drain()
                await writer.start_tls(certificates.server("good"))
                secure = True
            elif word == b"QUIT":
                writer.write(b"221 bye\r\n")
                return

    return serve


def database(certificates: Certificates) -> Handler:
    """As PostgreSQL asks for TLS: eight bytes, and one in return."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
        await reader.readexactly(9)
        writer.write(b"S")
        await writer.drain()
        await writer.start_tls(certificates.server("good"))
        await reader.read(1)

    return serve
