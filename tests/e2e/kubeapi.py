"""The embedded API in a thread of the tests, so that its calls can be counted, behind doors that can be
shut.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import httpx

from bastion.standalone.apiserver import ApiServer
from bastion.standalone.resources import Object
from tests.e2e.harness import TOKENS, objects
from tests.loopback import free_port

T = TypeVar("T")


class Door:
    """A port before the API.

    Shut, it refuses and what was open is cut; frozen, it takes everything and passes nothing on.
    """

    def __init__(self, behind: int) -> None:
        self.port = free_port()
        self._behind = behind
        self._server: asyncio.Server | None = None
        self._passages: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._thawed = asyncio.Event()
        self._thawed.set()

    async def open(self) -> None:
        self._thawed.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for task, writer in list(self._passages.items()):
            writer.transport.abort()
            task.cancel()
        await asyncio.gather(*self._passages, return_exceptions=True)

    async def freeze(self) -> None:
        self._thawed.clear()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passages[task] = writer
        try:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._behind)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._carry(reader, inner_writer))
                    both.create_task(self._carry(inner_reader, writer))
            finally:
                inner_writer.transport.abort()
        except* (OSError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort()
            self._passages.pop(task, None)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            await self._thawed.wait()
            writer.write(data)
            await writer.drain()
        raise ConnectionResetError  # one side left: so does the other


class KubeApi:
    """A context.

    `calls` counts what was answered; `doors` lead to it; `kubeconfig` leads through the first.
    """

    def __init__(self, folder: Path, doors: int = 1) -> None:
        self._folder = folder
        self._wanted = doors
        self._manifests, self._tokens = folder / "cluster.json", folder / "tokens.csv"
        self.kubeconfig = folder / "kubeconfig"
        self.doors: list[Door] = []
        self.show(objects())
        self.know(TOKENS)

    def show(self, items: list[Object]) -> None:
        """From now on these are the objects."""
        _replace(self._manifests, json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))

    def know(self, tokens: str) -> None:
        _replace(self._tokens, tokens)

    def __enter__(self) -> KubeApi:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._open = contextlib.AsyncExitStack()
        self.do(self._start())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for door in self.doors:
            self.do(door.shut())
        self.do(self._open.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._api = await self._open.enter_async_context(
            ApiServer([self._manifests], self._tokens, poll_interval=0.05)
        )
        behind = int(self._api.url.rpartition(":")[2])
        for _ in range(self._wanted):
            self.doors.append(Door(behind))
            await self.doors[-1].open()
        self.kubeconfig.write_text(self._api.kubeconfig().replace(self._api.url, self.urls[0]))

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """On the API's own loop, from any thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    @property
    def urls(self) -> list[str]:
        return [f"https://127.0.0.1:{door.port}" for door in self.doors]

    @property
    def calls(self) -> Counter[str]:
        return self._api.calls.copy()

    def count(self, verb: str) -> int:
        return sum(number for call, number in self.calls.items() if call.startswith(verb))

    def says(self, resource: str, **spec: Any) -> dict[str, Any]:
        """The status of a review, past the doors."""
        group = "authentication" if resource == "tokenreviews" else "authorization"
        url = f"{self._api.url}/apis/{group}.k8s.io/v1/{resource}"
        token = self._api.kubeconfig().split("token: ")[1].split()[0]
        answer = httpx.post(
            url,
            json={"spec": spec},
            headers={"Authorization": f"Bearer {token}"},
            verify=False,
            trust_env=False,
        )
        status: dict[str, Any] = answer.json()["status"]
        return status


def _replace(path: Path, text: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)
