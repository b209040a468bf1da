"""This node's own Lease: renewed every second, given up at the end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from bastion.cluster.errors import ApiError
from bastion.cluster.leases import Lease, LeaseApi
from bastion.node.balancers.ownership import DURATION, RENEW, TRUST

LABEL = "bastion.dev/announcer"  # by which the Leases of one kind are found
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
        self._lease = Lease(api, namespace, f"{prefix}-{node}")
        self._prefix = prefix
        self._node = node
        self._now = now
        self._may = may
        self._known: dict[str, Any] | None = None  # as it was last written
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
            self._known = None
            if not self._failing:
                _log.warning("the Lease %s cannot be renewed: %s", self._lease, error or "no answer")
            self._failing = True
            return
        self.renewed = now
        if self._failing:
            _log.warning("the Lease %s is renewed again", self._lease)
        self._failing, self._held = False, True

    async def _renew(self) -> None:
        known = self._known or await self._lease.read()
        if known is None:
            self._known = await self._lease.create(self._begin(), labels={LABEL: self._prefix})
            return
        known["spec"] = {**(known.get("spec") or {}), **self._begin()}
        metadata = known["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), LABEL: self._prefix}
        self._known = await self._lease.write(known)

    async def give_up(self) -> None:
        """So that the others need not wait."""
        self._held = False
        with contextlib.suppress(ApiError, TimeoutError, ValueError, LookupError):
            async with asyncio.timeout(RENEW):
                lease = await self._lease.read()
                if lease is not None:
                    lease["spec"] = {**(lease.get("spec") or {}), **self._spec("", 1.0)}
                    await self._lease.write(lease)
        self._known = None

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
