"""Which of several does what only one should do?  The holder of a Lease, as controllers agree on it.

The holder renews; it stops by itself before its time is over, so that two never work for longer than that.
Others take over once the Lease has not changed for its duration by their own clock (client-go
`tools/leaderelection`: no clocks are compared).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from bastion.cluster.errors import ApiError
from bastion.cluster.leases import Lease, LeaseApi
from bastion.kube.status import StatusError

DURATION = 15.0  # seconds
RENEW = 10.0  # seconds without a renewal after which the holder stops
RETRY = 2.0  # seconds between two tries
ADDRESS, FINGERPRINT = "bastion.dev/peer-address", "bastion.dev/peer-fingerprint"

_log = logging.getLogger("bastion.lease")


class Holder(msgspec.Struct, frozen=True):
    """Who has the Lease, and where it tells its results."""

    identity: str
    address: str = ""
    fingerprint: str = ""


class Election:
    """`now` is a steady clock, `date` the time that is written into the Lease.

    `what`: what the holder does, in the log.
    """

    def __init__(
        self,
        api: LeaseApi,
        namespace: str,
        name: str,
        own: Holder,
        now: Callable[[], float],
        date: Callable[[], datetime] = lambda: datetime.now(UTC),
        *,
        what: str,
    ) -> None:
        self._lease = Lease(api, namespace, name)
        self._own = own
        self._now = now
        self._date = date
        self.what = what
        self._seen: tuple[str, float] = ("", 0.0)  # the version last seen, and when
        self._renewed = float("-inf")
        self.holder: Holder | None = None
        self.failure = ""

    @property
    def holds(self) -> bool:
        """Whether this one may work now."""
        return self._now() - self._renewed < RENEW

    @property
    def until(self) -> float:
        """When it must stop, by the steady clock, unless it renews."""
        return self._renewed + RENEW

    async def campaign(self) -> None:
        """One try to get or to keep it; raises nothing but CancelledError."""
        try:
            await self._try()
            self.failure = ""
        except (ApiError, StatusError, TimeoutError, ValueError, LookupError) as error:
            if getattr(error, "status", 0) == 409:
                return  # another was faster
            if not self.failure:
                _log.warning(
                    "the Lease %s, by which one of the replicas %s, cannot be had: %s",
                    self._lease,
                    self.what,
                    error,
                )
            self.failure = str(error)

    async def resign(self) -> None:
        """So that the next one need not wait."""
        if not self.holds:
            return
        self._renewed = float("-inf")
        try:
            lease = await self._lease.read()
            if lease is not None and lease["spec"].get("holderIdentity") == self._own.identity:
                lease["spec"]["holderIdentity"] = ""
                await self._lease.write(lease)
        except (ApiError, StatusError, TimeoutError, ValueError, LookupError):
            pass  # it expires

    async def _try(self) -> None:
        began = self._now()
        lease = await self._lease.read()
        if lease is None:
            spec = self._spec({}, changed=True)
            self._keep(await self._lease.create(spec, annotations=self._annotations()), began)
            return
        spec = lease.get("spec") or {}
        holder = spec.get("holderIdentity") or ""
        version = str(lease["metadata"].get("resourceVersion"))
        if version != self._seen[0]:
            self._seen = (version, began)
        annotations: Mapping[str, str] = lease["metadata"].get("annotations") or {}
        self.holder = Holder(holder, annotations.get(ADDRESS, ""), annotations.get(FINGERPRINT, ""))
        lasts = float(spec.get("leaseDurationSeconds") or DURATION)
        if holder and holder != self._own.identity and began - self._seen[1] < lasts:
            return
        self._take(lease, spec, changed=holder != self._own.identity)
        self._keep(await self._lease.write(lease), began)

    def _take(self, lease: dict[str, Any], spec: dict[str, Any], *, changed: bool) -> None:
        lease["spec"] = {**spec, **self._spec(spec, changed=changed)}
        metadata = lease["metadata"]
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **self._annotations()}

    def _spec(self, before: Mapping[str, Any], *, changed: bool) -> dict[str, Any]:
        time = self._date().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": self._own.identity,
            "leaseDurationSeconds": int(DURATION),
            "renewTime": time,
            "acquireTime": time if changed else before.get("acquireTime", time),
            "leaseTransitions": int(before.get("leaseTransitions") or 0) + int(changed),
        }

    def _annotations(self) -> dict[str, str]:
        return {ADDRESS: self._own.address, FINGERPRINT: self._own.fingerprint}

    def _keep(self, written: dict[str, Any], began: float) -> None:
        self._renewed = began
        self._seen = (str(written["metadata"].get("resourceVersion")), began)
        self.holder = self._own


class Leading:
    """Runs `work` while the Lease is held, and campaigns while `asked` says that there is work."""

    def __init__(
        self,
        election: Election,
        work: Callable[[], Any],
        asked: Callable[[], bool],
    ) -> None:
        self._election = election
        self._work = work
        self._asked = asked

    async def run(self) -> None:
        """Until cancelled."""
        task: asyncio.Task[None] | None = None
        try:
            while True:
                if self._asked():
                    await self._try()
                elif task is not None:
                    await self._election.resign()
                holds = self._election.holds
                if holds and (task is None or task.done()):
                    _log.info("this replica %s", self._election.what)
                    task = asyncio.create_task(self._work())
                elif not holds and task is not None:
                    _log.info("another replica %s", self._election.what)
                    await _ended(task)
                    task = None
                await asyncio.sleep(RETRY)
        finally:
            if task is not None:
                await _ended(task)
            await self._election.resign()

    async def _try(self) -> None:
        """No longer than until the time is over: the work must end by then."""
        left = self._election.until - asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(left if left > 0 else DURATION):
                await self._election.campaign()
        except TimeoutError:
            pass


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
