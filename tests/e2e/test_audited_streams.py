"""What the audit log tells of streams: how much went either way, and why they ended."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from tests.e2e.harness import ALICE, PORT, Bastion, Cluster, serving
from tests.e2e.test_audit import audited, events
from tests.e2e.wire import Client, Visit, backend, client

SWITCH = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")
KEY, ACCEPT = "dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
CODES = {"CONNECT": 200, "WebSocket": 101}
HEADS = {
    "CONNECT": (f"CONNECT NAME.default.pod:{PORT} HTTP/1.1", f"Proxy-Authorization: Bearer {ALICE}"),
    "WebSocket": (
        "GET PATH HTTP/1.1",
        *SWITCH,
        f"Sec-WebSocket-Key: {KEY}",
        f"Authorization: Bearer {ALICE}",
    ),
}


async def echo(visit: Visit) -> None:
    """Ten bytes for each five, after a switch of protocols where one is asked for; a reset for `break`."""
    data = await visit.reader.readexactly(5)
    if data == b"GET /":
        await visit.reader.readuntil(b"\r\n\r\n")
        head = ("HTTP/1.1 101 Switching Protocols", *SWITCH[:2], f"Sec-WebSocket-Accept: {ACCEPT}", "", "")
        await visit.send("\r\n".join(head).encode())
        data = await visit.reader.readexactly(5)
    while data != b"break":
        await visit.send(data * 2)
        data = await visit.reader.readexactly(5)
    visit.reset()


async def in_good_order(wire: Client, bastion: Bastion) -> None:
    wire.writer.close()
    await wire.writer.wait_closed()


async def client_resets(wire: Client, bastion: Bastion) -> None:
    wire.reset()


async def backend_resets(wire: Client, bastion: Bastion) -> None:
    await wire.send(b"break")
    await wire.ended()


async def bastion_stops(wire: Client, bastion: Bastion) -> None:
    await wire.ended()


# how it ends -> why, as the event says it; the last one is the end of all
ENDS: dict[Callable[[Client, Bastion], Awaitable[None]], str | None] = {
    in_good_order: None,
    client_resets: "client-left",
    backend_resets: "backend-cut",
    bastion_stops: "drained",
}


def test_a_stream_completes_once_with_its_bytes_and_why_it_ended(cluster: Cluster, tmp_path: Path) -> None:
    async def one(bastion: Bastion, kind: str, end: Callable[[Client, Bastion], Awaitable[None]]) -> None:
        pod = cluster.pod()
        async with backend(pod.address, echo), client(bastion) as wire:
            head = "\r\n".join((*HEADS[kind], "Host: x", f"Audit-Id: {kind}-{end.__name__}", "", ""))
            await wire.send(head.replace("NAME", pod.name).replace("PATH", pod.path()).encode())
            assert (await wire.head()).status == CODES[kind]
            await wire.send(b"hello")
            assert await wire.reader.readexactly(10) == b"hellohello"
            opened.append(end)
            if opened.count(bastion_stops) == len(HEADS):  # a second signal would end it at once
                bastion.program.signal(signal.SIGTERM)
            await end(wire, bastion)

    async def main(bastion: Bastion) -> None:
        for end in ENDS:
            await asyncio.gather(*(one(bastion, kind, end) for kind in HEADS))

    opened: list[object] = []
    log, flags = audited(tmp_path, "--enable-tunnels", "--stream-drain=1s")
    with serving(cluster, tmp_path, *flags) as bastion:
        asyncio.run(main(bastion))
        assert bastion.program.wait() == 0
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events(log):
        found.setdefault(event["auditID"], []).append(event)
    assert len(found) == len(ENDS) * len(HEADS)
    for (kind, code), (end, outcome) in itertools.product(CODES.items(), ENDS.items()):
        of = found[f"{kind}-{end.__name__}"]
        assert [event["stage"] for event in of] == ["ResponseStarted", "ResponseComplete"]
        assert of[-1]["responseStatus"]["code"] == code
        said = of[-1]["annotations"]
        received = 10 if end is backend_resets else 5
        assert said["bastion.dev/bytes-received"] == str(received), of
        assert said["bastion.dev/bytes-sent"] == "10", of
        assert said.get("bastion.dev/outcome") == outcome, of
        assert said["authorization.k8s.io/decision"] == "allow"
