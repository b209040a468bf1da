"""Do replicas hear of sessions that another one ended?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from typing import Any

import orjson
from msgspec import structs

from bastion.cluster.errors import ApiError
from bastion.runtime.turns import Asker
from bastion.signin.revoked import SID, Revocations, digest
from bastion.signin.session import SESSION_SECONDS
from bastion.signin.shared import SharedRevocations
from tests.authn.test_signing_in import ANNA
from tests.fakes import run, until

SECRETS = "/api/v1/namespaces/bastion/secrets"


class Secrets:
    """An API server with one Secret; `watching` are the watches of it."""

    def __init__(self) -> None:
        self.data: dict[str, str] | None = None
        self.watching: list[asyncio.Queue[bytes]] = []
        self.away = False

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes:
        assert path == SECRETS
        return self._changed(orjson.loads(body)["data"])

    async def patch(self, path: str, body: bytes, asker: Asker) -> bytes:
        assert path == f"{SECRETS}/ended"
        if self.away:
            raise ApiError("connection refused")
        if self.data is None:
            raise ApiError("not found", status=404)
        new = self.data | orjson.loads(body)["data"]
        return self._changed({name: value for name, value in new.items() if value is not None})

    def _changed(self, data: dict[str, str]) -> bytes:
        self.data = data
        for queue in self.watching:
            queue.put_nowait(self._event("MODIFIED"))
        return b"{}"

    def _event(self, kind: str) -> bytes:
        return orjson.dumps({"type": kind, "object": {"data": self.data}})

    async def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]:
        assert (path, query["fieldSelector"]) == (SECRETS, "metadata.name=ended")
        queue: asyncio.Queue[bytes] = asyncio.Queue()
        self.watching.append(queue)
        yield b""
        if self.data is not None:
            yield self._event("ADDED")
        while True:
            yield await queue.get()


def replica(api: Secrets) -> tuple[Revocations, asyncio.Task[None]]:
    revocations = Revocations(None, time.time)
    shared = SharedRevocations(api, "bastion", "ended", revocations, time.time, retry=0.01)
    revocations.told = shared.tell
    return revocations, asyncio.create_task(shared.run())


def test_all_replicas_hear_of_it_also_those_that_start_later() -> None:
    async def talk() -> None:
        api: Any = Secrets()
        anna = structs.replace(ANNA, begun=time.time() - 1)
        one, other = replica(api), replica(api)
        await until(lambda: len(api.watching) == 2)
        api.away = True
        one[0].end([digest(SID, "main", "s1")])
        assert one[0].ended(anna)
        assert not other[0].ended(anna)
        api.away = False  # it is told again
        await until(lambda: other[0].ended(anna))
        assert "anna" not in str(api.data)
        later = replica(api)
        await until(lambda: later[0].ended(anna))
        assert not later[0].ended(structs.replace(anna, begun=time.time() + 1))
        for _, task in (one, other, later):
            task.cancel()

    run(talk())


def test_what_no_longer_matters_is_removed() -> None:
    async def talk() -> None:
        api: Any = Secrets()
        api.data = {"old": "MQ==", "odd": "eA=="}
        revocations, task = replica(api)
        await until(lambda: len(api.watching) == 1)
        await asyncio.sleep(0)
        revocations.end([digest(SID, "main", "s1")])
        await until(lambda: len(api.data) == 2 and "old" not in api.data)
        assert set(api.data) == {"odd", digest(SID, "main", "s1")}
        assert list(revocations.known()) == [digest(SID, "main", "s1")]
        task.cancel()

    assert time.time() > SESSION_SECONDS
    run(talk())
