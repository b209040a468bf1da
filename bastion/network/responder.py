"""A few pages over plain HTTP: what probes and scrapers ask a program for, and nothing that a user sends.

A connection carries one request: its head alone is read, within a deadline and a size.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from ipaddress import ip_address

import msgspec

from bastion.runtime.listening import listen

MOST_HEAD = 16384  # bytes
PATIENCE = 5.0  # seconds for a head to come and a response to go
MOST_CONNECTIONS = 256
RETRY = 5.0  # seconds between attempts to listen

_log = logging.getLogger("bastion.network")


class Page(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    fields: Mapping[str, str] = {}


NOT_FOUND = Page(404, b"404 page not found\n", fields={"X-Content-Type-Options": "nosniff"})

Respond = Callable[[str], Page | Awaitable[Page]]  # to a path without its query


class Responder:
    """Listens once `listen` was called, until `close`."""

    def __init__(self, respond: Respond) -> None:
        self._respond = respond
        self._servers: list[asyncio.Server] = []
        self._open = 0

    async def listen(self, addresses: list[str], port: int, *, share: bool = False) -> None:
        """`share` the port with other processes.

        Raises OSError where one cannot be bound; the others are not either.
        """
        try:
            for address in addresses:
                sock = listening(address, port, share=share)
                server = await asyncio.start_server(self._serve, sock=sock, limit=MOST_HEAD)
                self._servers.append(server)
        except OSError:
            self.close()
            raise

    async def keep_listening(self, address: str, port: int, *, hard: bool) -> None:
        """Returns once it listens; raises OSError where that fails and `hard` is true.

        A wildcard address of either family means both, as kube-proxy's does.
        """
        where = "" if ip_address(address).is_unspecified else address
        while True:
            try:
                return await self.listen([where], port)
            except OSError as error:
                if hard:
                    raise
                _log.error("cannot listen at %s port %d: %s; trying again", address, port, error.strerror)
            await asyncio.sleep(RETRY)

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            if self._open <= MOST_CONNECTIONS:
                async with asyncio.timeout(PATIENCE):
                    head = await reader.readuntil(b"\r\n\r\n")
                    writer.write(await self._response(head))
                    await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            self._open -= 1
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await writer.wait_closed()

    async def _response(self, head: bytes) -> bytes:
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1.") or not words[1].startswith(b"/"):
            page = Page(400, b"bad request\n")
        else:
            found = self._respond(words[1].partition(b"?")[0].decode("latin-1"))
            page = found if isinstance(found, Page) else await found
        fields = {
            "Content-Type": page.kind,
            **page.fields,
            "Content-Length": str(len(page.body)),
            "Connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        status = f"HTTP/1.1 {page.status} {HTTPStatus(page.status).phrase}\r\n{lines}\r\n".encode()
        return status if words[0] == b"HEAD" else status + page.body


def listening(address: str, port: int, *, share: bool = False) -> socket.socket:
    """An empty address means every one of both families.  Raises OSError."""
    if not address:
        try:
            return listen(("::", port), both=True, shared=share)
        except OSError as error:
            if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
                raise
            address = "0.0.0.0"  # noqa: S104 IPv6 is off
    return listen((address, port), shared=share)
