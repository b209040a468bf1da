"""Serves the files of one folder: types, dates, ranges, listings, and no way out of it."""

from __future__ import annotations

import html
import mimetypes
import os
import secrets
import stat
from email.utils import formatdate
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from bastion.http.fields import Field, first_value
from bastion.localproxy.answer import Refusal
from bastion.localproxy.ranges import PIECE, Range, content_range, is_unmodified, precondition_fails, ranges
from bastion.localproxy.ranges import applies as range_applies
from bastion.proxy.exchange import Exchange

_TEXT = "; charset=utf-8"
TYPES = {  # as browsers want them, whatever the system's table says
    ".css": "text/css",
    ".htm": "text/html",
    ".html": "text/html",
    ".js": "text/javascript",
    ".json": "application/json",
    ".mjs": "text/javascript",
    ".svg": "image/svg+xml",
    ".txt": "text/plain",
    ".wasm": "application/wasm",
    ".xml": "text/xml",
}
INDEX = b"/index.html"
SNIFFED = 512  # bytes looked at where the name tells nothing
_NOT_FOUND = "404 page not found"


class Folder:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._root = os.path.realpath(folder)

    async def serve(self, exchange: Exchange, path: bytes) -> None:
        """`path` is raw, without its prefix.  Raises Refusal."""
        name = unquote_to_bytes(path)
        query = exchange.target.partition(b"?")[1:]
        if b"\0" in name or any(part == b".." for part in name.replace(b"\\", b"/").split(b"/")):
            raise Refusal(404, _NOT_FOUND)
        if (b"/" + name).endswith(INDEX):
            _elsewhere(exchange, b"./" + b"".join(query))
            return
        handle = self._open(name)
        try:
            status = os.fstat(handle)
            last = quote(name.rstrip(b"/").rpartition(b"/")[2]).encode()
            if stat.S_ISDIR(status.st_mode):
                if name and not name.endswith(b"/"):
                    _elsewhere(exchange, last + b"/" + b"".join(query))
                    return
                await self._serve_folder(exchange, name, handle)
            elif name.endswith(b"/"):
                _elsewhere(exchange, b"../" + last + b"".join(query))
            else:
                await _serve_file(exchange, name, handle, status)
        finally:
            os.close(handle)

    def _open(self, name: bytes) -> int:
        """A descriptor of what is inside the folder, links resolved.  Raises Refusal."""
        path = os.path.join(os.fsencode(self._root), name.lstrip(b"/").rstrip(b"/"))  # noqa: PTH118 bytes
        try:
            handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise Refusal(404, _NOT_FOUND) from None
        # Asked of what was opened, not of the name: a link may have been changed in between.
        mode = os.fstat(handle).st_mode
        there = os.path.realpath(f"/proc/self/fd/{handle}")
        inside = there == self._root or there.startswith(self._root.rstrip("/") + "/")
        if not inside or not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            os.close(handle)
            raise Refusal(404, _NOT_FOUND)
        return handle

    async def _serve_folder(self, exchange: Exchange, name: bytes, handle: int) -> None:
        try:
            index = self._open(name + INDEX[1:])
        except Refusal:
            index = -1
        if index >= 0:
            try:
                await _serve_file(exchange, INDEX, index, os.fstat(index))
            finally:
                os.close(index)
            return
        modified = _date(os.fstat(handle))
        if is_unmodified(exchange.fields, os.fstat(handle).st_mtime):
            _start(exchange, 304, [], 0, modified)
            return
        body = _listing(handle)
        fields = _typed(f"text/html{_TEXT}")
        exchange.start(200, b"", [*fields, *modified], len(body))
        exchange.finish(b"" if exchange.method == "HEAD" else body)


