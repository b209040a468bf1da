"""This node's own Lease: renewed every second, given up at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from bastion.cluster.election import LeaseApi
from bastion.cluster.errors import ApiError
from bastion.node.balancers.ownership import DURATION, RENEW, TRUST
from bastion.runtime.turns import BACKGROUND

LABEL = "bastion.dev/announcer"  # by which the Leases of one kind are found
NOT_FOUND = 404
MOST_BEGUN = 8

_log = logging.getLogger("bastion.node")


class Renewal:
    """`may`: whether this node takes part now."""

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        prefix: str,
        node: str,
        now: Callable[[], float],
        may: Callable[[], bool] = lambda: True,
    ) -> None:
        self.renewed = float("-inf")  # when the last one that succeeded began
        self._begun: dict[str, float] = {}  # the last few, by their dates
        self._api = api
        self._namespace = namespace
        self._prefix = prefix
        self._name = f"{prefix}-{node}"
        self._node = node
        self._now = now
        self._may = may
        self._lease: dict[str, Any] | None = None
        self._held = False
        self._failing = False

    def began(self, date: str) -> float | None:
        """When the renewal of that date began, None where it is not one of this process."""
        return self._begun.get(date)

    async def keep(self) -> None:
        """Until cancelled."""
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            if self._may():
                await self._try(self._now())
            elif self._held:
                await self.give_up()
            due = max(due + RENEW, loop.time())
            await asyncio.sleep(due - loop.time())

    async def _try(self, now: float) -> None:
        try:
            # within the time in which it counts
            async with asyncio.timeout(TRUST):
                await self._renew()
        except (ApiError, TimeoutError, ValueError, LookupError) as error:
            self._lease = None
            if not self._failing:
                _log.warning(
                    "the Lease %s/%s cannot be renewed: %s", self._namespace, self._name, error or "no answer"
                )
            self._failing = True
            return
        self.renewed = now
        if self._failing:
            _log.warning("the Lease %s/%s is renewed again", self._namespace, self._name)
        self._failing, self._held = False, True

    async def _renew(self) -> None:
        if self._lease is None:
            self._lease = await self._read()
        if self._lease is None:
            body = await self._api.create(self._path, orjson.dumps(self._new()), BACKGROUND)
        else:
            self._lease["spec"] = {**(self._lease.get("spec") or {}), **self._begin()}
            metadata = self._lease["metadata"]
            metadata["labels"] = {**(metadata.get("labels") or {}), LABEL: self._prefix}
            body = await self._api.update(f"{self._path}/{self._name}", orjson.dumps(self._lease), BACKGROUND)
        self._lease = orjson.loads(body)

    async def give_up(self) -> None:
        """So that the others need not wait."""
        self._held = False
        with contextlib.suppress(ApiError, TimeoutError, ValueError, LookupError):
            async with asyncio.timeout(RENEW):
                lease = await self._read()
                if lease is not None:
                    lease["spec"] = {**(lease.get("spec") or {}), **self._spec("", 1.0)}
                    await self._api.update(f"{self._path}/{self._name}", orjson.dumps(lease), BACKGROUND)
        self._lease = None

    def _new(self) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, "labels": {LABEL: self._prefix}},
            "spec": self._begin(),
        }

    def _begin(self) -> dict[str, Any]:
        spec = self._spec(self._node, DURATION)
        self._begun[spec["renewTime"]] = self._now()
        while len(self._begun) > MOST_BEGUN:
            del self._begun[next(iter(self._begun))]
        return spec

    def _spec(self, holder: str, seconds: float) -> dict[str, Any]:
        """The date is for people: no clocks are compared."""
        date = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {"holderIdentity": holder, "leaseDurationSeconds": int(seconds), "renewTime": date}

    @property
    def _path(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self._namespace}/leases"

    async def _read(self) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = orjson.loads(
                await self._api.get(f"{self._path}/{self._name}", {}, BACKGROUND)
            )
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise
        return found
