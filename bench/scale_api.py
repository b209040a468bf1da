"""python -m bench.scale_api: an API server of a large cluster: lists, watches, and yes to every review.

`/changes?rate=&seconds=` makes so many changes a second, tells watchers, and answers with their number once
all were sent; `/marker` adds one pod that no list has, so that one can see when a watcher has come to it.
"""

from __future__ import annotations

import asyncio
import random
import ssl
import sys
from collections import defaultdict, deque
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import uvloop

from bench.scale_objects import Cluster

PODS, SLICES = "/api/v1/pods", "/apis/discovery.k8s.io/v1/endpointslices"
TICK = 0.01  # seconds between batches of changes
BOOKMARKS = 10.0  # seconds
HISTORY = 5000  # changes that a watch may be behind

_TOKEN_REVIEW = b'{"status":{"authenticated":true,"user":{"username":"bench","uid":"1","groups":["bench"]}}}'
_ACCESS_REVIEW = b'{"status":{"allowed":true}}'


class ScaleApi:
    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._revision = 1_000_000
        self._watchers: defaultdict[str, set[asyncio.StreamWriter]] = defaultdict(set)
        self._told: deque[tuple[int, str, bytes]] = deque(maxlen=HISTORY)  # revision, path, chunk

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                lower = head.lower()
                if "content-length:" in lower:
                    await reader.readexactly(int(lower.split("content-length:")[1].split("\r\n")[0]))
                url = urlsplit(head.split(" ")[1])
                await self._answer(url.path, dict(parse_qsl(url.query)), writer)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            pass
        finally:
            for watchers in self._watchers.values():
                watchers.discard(writer)
            writer.close()

    async def _answer(self, path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if path in self._cluster.makers:
            await (
                self._watch(path, query, writer) if query.get("watch") else self._list(path, query, writer)
            )
        elif path.endswith("tokenreviews"):
            _send(writer, _TOKEN_REVIEW, 201)
        elif path.endswith("subjectaccessreviews"):
            _send(writer, _ACCESS_REVIEW, 201)
        elif path == "/changes":
            _send(writer, b"%d" % await self._change(int(query["rate"]), float(query["seconds"])))
        elif path == "/marker":
            self._tell(PODS, b"ADDED", self._marker(query["name"], query["address"]))
            _send(writer, b"")
        else:
            _send(writer, b'{"kind":"Status","code":404}', 404)
        await writer.drain()

    # --- lists

    async def _list(self, path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        count, make = self._cluster.makers[path]
        begin, limit = int(query.get("continue", "0")), int(query["limit"])
        end = min(begin + limit, count)
        more = str(end) if end < count else ""
        items = b",".join(make(number, self._revision) for number in range(begin, end))
        _send(
            writer,
            b'{"metadata":{"resourceVersion":"%d","continue":"%b"},"items":[%b]}'
            % (self._revision, more.encode(), items),
        )

    # --- watches

    async def _watch(self, path: str, query: dict[str, str], writer: asyncio.StreamWriter) -> None:
        since = int(query["resourceVersion"])
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        writer.write(b"".join(chunk for revision, of, chunk in self._told if revision > since and of == path))
        self._watchers[path].add(writer)
        loop = asyncio.get_running_loop()
        ends = loop.time() + float(query["timeoutSeconds"])
        while loop.time() < ends:
            await asyncio.sleep(min(BOOKMARKS, max(0.0, ends - loop.time())))
            writer.write(
                _chunk(
                    b'{"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"%d"}}}\n' % self._revision
                )
            )
        self._watchers[path].discard(writer)
        writer.write(b"0\r\n\r\n")

    def _tell(self, path: str, kind: bytes, raw: bytes) -> None:
        chunk = _chunk(b'{"type":"%b","object":%b}\n' % (kind, raw))
        self._told.append((self._revision, path, chunk))
        for writer in self._watchers[path]:
            writer.write(chunk)

    async def _change(self, rate: int, seconds: float) -> int:
        """Half of them change nothing that anybody reads, as most of what kubelets write."""
        loop, chance, sent = asyncio.get_running_loop(), random.Random(1), 0
        begun = loop.time()
        while (now := loop.time() - begun) < seconds:
            for _ in range(int(now * rate) - sent):
                self._one_change(chance)
                sent += 1
            await asyncio.sleep(TICK)
        return sent

    def _one_change(self, chance: random.Random) -> None:
        cluster, self._revision = self._cluster, self._revision + 1
        number = chance.randrange(cluster.pods)
        if number % cluster.services < cluster.live:
            number += cluster.live
        what = chance.random()
        if what < 0.5:
            self._tell(PODS, b"MODIFIED", cluster.pod(number, self._revision))
        elif what < 0.75:
            self._tell(
                PODS, b"MODIFIED", cluster.pod(number, self._revision, chance.choice(("Running", "Failed")))
            )
        else:
            number %= cluster.services
            self._tell(
                SLICES, b"MODIFIED", cluster.slice(number, self._revision, chance.choice(("true", "false")))
            )

    def _marker(self, name: str, address: str) -> bytes:
        """A pod like the first one, of another name and address."""
        self._revision += 1
        raw = self._cluster.pod(0, self._revision).replace(self._cluster.pod_name(0).encode(), name.encode())
        return raw.replace(self._cluster.address(0).encode(), address.encode())


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _send(writer: asyncio.StreamWriter, body: bytes, status: int = 200) -> None:
    writer.write(
        b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(body))
        + body
    )


async def main(port: int, network: str, certificate: Path, key: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = await asyncio.start_server(ScaleApi(Cluster(network)).serve, "127.0.0.1", port, ssl=tls)
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4])))
