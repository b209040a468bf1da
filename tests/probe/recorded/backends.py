"""The pods of the recorded cases: servers that do what a request asks for, and tell what reached them."""

from __future__ import annotations

import asyncio
import contextvars
import ssl
import threading
from collections.abc import Coroutine
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tests.probe.recorded import dialogues, grpc, names, web
from tests.probe.recorded.certificates import Certificates
from tests.probe.recorded.pods import NODE, OTHER, PODS
from tests.probe.recorded.seen import Handler, Said

T = TypeVar("T")
_turn: contextvars.ContextVar[int] = contextvars.ContextVar("_turn")  # the case in which a connection began


class Backends:
    """In a thread of their own, until `close`.  `watched` connections came where none may come."""

    def __init__(self, net: str, watched: int, folder: Path) -> None:
        self._net = net
        self._certificates = Certificates(folder, [f"{net}.{number}" for number, _ in PODS.values()])
        self._at = 0
        self._seen: list[Said] = []
        self.fingerprints = self._certificates.fingerprints
        self.watched = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.run(self._open(watched))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(20)

    def begin(self) -> None:
        """A case: what others left behind no longer counts."""
        self._at, self._seen, self.watched = self._at + 1, [], 0

    @property
    def seen(self) -> list[Said]:
        return list(self._seen)

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def saw(self, said: Said) -> None:
        if _turn.get() == self._at:
            self._seen.append(said)

    async def _open(self, watched: int) -> None:
        for pod in ("web", "trio-0", "trio-1", "unready"):
            await self._listen(pod, 8080, web.serve)
        for number, name in ((NODE, "node-a"), (OTHER, "other/web")):
            await self._listen(name, 8080, web.serve, number=number)
        await self._open_tls()
        await self._listen("grpc", 50051, grpc.serve)
        for port, handler in dialogues.ports(self._certificates).items():
            await self._listen("tcp", port, handler)
        await self._listen("dns", 5353, names.over_tcp)
        address = (f"{self._net}.{PODS['dns'][0]}", 5353)
        await self._loop.create_datagram_endpoint(names.OverUdp, address)
        await asyncio.start_server(self._count, "127.0.0.1", watched)

    async def _open_tls(self) -> None:
        server = self._certificates.server
        for pod in ("self", "expired", "wrong", "chain", "good"):
            await self._listen(f"tls{pod}", 8443, web.serve, server(pod))
        old = server("good")
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        await self._listen("tls12", 8443, web.serve, old)
        await self._listen("mtls", 8443, web.serve, self._certificates.wanting_a_certificate())
        await self._listen("h2", 8443, grpc.serve_pages, server("good", ("h2",)))
        await self._listen("h2", 50052, grpc.serve, server("good", ("h2",)))
        await self._listen("tlsgood", 7443, dialogues.says(b"+OK ready\r\n"), server("good"))

    async def _listen(
        self,
        pod: str,
        port: int,
        handler: Handler,
        tls: ssl.SSLContext | None = None,
        number: int | None = None,
    ) -> None:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            _turn.set(self._at)
            try:
                await handler(reader, writer, partial(self._said, pod))
            except (OSError, EOFError, ValueError):
                pass
            finally:
                if not self._loop.is_closed():
                    writer.close()

        address = f"{self._net}.{PODS[pod][0] if number is None else number}"
        handshake = 5.0 if tls is not None else None
        await asyncio.start_server(
            connected, address, port, ssl=tls, ssl_handshake_timeout=handshake, reuse_address=True
        )

    def _said(
        self, pod: str, method: str, target: str = "", fields: tuple[tuple[str, str], ...] = ()
    ) -> None:
        self.saw(Said(pod, method, target, fields))

    async def _count(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.watched += 1
        writer.close()
