"""Sessions that were ended, told to all replicas: a Secret that each of them watches and adds to.

Its keys are digests, so that it holds no name and no session; a key's value is when the session was ended.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Protocol

import orjson

from bastion.cluster.errors import ApiError
from bastion.kube.status import StatusError
from bastion.runtime.turns import BACKGROUND, Asker
from bastion.signin.revoked import Digest, Revocations
from bastion.signin.session import SESSION_SECONDS

RETRY = 2.0  # seconds
FAILURES = (ApiError, StatusError, TimeoutError, ValueError)

_log = logging.getLogger("bastion.signin")


class SecretApi(Protocol):
    """Raises ApiError, StatusError."""

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...

    async def patch(self, path: str, body: bytes, asker: Asker) -> bytes: ...

    def watch(self, path: str, query: dict[str, str]) -> AsyncGenerator[bytes, None]: ...


class SharedRevocations:
    """`now` in seconds since the epoch; `retry`: seconds between two attempts."""

    def __init__(
        self,
        api: SecretApi,
        namespace: str,
        name: str,
        revocations: Revocations,
        now: Callable[[], float],
        *,
        retry: float = RETRY,
    ) -> None:
        self._api = api
        self._path, self._name = f"/api/v1/namespaces/{namespace}/secrets", name
        self._revocations = revocations
        self._now = now
        self._untold: dict[Digest, float] = {}
        self._told = asyncio.Event()
        self._seen: dict[Digest, float] = {}
        self._failure = ""
        self._retry = retry

    def tell(self, digest: Digest, at: float) -> None:
        self._untold[digest] = at
        self._told.set()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again_and_again(self._watch))
            tasks.create_task(self._again_and_again(self._write))

    async def _again_and_again(self, work: Callable[[], Any]) -> None:
        while True:
            try:
                await work()
                self._failure = ""
            except FAILURES as error:
                if str(error) != self._failure:
                    _log.warning(
                        "the Secret %s, by which replicas hear of ended sessions, cannot be used: %s",
                        self._name,
                        error,
                    )
                self._failure = str(error)
                await asyncio.sleep(self._retry)

    async def _watch(self) -> None:
        """Without a version it begins with what is there."""
        query = {"fieldSelector": f"metadata.name={self._name}", "watch": "true"}
        async for line in self._api.watch(self._path, query):
            if line:
                self._read(orjson.loads(line))
        await asyncio.sleep(self._retry)  # it ended in good order

    def _read(self, event: dict[str, Any]) -> None:
        """Raises ValueError where the watch has to begin anew."""
        if event.get("type") == "ERROR":
            raise ValueError(str((event.get("object") or {}).get("message", "the watch failed")))
        data = (event.get("object") or {}).get("data") or {}
        self._seen = {one: at for one, text in data.items() if (at := _time(text)) is not None}
        for one, at in self._seen.items():
            self._revocations.learn(one, min(at, self._now()))

    async def _write(self) -> None:
        await self._told.wait()
        self._told.clear()
        telling = dict(self._untold)
        oldest = self._now() - SESSION_SECONDS
        stale = {one: None for one, at in self._seen.items() if at < oldest}
        data = {one: base64.b64encode(b"%.3f" % at).decode() for one, at in telling.items()}
        try:
            await self._put(stale | data)
        except FAILURES:
            self._told.set()
            raise
        for one in telling:
            self._untold.pop(one, None)

    async def _put(self, data: dict[str, str | None]) -> None:
        try:
            await self._api.patch(f"{self._path}/{self._name}", orjson.dumps({"data": data}), BACKGROUND)
        except ApiError as error:
            if getattr(error, "status", 0) != 404:
                raise
            body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": self._name}}
            there = {one: text for one, text in data.items() if text is not None}
            await self._api.create(self._path, orjson.dumps({**body, "data": there}), BACKGROUND)


def _time(text: object) -> float | None:
    try:
        return float(base64.b64decode(text)) if isinstance(text, str) else None
    except ValueError:
        return None
