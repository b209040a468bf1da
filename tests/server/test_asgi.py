"""The application hosted by a stock ASGI server: everything but upgrades."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from bastion.runtime.listening import listen
from bastion.server.asgi import run_asgi
from bastion.settings.config import serve_config
from bastion.wiring.bastion import open_bastion
from tests import fakes
from tests.e2e.harness import ALICE, ALLOWED, CAROL, Cluster, Place
from tests.e2e.wire import Visit, backend, sending


class Guest(uvicorn.Server):
    """Leaves the signals alone."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass(slots=True)
class Hosted:
    http: httpx.AsyncClient
    pod: Place
    log: Path

    async def request(self, method: str, path: str, token: str = ALICE, **more: object) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return await self.http.request(method, path, headers=headers, **more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    return Cluster(tmp_path_factory.mktemp("cluster"))


@contextlib.asynccontextmanager
async def hosted(cluster: Cluster, folder: Path, http: str) -> AsyncIterator[Hosted]:
    """The whole bastion over the embedded API, its own server left out."""
    source = ["--manifests", str(cluster.manifests), "--token-auth-file", str(cluster.tokens)]
    config = serve_config([*source, "--allow-target-cidr", ALLOWED])
    log = os.open(folder / "access.log", os.O_WRONLY | os.O_CREAT)
    sock = listen((fakes.LOOPBACK, 0))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(os.close, log)
        bastion = await stack.enter_async_context(open_bastion(config, log))
        await bastion.synced()
        server = Guest(uvicorn.Config(bastion.app, http=http, ws="none", log_config=None, access_log=False))
        serving = asyncio.create_task(server.serve(sockets=[sock]))
        url = f"http://{fakes.LOOPBACK}:{sock.getsockname()[1]}"
        client = await stack.enter_async_context(httpx.AsyncClient(base_url=url, trust_env=False, timeout=30))
        await fakes.until(lambda: server.started)
        try:
            yield Hosted(client, cluster.pod(), folder / "access.log")
        finally:
            server.should_exit = True
            await serving


@pytest.fixture(params=["h11", "httptools"])
def host(
    request: pytest.FixtureRequest, cluster: Cluster, tmp_path: Path
) -> Callable[[Callable[[Hosted], Awaitable[None]]], None]:
    def run(talk: Callable[[Hosted], Awaitable[None]]) -> None:
        async def main() -> None:
            async with hosted(cluster, tmp_path, request.param) as app:
                await talk(app)

        fakes.run(main())

    return run


Host = Callable[[Callable[[Hosted], Awaitable[None]]], None]


def test_requests_pass_byte_for_byte(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        async with backend(app.pod.address) as behind:
            said = (await app.request("GET", app.pod.path("/a%2Fb//c?x=%zz"))).json()
            assert (said["method"], said["target"]) == ("GET", "/a%2Fb//c?x=%zz")
            for method in ("POST", "PUT", "PATCH", "DELETE"):
                said = (await app.request(method, app.pod.path("/x"), content=b"body" * 50_000)).json()
                assert (said["method"], len(said["body"])) == (method, 200_000)
            assert not any("authorization" in seen.names() for seen in behind.requests)
            assert {seen.one("X-Forwarded-For") for seen in behind.requests} == {fakes.LOOPBACK}

    host(talk)


def test_a_body_in_chunks_passes_in_chunks(host: Host) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for number in range(10):
            yield b"%d" % number

    async def talk(app: Hosted) -> None:
        async with backend(app.pod.address) as behind:
            assert (await app.request("POST", app.pod.path(), content=pieces())).json()[
                "body"
            ] == "0123456789"
            assert behind.requests[0].one("Transfer-Encoding") == "chunked"

    host(talk)


def test_a_stream_arrives_as_it_is_sent(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        received = asyncio.Event()

        async def serve(visit: Visit) -> None:
            await visit.head()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await received.wait()
            await visit.send(b"data: 2\n\n")

        headers = {"Authorization": f"Bearer {ALICE}"}
        async with (
            backend(app.pod.address, serve),
            app.http.stream("GET", app.pod.path(), headers=headers) as response,
        ):
            events = response.aiter_raw()
            assert await anext(events) == b"data: 1\n\n"
            received.set()
            assert await anext(events) == b"data: 2\n\n"
            assert [event async for event in events] == []

    host(talk)


ANSWERS = (
    (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
    (b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nX-A: b\r\n\r\nno", 404, b"no"),
    (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", 200, b"no"),
)


def test_answers_pass(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        for answer, code, body in ANSWERS:
            async with backend(app.pod.address, sending(answer)):
                response = await app.request("GET", app.pod.path())
                assert (response.status_code, response.content) == (code, body)
                assert "x-bastion-error" not in response.headers

    host(talk)


def test_an_answer_that_breaks_off_is_visibly_broken(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        broken = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
        async with backend(app.pod.address, sending(broken)):
            with pytest.raises(httpx.RemoteProtocolError):
                await app.request("GET", app.pod.path())

    host(talk)


def test_refusals_are_statuses(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        for token, path, code in (
            ("", app.pod.path(), 401),
            (CAROL, app.pod.path(), 403),
            (ALICE, app.pod.path(port=9), 503),
        ):
            response = await app.request("GET", path, token=token)
            assert (response.status_code, response.json()["code"]) == (code, code)
            assert response.headers["x-bastion-error"] == response.json()["details"]["causes"][0]["reason"]
            assert response.headers["audit-id"]
        head = await app.request("HEAD", app.pod.path(), token=CAROL)
        assert (head.status_code, head.content) == (403, b"")

    host(talk)


def test_own_paths_are_answered(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        assert (await app.request("GET", "/readyz", token="")).text == "ok"
        assert "bastion_requests_in_flight" in (await app.request("GET", "/metrics")).text
        assert (await app.request("GET", "/version", token="")).json()["gitVersion"]
        assert (await app.request("HEAD", "/livez", token="")).content == b""

    host(talk)


def test_exchanges_are_logged(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        async with backend(app.pod.address):
            response = await app.request("GET", app.pod.path("/x?secret"))
        await fakes.until(lambda: app.log.read_text().endswith("\n"))
        line = json.loads(app.log.read_text().splitlines()[-1])
        assert (line["auditID"], line["path"], line["user"]) == (
            response.headers["audit-id"],
            app.pod.path("/x"),
            "alice",
        )
        assert (line["code"], line["bytesOut"]) == (200, len(response.content))

    host(talk)


def test_a_client_that_leaves_frees_its_backend(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        freed = asyncio.Event()

        async def serve(visit: Visit) -> None:
            await visit.message()
            await visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
            await visit.ended()
            freed.set()

        headers = {"Authorization": f"Bearer {ALICE}"}
        async with backend(app.pod.address, serve):
            async with app.http.stream("GET", app.pod.path(), headers=headers) as response:
                await anext(response.aiter_raw())
            async with asyncio.timeout(3):
                await freed.wait()

    host(talk)


# --- the other way round: an ASGI application answers an exchange of ours


def test_an_asgi_application_answers_an_exchange() -> None:
    async def main() -> None:
        seen = {}

        async def application(scope: Any, receive: Any, send: Any) -> None:
            seen.update(scope)
            await send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": [(b"x-a", b"b"), (b"content-length", b"4")],
                }
            )
            await send({"type": "http.response.body", "body": b"an", "more_body": True})
            await send({"type": "http.response.body", "body": b"sw"})

        exchange = Exchange()
        await run_asgi(application, exchange)  # type: ignore[arg-type]
        assert (seen["path"], seen["raw_path"], seen["query_string"]) == ("/a b", b"/a%20b", b"c=d")
        assert exchange.answer == [(200, [(b"x-a", b"X-A", b"b")], 4), b"an", b"sw"]

    asyncio.run(main())


class Exchange:
    method, target, minor, scheme, client, body = "GET", b"/a%20b?c=d", 1, b"https", "192.0.2.1", None
    fields: tuple[object, ...] = ()

    def all_fields(self) -> tuple[object, ...]:
        return self.fields

    def __init__(self) -> None:
        self.answer: list[object] = []

    def start(
        self, status: int, reason: bytes, fields: list[object], length: int | None, *, bodiless: bool = False
    ) -> None:
        self.answer.append((status, fields, length))

    def write(self, data: bytes) -> None:
        self.answer.append(data)

    async def drain(self) -> None:
        pass

    finish = write


def test_an_own_path_that_is_too_long_is_refused(host: Host) -> None:
    async def talk(app: Hosted) -> None:
        for path in ("/readyz?" + "a" * 8200, "/livez?" + "a&" * 70, "/readyz/" + "x" * 8200):
            response = await app.request("GET", path, token="")
            assert (response.status_code, response.json()["reason"]) == (414, "URITooLong")
        assert (
            await app.request("GET", "/readyz?" + "exclude=x&" * 60 + "verbose", token="")
        ).status_code == 200

    host(talk)