async def _serve_file(exchange: Exchange, name: bytes, handle: int, status: os.stat_result) -> None:
    size, asked, modified = status.st_size, exchange.fields, _date(status)
    reads = exchange.method in ("GET", "HEAD")
    if precondition_fails(asked, status.st_mtime, reads=reads):
        _start(exchange, 412, [], 0, modified)
        return
    if reads and is_unmodified(asked, status.st_mtime):
        _start(exchange, 304, [], 0, modified)
        return
    kind = _kind(name, handle)
    applies = range_applies(asked, status.st_mtime, reads=reads)
    wanted = ranges(first_value(asked, b"range"), size) if applies else ()
    if wanted is None:
        unfit = (b"content-range", b"Content-Range", b"bytes */%d" % size)
        raise Refusal(416, "invalid range: failed to overlap", (unfit,))
    accepts = [(b"accept-ranges", b"Accept-Ranges", b"bytes"), *modified]
    if not wanted:
        exchange.start(200, b"", [*_typed(kind), *accepts], size, bodiless=exchange.method == "HEAD")
        await _send(exchange, [(b"", Range(0, size))], b"", handle)
    elif len(wanted) == 1:
        fields = [
            *_typed(kind),
            (b"content-range", b"Content-Range", content_range(wanted[0], size)),
            *accepts,
        ]
        exchange.start(206, b"", fields, wanted[0].length, bodiless=exchange.method == "HEAD")
        await _send(exchange, [(b"", wanted[0])], b"", handle)
    else:
        boundary = secrets.token_hex(30).encode()
        parts = [(_part(boundary, kind, one, size, first=not i), one) for i, one in enumerate(wanted)]
        end = b"\r\n--%b--\r\n" % boundary
        length = sum(len(head) + one.length for head, one in parts) + len(end)
        fields = [*_typed(f"multipart/byteranges; boundary={boundary.decode()}"), *accepts]
        exchange.start(206, b"", fields, length, bodiless=exchange.method == "HEAD")
        await _send(exchange, parts, end, handle)


async def _send(exchange: Exchange, parts: list[tuple[bytes, Range]], end: bytes, handle: int) -> None:
    """A file that has become shorter meanwhile breaks the response off."""
    if exchange.method == "HEAD":
        exchange.finish()
        return
    for head, one in parts:
        exchange.write(head)
        at, left = one.start, one.length
        while left:
            data = os.pread(handle, min(PIECE, left), at)
            if not data:
                exchange.abort()
                return
            at, left = at + len(data), left - len(data)
            exchange.write(data)
            if not exchange.writable:
                await exchange.drain()
    exchange.finish(end)


def _part(boundary: bytes, kind: str, one: Range, size: int, *, first: bool) -> bytes:
    lines = (
        b"" if first else b"\r\n",
        b"--%b\r\n" % boundary,
        b"Content-Range: %b\r\n" % content_range(one, size),
        b"Content-Type: %b\r\n\r\n" % kind.encode(),
    )
    return b"".join(lines)


def _start(
    exchange: Exchange, status: int, fields: list[Field], length: int | None, more: list[Field]
) -> None:
    exchange.start(status, b"", [*fields, *more], length if status != 304 else None, bodiless=True)
    exchange.finish()


def _elsewhere(exchange: Exchange, location: bytes) -> None:
    """Relative, so that it is right under every prefix."""
    exchange.start(301, b"", [(b"location", b"Location", location)], 0)
    exchange.finish()


def _listing(handle: int) -> bytes:
    entries = []
    with os.scandir(handle) as found:
        for entry in found:
            # a link is shown as itself, also where it leads to a folder
            slash = "/" if entry.is_dir(follow_symlinks=False) else ""
            entries.append(entry.name + slash)
    lines = (f'<a href="{html.escape(_reference(name))}">{html.escape(name)}</a>' for name in sorted(entries))
    opening = ("<!doctype html>", '<meta name="viewport" content="width=device-width">', "<pre>")
    text = "\n".join((*opening, *lines, "</pre>", ""))
    return text.encode("utf-8", "surrogateescape")


def _reference(name: str) -> str:
    escaped = quote(os.fsencode(name), safe="/;:@&=+$,!~*'()")
    # what stands before a colon would be read as a scheme
    return f"./{escaped}" if ":" in escaped.partition("/")[0] else escaped


def _kind(name: bytes, handle: int) -> str:
    extension = Path(os.fsdecode(name)).suffix.lower()
    kind = TYPES.get(extension) or mimetypes.types_map.get(extension)
    if kind is None:
        start = os.pread(handle, SNIFFED, 0)
        binary = any(byte < 0x20 and byte not in b"\t\n\x0c\r\x1b" for byte in start)
        # never text/html: what a file is says its name
        return "application/octet-stream" if binary else f"text/plain{_TEXT}"
    return f"{kind}{_TEXT}" if kind.startswith("text/") else kind


def _typed(kind: str) -> list[Field]:
    return [
        (b"content-type", b"Content-Type", kind.encode()),
        (b"x-content-type-options", b"X-Content-Type-Options", b"nosniff"),
    ]


def _date(status: os.stat_result) -> list[Field]:
    text = formatdate(int(status.st_mtime), usegmt=True).encode()
    return [(b"last-modified", b"Last-Modified", text)]
