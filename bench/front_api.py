"""python -m bench.front_api PORT CERTIFICATE KEY: an API server that says yes to all, at little cost.

A small object, a list of 500 pods, nothing else in any list; a watch begins with one event and ends with its
client.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import sys

import uvloop

SMALL = "/api/v1/namespaces/bench/configmaps/small"
PODS = "/api/v1/namespaces/bench/pods"
PODS_LISTED = 500
_FIELDS = (
    b"Audit-Id: %b\r\nCache-Control: no-cache, private\r\nContent-Type: application/json\r\n"
    b"X-Kubernetes-Pf-Flowschema-Uid: 5c9a5f4e-0d9b-4f7c-8f2e-6a1f0c3f2b11\r\n"
    b"X-Kubernetes-Pf-Prioritylevel-Uid: 0f1d1c2b-7f53-4b5a-9d0e-2f6c1a7e9d40\r\n"
    b"Date: Sat, 01 Jan 2028 00:00:00 GMT\r\n"
)
_PIECE = 32768  # bytes of a chunk, as Go's server writes long bodies
_EVENT = b'{"type":"ADDED","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}}\n'


def _small() -> bytes:
    metadata = {"name": "small", "namespace": "bench", "uid": "7c6b3a52-0d7e-4f45-9d2a-0a4f0d2f7f10"}
    return json.dumps(
        {"kind": "ConfigMap", "apiVersion": "v1", "metadata": metadata, "data": {"a": "1"}}
    ).encode()


def _pods() -> bytes:
    pods = [
        {
            "metadata": {"name": f"pod-{number}", "namespace": "bench", "labels": {"app": "bench"}},
            "spec": {
                "containers": [
                    {"name": "c", "image": "bench/c:1", "env": [{"name": "A", "value": "x" * 1500}]}
                ]
            },
            "status": {"phase": "Running"},
        }
        for number in range(PODS_LISTED)
    ]
    return json.dumps(
        {"kind": "PodList", "apiVersion": "v1", "metadata": {"resourceVersion": "1"}, "items": pods}
    ).encode()


_EMPTY = b'{"kind":"List","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}'
_REVIEW = b'{"kind":"Review","apiVersion":"v1","status":{"allowed":true,"authenticated":false}}'
_BODIES = {SMALL: _small(), PODS: _pods(), "/readyz": b"ok"}


class Connection(asyncio.Protocol):
    """One request after the other, each in one piece."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self._held = b""

    def data_received(self, data: bytes) -> None:
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            head = self._held[:end]
            lower = head.lower()
            at = lower.find(b"\ncontent-length:")
            length = int(lower[at + 16 :].split(b"\r")[0]) if at >= 0 else 0
            if len(self._held) < end + 4 + length:
                return
            self._held = self._held[end + 4 + length :]
            self._answer(head, lower)

    def _answer(self, head: bytes, lower: bytes) -> None:
        method, target, _ = head.split(b" ", 2)
        path, _, query = target.decode().partition("?")
        at = lower.find(b"\naudit-id:")
        fields = _FIELDS % (head[at + 10 :].split(b"\r")[0].strip() if at >= 0 else b"-")
        if "watch=" in query:
            start = b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n"
            self._transport.write(start % (fields, len(_EVENT), _EVENT))
            return
        body = _REVIEW if method == b"POST" else _BODIES.get(path, _EMPTY)
        if len(body) < _PIECE:
            self._transport.write(
                b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (fields, len(body), body)
            )
            return
        pieces = (body[at : at + _PIECE] for at in range(0, len(body), _PIECE))
        chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self._transport.write(
            b"HTTP/1.1 200 OK\r\n%bTransfer-Encoding: chunked\r\n\r\n%b0\r\n\r\n" % (fields, chunks)
        )


async def _serve(port: int, certificate: str, key: str) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", port, ssl=context, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1]), sys.argv[2], sys.argv[3]))
