"""Two adapters: an ASGI application answers our exchange; another server's ASGI call becomes an exchange."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import unquote_to_bytes

from bastion.http.fields import Field
from bastion.kube.status import StatusError
from bastion.network.relay import Stream
from bastion.observe.auditids import new_audit_id
from bastion.observe.record import Record, Trail
from bastion.proxy.exchange import Direct, Exchange, ResponseHead
from bastion.server.status import write_status

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


async def run_asgi(
    app: Application, exchange: Exchange, record: Record | None = None, *, root: bytes = b""
) -> None:
    """Let an ASGI application answer; it may write to the record, which is in its scope, as the exchange is.

    `root` is the part of the path at which the application is found.
    """
    scope = _scope(exchange) | {
        "bastion.record": record,
        "bastion.exchange": exchange,
        "root_path": root.decode(),
    }

    async def receive() -> Message:
        data = await exchange.body.read() if exchange.body is not None else b""
        return {"type": "http.request", "body": data, "more_body": bool(data)}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            fields = [
                (bytes(name).lower(), bytes(name).title(), bytes(value)) for name, value in message["headers"]
            ]
            length = next((int(value) for lower, _, value in fields if lower == b"content-length"), None)
            kept = [field for field in fields if field[0] != b"content-length"]
            exchange.start(message["status"], b"", kept, length, bodiless=exchange.method == "HEAD")
        elif exchange.method == "HEAD":
            if not message.get("more_body"):
                exchange.finish()
        elif message.get("more_body"):
            exchange.write(message.get("body", b""))
            await exchange.drain()
        else:
            exchange.finish(message.get("body", b""))

    await app(scope, receive, send)


def _scope(exchange: Exchange) -> dict[str, Any]:
    path, _, query = exchange.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": f"1.{exchange.minor}",
        "method": exchange.method,
        "scheme": exchange.scheme.decode(),
        "path": unquote_to_bytes(path).decode("utf-8", "replace"),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(lower, value) for lower, _, value in exchange.all_fields()],
        "client": (exchange.client, 0),
        "server": None,
    }


class AsgiBody:
    """The body of a request that another server reads."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive = receive
        self._ended = False
        self.over = asyncio.Event()  # its last byte was read
        self.length = length
        self.chunked = length is None
        self.touched = False
        self.received = 0
        self.trailers: Sequence[Field] = ()  # which ASGI does not tell

    async def read(self) -> bytes:
        while not self._ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise asyncio.CancelledError
            self._ended = not message.get("more_body", False)
            if self._ended:
                self.over.set()
            data: bytes = message.get("body", b"")
            if data:
                self.touched = True
                self.received += len(data)
                return data
        return b""


class AsgiResponse:
    """Written over ASGI: what is written goes out in `drain` and after the exchange."""

    def __init__(self, send: Send, audit_id: str) -> None:
        self.status = 0
        self.added: tuple[Field, ...] = ()
        self.trail: Trail | None = None
        self.bytes_out = 0
        self.aborted = False
        self.audit_id = audit_id
        self._send = send
        self._pending: list[Message] = []

    def start(
        self, status: int, reason: bytes, fields: list[Field], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.status = status
        if self.trail is not None:
            self.trail.started(status)
        headers = [(lower or name.lower(), value) for lower, name, value in (*fields, *self.added)]
        headers.append((b"audit-id", self.audit_id.encode()))
        if length is not None and status != 204:
            headers.append((b"content-length", b"%d" % length))
        self._pending.append({"type": "http.response.start", "status": status, "headers": headers})

    def interim(self, status: int, reason: bytes, fields: list[Field]) -> None:
        """ASGI has no way to say so."""

    def line(self, name: bytes) -> bytes:
        raise AssertionError("nothing of it is remembered")

    def flush(self) -> None:
        """What is written goes out in `drain`."""

    def write(self, data: bytes) -> None:
        self.bytes_out += len(data)
        self._pending.append({"type": "http.response.body", "body": data, "more_body": True})

    def finish(self, data: bytes = b"", trailers: Sequence[Field] = ()) -> None:
        self.bytes_out += len(data)
        self._pending.append({"type": "http.response.body", "body": data, "more_body": False})

    @property
    def writable(self) -> bool:
        return False  # so that everything written is awaited

    async def drain(self) -> None:
        pending, self._pending = self._pending, []
        for message in pending:
            await self._send(message)

    def abort(self) -> None:
        self.aborted = True


class AsgiExchange(AsgiResponse):
    """Implements `proxy.exchange.Exchange` over ASGI."""

    certificate: tuple[bytes, ...] = ()  # ASGI does not pass it on
    key = b""  # nothing of it is remembered: all fields are looked at
    passed: Sequence[bytes] = ()
    direct: Direct | None = None
    http2 = False
    to_proxy = False

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        super().__init__(send, new_audit_id())
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        query: bytes = scope["query_string"]
        self.target = raw + b"?" + query if query else raw
        self.method: str = scope["method"]
        self.minor = 0 if scope["http_version"] == "1.0" else 1
        self.fields: list[Field] = [
            (bytes(name).lower(), bytes(name), bytes(value)) for name, value in scope["headers"]
        ]
        self.host = b",".join(value for lower, _, value in self.fields if lower == b"host")
        self.client = scope["client"][0] if scope.get("client") else ""
        self.scheme = str(scope.get("scheme", "http")).encode()
        self.upgradable = self.lasting = False
        self.keep_alive = True
        self._body = _body(self.fields, receive)
        self._receive = receive

    @property
    def body(self) -> AsgiBody | None:
        return self._body

    @property
    def bytes_in(self) -> int:
        return self._body.received if self._body is not None else 0

    def all_fields(self) -> list[Field]:
        return self.fields

    def send(self, head: ResponseHead, body: bytes) -> None:
        raise NotImplementedError("what is remembered is for connections of our own")

    def done(self) -> None:
        raise NotImplementedError("what is remembered is for connections of our own")

    def go_on(self) -> asyncio.Task[None]:
        raise NotImplementedError("what is remembered is for connections of our own")

    async def left(self) -> None:
        """Returns when the client has left; what it still sends of a body is not taken from its reader."""
        if self._body is not None:
            await self._body.over.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def hijack(self, reason: bytes, fields: list[Field], status: int = 101) -> Stream:
        raise NotImplementedError("ASGI cannot hand over a connection")

    def send_status(self, error: StatusError) -> None:
        write_status(self, error)


def _body(fields: list[Field], receive: Receive) -> AsgiBody | None:
    names = {lower: value for lower, _, value in fields}
    length = names.get(b"content-length")
    if length is None and b"transfer-encoding" not in names:
        return None
    return AsgiBody(receive, int(length) if length is not None else None)
