"""An API server that knows the truth about three resources, and misbehaves on cue.

What it holds is `objects`; `put` and `remove` change it and make events.  A fault is queued for the next list
or the next watch of a resource and takes the place of the good answer; without one, it is a good API server:
paged lists of one moment, watches with bookmarks, 410 for what it has forgotten.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import ssl
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from bastion.cluster.proxies import Proxies
from tests.fakes import LOOPBACK, reset

RESOURCES = ("pods", "services", "endpointslices")
BOOKMARKS = 10.0  # seconds

Raw = dict[str, Any]
Key = tuple[str, str]
Saved = tuple[int, dict[str, dict[Key, Raw]]]


class Access:
    """How the bastion reaches it."""

    proxies, proxy_tls, impersonation = Proxies(), None, ()

    def __init__(self, port: int) -> None:
        self.server = f"http://{LOOPBACK}:{port}"
        self.tls = ssl.create_default_context()

    async def authorization(self) -> str:
        return "Bearer t"

    async def refused(self, authorization: str | None) -> bool:
        return False


class Request:
    """A list, a watch or (`name`) a look at one object, of a resource, in a namespace where one is named."""

    def __init__(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        url = urlsplit(head.split()[1].decode())
        self.path, self.query = url.path, dict(parse_qsl(url.query))
        parts = url.path.split("/v1/", 1)[1].split("/")
        self.namespace = parts[1] if parts[0] == "namespaces" else ""
        self.resource, *rest = parts[2:] if self.namespace else parts
        self.name = rest[0] if rest else ""
        self.watch = self.query.get("watch") == "true"
        self.check = "resourceVersionMatch" in self.query

    def send(self, status: int, body: bytes, fields: str = "") -> None:
        head = (
            f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nContent-Type:"
            f" application/json\r\n{fields}\r\n"
        )
        self.writer.write(head.encode() + body)

    def begin(self) -> None:
        self.writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")

    async def chunk(self, data: bytes) -> None:
        if data:
            self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await self.writer.drain()

    def end(self) -> None:
        self.writer.write(b"0\r\n\r\n")


Fault = Callable[["ScriptedApi", Request], Awaitable[None]]


class ScriptedApi:
    def __init__(self) -> None:
        self.objects: dict[str, dict[Key, Raw]] = {resource: {} for resource in RESOURCES}
        self.revision = 100
        self.requests: Counter[tuple[str, str]] = Counter()  # (what, resource) -> how often
        # (what, resource) -> for the next ones
        self.faults: dict[tuple[str, str], deque[Fault]] = defaultdict(deque)
        self._history: list[tuple[int, str, str, Raw]] = []  # revision, resource, type, object
        self._forgotten = 0  # up to this revision
        self._snapshots: dict[str, list[Raw]] = {}  # lists under way: what there was when they began
        self._changed = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self.port = 0

    # --- the truth

    def put(self, resource: str, raw: Raw) -> None:
        key = (raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        self._change("MODIFIED" if key in self.objects[resource] else "ADDED", resource, key, raw)

    def remove(self, resource: str, key: Key) -> None:
        self._change("DELETED", resource, key, self.objects[resource].pop(key))

    def forget(self) -> None:
        """What was up to now cannot be watched from any more (etcd was compacted)."""
        self._forgotten = self.revision
        self._history.clear()
        self._snapshots.clear()

    def keep(self) -> Saved:
        """A backup of etcd."""
        return self.revision, {resource: dict(objects) for resource, objects in self.objects.items()}

    async def restore(self, saved: Saved, *, bumped: bool = False) -> None:
        """As etcdctl does it, the API server starting anew; `bumped`: with revisions that go on
        (--bump-revision --mark-compacted).
        """
        revision, objects = saved
        self.objects = {resource: dict(kept) for resource, kept in objects.items()}
        if bumped:
            self.revision += 1_000_000_000
            self.forget()
        else:
            self.revision = revision
            self._forgotten = min(self._forgotten, revision)
            self._history = [event for event in self._history if event[0] <= revision]
            self._snapshots.clear()
        await self.cut()

    def _change(self, kind: str, resource: str, key: Key, raw: Raw) -> None:
        self.revision += 1
        raw = {**raw, "metadata": {**raw["metadata"], "resourceVersion": str(self.revision)}}
        if kind != "DELETED":
            self.objects[resource][key] = raw
        self._history.append((self.revision, resource, kind, raw))
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    # --- serving

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[ScriptedApi]:
        await self.come()
        try:
            yield self
        finally:
            await self.leave()

    async def come(self) -> None:
        self._server = await asyncio.start_server(self._serve, LOOPBACK, self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def leave(self) -> None:
        """Away: the port refuses, what was open is reset."""
        if self._server is not None:
            self._server.close()
        await self.cut()

    async def cut(self) -> None:
        """What is open is reset."""
        for task, writer in list(self._open.items()):
            with contextlib.suppress(OSError):  # it may be closed already
                reset(writer)
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while True:
                request = Request(await reader.readuntil(b"\r\n\r\n"), reader, writer)
                what = (
                    "watch"
                    if request.watch
                    else "get"
                    if request.name
                    else "check"
                    if request.check
                    else "list"
                )
                self.requests[what, request.resource] += 1
                faults = self.faults[what, request.resource]
                await (faults.popleft() if faults else _GOOD[what])(self, request)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._open.pop(task, None)
            writer.close()

    # --- what a good API server answers

    def page(self, request: Request) -> tuple[int, bytes]:
        """Status and body of a page; later pages are of the moment of the first one."""
        query = request.query
        if request.check and int(query["resourceVersion"]) > self.revision:
            return 504, TOO_LARGE
        if "continue" in query:
            begun, at = json.loads(base64.b64decode(query["continue"]))
            if begun not in self._snapshots:
                return 410, b'{"kind":"Status","code":410}'
        else:
            begun, at = (
                f"{self.revision}/{request.resource}/{request.namespace}/{sum(self.requests.values())}",
                0,
            )
            found = self.objects[request.resource].items()
            self._snapshots[begun] = [raw for key, raw in sorted(found) if request.namespace in ("", key[0])]
        items, limit = self._snapshots[begun], int(query.get("limit", "500"))
        metadata = {"resourceVersion": begun.split("/")[0]}
        if at + limit < len(items):
            metadata["continue"] = base64.b64encode(json.dumps([begun, at + limit]).encode()).decode()
        return 200, json.dumps(
            {"kind": "List", "metadata": metadata, "items": items[at : at + limit]}
        ).encode()

    def events(self, request: Request, after: int) -> list[tuple[int, bytes]]:
        return [
            (revision, _line(kind, raw))
            for revision, resource, kind, raw in self._history
            if revision > after
            and resource == request.resource
            and request.namespace in ("", raw["metadata"].get("namespace", ""))
        ]

    async def lines(self, request: Request) -> AsyncIterator[bytes]:
        """Of a watch, until it should end; each with the line's end."""
        loop = asyncio.get_running_loop()
        after, ends = (
            int(request.query["resourceVersion"]),
            loop.time() + float(request.query["timeoutSeconds"]),
        )
        while loop.time() < ends:
            changed = self._changed
            if after < self._forgotten:
                yield _line("ERROR", {"kind": "Status", "metadata": {}, "status": "Failure", "code": 410})
                return
            for revision, line in self.events(request, after):
                after = revision
                yield line
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(BOOKMARKS, ends - loop.time())):
                    await changed.wait()
                    continue
            # one of the future waits in silence
            if self.revision >= after >= self._forgotten and not changed.is_set():
                after = self.revision
                yield _line("BOOKMARK", {"metadata": {"resourceVersion": str(after)}})


def _line(kind: str, raw: Raw) -> bytes:
    return json.dumps({"type": kind, "object": raw}).encode() + b"\n"


TOO_LARGE = (
    b'{"kind":"Status","code":504,"reason":"Timeout","message":"Timeout: Too large resource version: 7,'
    b' current: 5","details":{"causes":[{"reason":"ResourceVersionTooLarge","message":"Too large resource'
    b' version"}],"retryAfterSeconds":1}}'
)


async def _good_list(api: ScriptedApi, request: Request) -> None:
    request.send(*api.page(request))
    await request.writer.drain()


async def _good_watch(api: ScriptedApi, request: Request) -> None:
    request.begin()
    async with contextlib.aclosing(api.lines(request)) as lines:  # type: ignore[type-var]
        async for line in lines:
            await request.chunk(line)
    request.end()


async def _good_get(api: ScriptedApi, request: Request) -> None:
    raw = api.objects[request.resource].get((request.namespace, request.name))
    request.send(200 if raw else 404, json.dumps(raw or {"kind": "Status", "code": 404}).encode())
    await request.writer.drain()


_GOOD: dict[str, Fault] = {"list": _good_list, "check": _good_list, "watch": _good_watch, "get": _good_get}
