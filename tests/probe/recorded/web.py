"""A web server that does what the first segment of the path says."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from tests.probe.recorded.dialogues import hang_up_rudely
from tests.probe.recorded.seen import Tell

Fields = tuple[tuple[str, str], ...]
Script = Callable[["Exchange"], Awaitable[None] | None]


@dataclass(frozen=True)
class Exchange:
    writer: asyncio.StreamWriter
    method: str
    target: str
    fields: Fields
    body: bytes

    @property
    def argument(self) -> str:
        """The second segment of the path."""
        return [*self.target.partition("?")[0].strip("/").split("/"), ""][1]

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(self.target.partition("?")[2], keep_blank_values=True))

    @property
    def text(self) -> bytes:
        return self.query.get("body", "hello probe\n").encode()

    def field(self, name: str) -> str:
        return next((value for one, value in self.fields if one.lower() == name), "")

    def send(
        self,
        body: bytes = b"ok\n",
        *fields: tuple[str, str],
        status: int = 200,
        version: str = "1.1",
        length: bool = True,
    ) -> None:
        told = (("Connection", "close"), *((("Content-Length", str(len(body))),) if length else ()), *fields)
        lines = [f"HTTP/{version} {status} Said", *(f"{name}: {value}" for name, value in told)]
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        self.writer.write(head + (b"" if self.method == "HEAD" else body))

    def redirect(self, where: str, *fields: tuple[str, str], status: int = 302) -> None:
        self.send(b"moved\n", ("Location", where), *fields, status=status)

    def begin(self, framing: str) -> None:
        self.writer.write(f"HTTP/1.1 200 Said\r\nConnection: close\r\n{framing}\r\n\r\n".encode())

    def chunked(self, body: bytes) -> None:
        self.begin("Transfer-Encoding: chunked")
        pieces = (body[at : at + 7] for at in range(0, len(body), 7))
        self.writer.write(b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in pieces) + b"0\r\n\r\n")


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, tell: Tell) -> None:
    first = await reader.readexactly(1)
    if not first.isalpha():  # a TLS hello
        return
    head = first + await reader.readuntil(b"\r\n\r\n")
    line, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = line.split(" ", 2)
    fields = tuple((one.partition(":")[0].strip(), one.partition(":")[2].strip()) for one in lines)
    exchange = Exchange(writer, method, target, fields, b"")
    if exchange.field("expect").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = await _body(reader, exchange)
    tell(method, target, fields)
    name = target.partition("?")[0].strip("/").split("/")[0]
    script = SCRIPTS.get(name, _missing)
    work = script(Exchange(writer, method, target, fields, body))
    if work is not None:
        await work
    await writer.drain()


async def _body(reader: asyncio.StreamReader, exchange: Exchange) -> bytes:
    if length := exchange.field("content-length"):
        return await reader.readexactly(int(length))
    body = b""
    if "chunked" in exchange.field("transfer-encoding"):
        while size := int((await reader.readline()).split(b";")[0], 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
    return body


# --- the scripts


def _missing(exchange: Exchange) -> None:
    exchange.send(b"no such script\n", status=404)


def _status(exchange: Exchange) -> None:
    code, where = int(exchange.argument), exchange.query.get("location")
    bare = code in (204, 304)
    body = b"" if bare or code < 200 else f"status {code}\n".encode()
    exchange.send(body, *((("Location", where),) if where is not None else ()), status=code, length=not bare)


def _text(exchange: Exchange) -> None:
    pairs = (one.partition(":") for one in exchange.query.get("h", "").split("|") if one)
    exchange.send(exchange.text, *((name, value) for name, _, value in pairs))


def _echo(exchange: Exchange) -> None:
    seen = {
        "method": exchange.method,
        "target": exchange.target,
        "headers": {name.lower(): value for name, value in exchange.fields},
        "body": exchange.body.decode("latin-1"),
    }
    text = json.dumps(seen, sort_keys=True).encode().ljust(2048)
    exchange.send(text, ("Content-Type", "application/json"))


def _count_down(exchange: Exchange) -> None:
    left, query = int(exchange.argument), exchange.target.partition("?")[2]
    where = f"/redirect/{left - 1}?{query}" if left > 1 else "/echo"
    exchange.redirect(where, status=int(exchange.query.get("code", 302)))


def _deflate(exchange: Exchange) -> None:
    raw = zlib.compressobj(9, zlib.DEFLATED, -15)
    exchange.send(raw.compress(exchange.text) + raw.flush(), ("Content-Encoding", "deflate"))


def _gzip(exchange: Exchange) -> None:
    exchange.send(gzip.compress(exchange.text, mtime=0), ("Content-Encoding", "gzip"))


def _gzip_cut(exchange: Exchange) -> None:
    whole = gzip.compress(bytes(range(256)) + exchange.text * 40, mtime=0)
    exchange.send(whole[:-12], ("Content-Encoding", "gzip"))


async def _slow_head(exchange: Exchange) -> None:
    await asyncio.sleep(float(exchange.argument))
    exchange.send(exchange.text)


async def _slow_body(exchange: Exchange) -> None:
    exchange.begin("Content-Length: 8")
    exchange.writer.write(b"slow")
    await exchange.writer.drain()
    await asyncio.sleep(float(exchange.argument))
    exchange.writer.write(b"body")


async def _slow_redirect(exchange: Exchange) -> None:
    await asyncio.sleep(float(exchange.argument))
    exchange.redirect(f"/slow-head/{exchange.argument}")


def _short(exchange: Exchange) -> None:
    exchange.begin("Content-Length: 100")
    exchange.writer.write(b"only this")


async def _reset_body(exchange: Exchange) -> None:
    _short(exchange)
    await exchange.writer.drain()
    await asyncio.sleep(0.05)
    hang_up_rudely(exchange.writer)


def _early_hints(exchange: Exchange) -> None:
    exchange.writer.write(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
    exchange.send(exchange.text)


def _bad_chunk(exchange: Exchange) -> None:
    exchange.begin("Transfer-Encoding: chunked")
    exchange.writer.write(b"5\r\nhello\r\nzz\r\n")


def _two_lengths(exchange: Exchange) -> None:
    exchange.begin("Content-Length: 3\r\nContent-Length: 4")
    exchange.writer.write(b"abcd")


def _auth(exchange: Exchange) -> None:
    if exchange.field("authorization") == unquote(exchange.argument):
        exchange.send(b"in\n")
    else:
        exchange.send(b"out\n", ("WWW-Authenticate", 'Basic realm="kit"'), status=401)


def _server_name(exchange: Exchange) -> None:
    tls = exchange.writer.get_extra_info("ssl_object")
    exchange.send(f"sni={getattr(tls, 'server_name_seen', None)}\n".encode())


SCRIPTS: dict[str, Script] = {
    "status": _status,
    "text": _text,
    "echo": _echo,
    "redirect": _count_down,
    "redirect-absolute": lambda one: one.redirect(f"http://{one.field('host')}/text"),
    "redirect-scheme": lambda one: one.redirect(f"https://{one.field('host')}/text"),
    "redirect-to": lambda one: one.redirect(one.query["url"], status=int(one.query.get("code", 302))),
    "redirect-cookie": lambda one: one.redirect("/echo", ("Set-Cookie", "kit=crumb; Path=/")),
    "chunked": lambda one: one.chunked(one.text),
    "gzip": _gzip,
    "deflate": _deflate,
    "zlib": lambda one: one.send(zlib.compress(one.text), ("Content-Encoding", "deflate")),
    "gzip-lie": lambda one: one.send(one.text, ("Content-Encoding", "gzip")),
    "gzip-cut": _gzip_cut,
    "big": lambda one: one.send(b"x" * int(one.argument)),
    "big-chunked": lambda one: one.chunked(b"y" * int(one.argument)),
    "slow-head": _slow_head,
    "slow-body": _slow_body,
    "slow-redirect": _slow_redirect,
    "short": _short,
    "reset-head": lambda one: hang_up_rudely(one.writer),
    "reset-body": _reset_body,
    "empty": lambda one: None,
    "garbage": lambda one: one.writer.write(b"this is not HTTP\r\n\r\n"),
    "http10": lambda one: one.send(one.text, version="1.0"),
    "until-close": lambda one: one.send(one.text, length=False),
    "http10-until-close": lambda one: one.send(one.text, version="1.0", length=False),
    "early-hints": _early_hints,
    "bad-chunk": _bad_chunk,
    "two-lengths": _two_lengths,
    "last-modified": lambda one: one.send(one.text, ("Last-Modified", unquote(one.argument))),
    "auth": _auth,
    "sni": _server_name,
}
