"""Events for the cluster's users: what their objects ask for and cannot get."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any, Protocol

import msgspec

from bastion.cluster.errors import ApiError
from bastion.runtime.turns import BACKGROUND, Asker

MOST = 64  # that wait to be written; more are dropped
AGAIN = 600.0  # seconds before the same is said of the same object again
MOST_SAID = 4096

_log = logging.getLogger("bastion.node")


class Creates(Protocol):
    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class Events:
    def __init__(self, api: Creates, controller: str, instance: str) -> None:
        self._api = api
        self._controller = controller
        self._instance = instance
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue(MOST)
        self._said: dict[tuple[str, ...], float] = {}

    def warn(self, kind: str, namespace: str, name: str, reason: str, note: str) -> None:
        self._put("Warning", kind, namespace, name, reason, note)

    def tell(self, kind: str, name: str, reason: str, note: str = "", *, namespace: str = "") -> None:
        self._put("Normal", kind, namespace, name, reason, note)

    async def keep(self) -> None:
        """Until cancelled."""
        while True:
            event = await self._queue.get()
            namespace = event["metadata"]["namespace"]
            try:
                path = f"/apis/events.k8s.io/v1/namespaces/{namespace}/events"
                await self._api.create(path, msgspec.json.encode(event), BACKGROUND)
            except ApiError as error:
                _log.info("an event could not be written: %s", error)

    def _put(self, type_: str, kind: str, namespace: str, name: str, reason: str, note: str) -> None:
        now = asyncio.get_running_loop().time()
        what = (kind, namespace, name, reason, note)
        if now - self._said.get(what, float("-inf")) < AGAIN:
            return
        if len(self._said) >= MOST_SAID:
            self._said.clear()
        self._said[what] = now
        where = namespace or "default"
        regarding = {"kind": kind, "apiVersion": "v1", "name": name}
        event = {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {"name": f"{name}.{token_hex(8)}", "namespace": where},
            "eventTime": f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z",
            "reportingController": self._controller,
            "reportingInstance": f"{self._controller}-{self._instance}",
            "action": reason,
            "reason": reason,
            "regarding": regarding | ({"namespace": namespace} if namespace else {}),
            "note": note,
            "type": type_,
        }
        try:
            self._queue.put_nowait(event)
        except asyncio.QueueFull:
            _log.info("an event was dropped: %s %s/%s: %s", reason, namespace, name, note)
