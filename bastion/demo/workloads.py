"""The demo's cluster: sample workloads as real servers, at the addresses and ports of its manifests."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import html
import json
import secrets
import ssl
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

from bastion.demo.samplehttp import LARGEST_HEAD, Answer, SampleRequest, SampleResponse, converse
from bastion.demo.samplesite import SampleSite
from bastion.demo.samplewebsocket import say_back
from bastion.runtime.certificates import Authority
from bastion.runtime.trust import server_context
from bastion.standalone.manifests import load
from bastion.standalone.resources import Object

MANIFESTS = Path(__file__).with_name("manifests")
NETWORK = "127.77.0.0/24"  # in the manifests; another demo on this machine has another of NETWORKS
NETWORKS = tuple(f"127.77.{number}.0/24" for number in range(256))
TICK = 1.0  # seconds between two events
USERS = {"alice": ("developers",), "bob": (), "carol": ("auditors",)}
JSON = "application/json"


def demo_tokens() -> dict[str, tuple[str, tuple[str, ...]]]:
    """User -> (a token made now, groups)."""
    return {user: (secrets.token_urlsafe(24), groups) for user, groups in USERS.items()}


def manifests_at(network: str, folder: Path) -> Path:
    """The demo's manifests, with all its addresses in this one of NETWORKS; written into `folder`."""
    folder.mkdir(exist_ok=True)
    here, there = (prefix.removesuffix("0/24") for prefix in (NETWORK, network))
    for file in MANIFESTS.glob("*.yaml"):
        (folder / file.name).write_text(file.read_text().replace(here, there))
    return folder


class Workloads:
    """Use as an asynchronous context manager.  Entering raises OSError where an address or port is taken."""

    def __init__(self, manifests: Path = MANIFESTS) -> None:
        self._manifests = manifests
        self._open = contextlib.AsyncExitStack()
        self._conversations: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Workloads:
        objects = (await asyncio.to_thread(load, [self._manifests])).objects
        async with contextlib.AsyncExitStack() as opening:
            for key, pod in objects.items():
                if key[0] == "pods":
                    server = await self._serve(pod)
                    opening.callback(server.close)
            self._open = opening.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._open.aclose()
        for task in self._conversations:
            task.cancel()
        await asyncio.gather(*self._conversations, return_exceptions=True)

    async def _serve(self, pod: Object) -> asyncio.Server:
        application, name = APPLICATIONS[pod["metadata"]["labels"]["app"]], pod["metadata"]["name"]
        address, port = _place(pod)
        tls = await asyncio.to_thread(_unknown_certificate, address) if application.tls else None
        accept = functools.partial(self._accept, await asyncio.to_thread(application.of_pod, name))
        try:
            return await asyncio.start_server(accept, address, port, ssl=tls, limit=LARGEST_HEAD)
        except OSError as error:
            raise OSError(
                error.errno, f"the demo's pod {name} cannot listen at {address}:{port}: {error.strerror}"
            ) from error

    async def _accept(
        self, answer: Answer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._conversations.add(task)
        try:
            await converse(reader, writer, answer)
        except asyncio.CancelledError:
            pass  # the end of the demo; asyncio's streams would report a task that was cancelled
        finally:
            self._conversations.discard(task)


def _place(pod: Object) -> tuple[str, int]:
    return pod["status"]["podIP"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]


def _unknown_certificate(address: str) -> ssl.SSLContext:
    """TLS with a self-made certificate, as of many workloads: no client knows its authority."""
    return server_context(Authority("orders").issue(["orders.shop.svc", address]))


# --- the applications


Page = Callable[[str, SampleRequest], SampleResponse]


@dataclass(frozen=True, slots=True)
class SampleApplication:
    """`of_pod`: name of a pod -> the function that answers its requests."""

    of_pod: Callable[[str], Answer]
    tls: bool = False


def _pages(pages: dict[str, Page]) -> Callable[[str], Answer]:
    """Path -> what is answered there, by which pod."""

    def of_pod(pod: str) -> Answer:
        return lambda request: pages.get(request.path, _not_found)(pod, request)

    return of_pod


def _not_found(pod: str, request: SampleRequest) -> SampleResponse:
    return SampleResponse(b"not found\n", code=404)


PAGE = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>shop</title></head>
<body>
<h1>shop</h1>
<p>Answered by <strong>{pod}</strong>.</p>
<ul>
<li><a href="/">again</a></li>
<li><a href="/headers">the headers that this pod was sent</a></li>
<li><a href="/healthz">health</a></li>
<li><a href="/break">break this pod for two minutes</a>: its health becomes a 500, which probes see</li>
</ul>
</body>
</html>
"""


BROKEN_SECONDS = 120.0


def _breakable(pages: dict[str, Page]) -> Callable[[str], Answer]:
    """As `_pages`, for pods that somebody may break, one by one, and that mend themselves."""

    def of_pod(pod: str) -> Answer:
        broken_until = 0.0

        def answer(request: SampleRequest) -> SampleResponse:
            nonlocal broken_until
            if request.path == "/break":
                broken_until = time.monotonic() + BROKEN_SECONDS
                return SampleResponse(f"{pod} is broken for two minutes\n".encode())
            if request.path == "/healthz" and time.monotonic() < broken_until:
                return SampleResponse(b"somebody broke me\n", code=500)
            return pages.get(request.path, _not_found)(pod, request)

        return answer

    return of_pod


def _page(pod: str, request: SampleRequest) -> SampleResponse:
    return SampleResponse(PAGE.format(pod=html.escape(pod)).encode(), "text/html; charset=utf-8")


def _health(pod: str, request: SampleRequest) -> SampleResponse:
    return SampleResponse(b"ok\n")


def _headers(pod: str, request: SampleRequest) -> SampleResponse:
    said = {
        "pod": pod,
        "method": request.method,
        "target": request.target,
        "headers": [list(header) for header in request.headers],
    }
    return SampleResponse(json.dumps(said, indent=2).encode() + b"\n", JSON)


def _orders(pod: str, request: SampleRequest) -> SampleResponse:
    orders = [{"id": 1, "item": "lantern", "quantity": 2}, {"id": 2, "item": "rope", "quantity": 1}]
    return SampleResponse(json.dumps({"pod": pod, "orders": orders}).encode() + b"\n", JSON)


def _events(pod: str, request: SampleRequest) -> SampleResponse:
    return SampleResponse(_ticks(pod), "text/event-stream")


async def _ticks(pod: str) -> AsyncIterator[bytes]:
    number = 0
    while True:
        number += 1
        yield f"id: {number}\ndata: {json.dumps({'pod': pod, 'tick': number})}\n\n".encode()
        await asyncio.sleep(TICK)


def _metrics(pod: str, request: SampleRequest) -> SampleResponse:
    text = f'# HELP ticker_up Whether the ticker runs.\n# TYPE ticker_up gauge\nticker_up{{pod="{pod}"}} 1\n'
    return SampleResponse(text.encode(), "text/plain; version=0.0.4; charset=utf-8")


def _site(pod: str) -> Answer:
    return SampleSite(pod).answer


APPLICATIONS = {
    "frontend": SampleApplication(_breakable({"/": _page, "/healthz": _health, "/headers": _headers})),
    "orders": SampleApplication(_pages({"/orders": _orders, "/healthz": _health}), tls=True),
    "ticker": SampleApplication(_pages({"/events": _events, "/metrics": _metrics, "/healthz": _health})),
    "chat": SampleApplication(_pages({"/": say_back})),
    "guestbook": SampleApplication(_site),
    "noticeboard": SampleApplication(_site),
}
