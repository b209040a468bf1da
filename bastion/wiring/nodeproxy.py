"""The node proxy's parts that know each other, from the first list to the first sync."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from bastion.cluster.client import ApiClient
from bastion.node import kernel
from bastion.node.addresses import IPV4, IPV6
from bastion.node.checks import Checks
from bastion.node.claims import ServiceKey
from bastion.node.config.families import mismatches
from bastion.node.config.settings import NFTABLES, Settings
from bastion.node.deriving import listening_addresses, node_port_ranges, own_addresses, pod_cidrs, rules_of
from bastion.node.events import Events
from bastion.node.flows import Flows
from bastion.node.fronts import FrontKey
from bastion.node.health import Health
from bastion.node.metrics import Metrics
from bastion.node.model import Model
from bastion.node.objects import Node
from bastion.node.pages import HealthPages, MetricsPages
from bastion.node.proxier import Syncer
from bastion.node.watching import Watching
from bastion.runtime.errors import StartError
from bastion.wiring.nodemodes import Mode
from bastion.wiring.nodestart import Background, Start, Stop

NODE_PATIENCE = 30.0  # seconds that the Node's addresses are waited for
POD_CIDR_PATIENCE = 300.0

_log = logging.getLogger("bastion.node")


class NodeProxy:
    """The parts that know each other, from the first list to the first sync."""

    def __init__(
        self,
        start: Start,
        stop: Stop,
        families: tuple[str, ...],
        metrics: Metrics,
        health: Health,
        api: ApiClient,
    ) -> None:
        self._start = start
        self._stop = stop
        self._families = families
        self._metrics = metrics
        self._health = health
        self.events = Events(api, "kube-proxy", self._settings.node)
        self.model = model = Model(self._settings.node, self._changed, self._lost)
        self.listeners: list[Callable[[], None]] = []  # called when Services or endpoints changed
        self._syncers: list[Syncer] = []
        self._flows = Flows(self.model, metrics)
        self._checks = Checks(health, self._check_addresses, self._check_failed)
        self._node_seen = asyncio.Event()
        self._node_addresses: tuple[str, ...] = ()  # as they were last told
        self._pod_cidrs: tuple[str, ...] | None = None  # those that the rules were made with
        self._watching = [
            Watching("services", api, model.put_service),
            Watching("endpointslices", api, model.put_slice),
            Watching("nodes", api, lambda _, node: self._node(node), only=self._settings.node),
        ]
        if self._settings.mode == NFTABLES:
            self._watching.append(
                Watching(
                    "servicecidrs", api, lambda key, one: model.put_service_cidr(key[1], one), optional=True
                )
            )

    @property
    def _settings(self) -> Settings:
        return self._start.settings

    def health_pages(self) -> HealthPages:
        return HealthPages(self._health, self.model, self._metrics)

    def metrics_pages(self) -> MetricsPages:
        settings, configured = self._settings, self._start.configured
        return MetricsPages(
            settings.mode, self._metrics, self.model, configured, profiling=settings.profiling
        )

    def begin(self, work: Background) -> None:
        for watching in self._watching:
            work.begin(watching.run(), f"watching {watching.resource}")
        work.begin(self.events.keep(), "events")

    async def ready(self) -> None:
        """Returns once Services and slices were listed, and the Node was waited for."""
        settings = self._settings
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(NODE_PATIENCE):
                await self._node_seen.wait()
        if not self._node_seen.is_set():
            _log.error("no Node %s within %g s: going on without its addresses", settings.node, NODE_PATIENCE)
        if settings.local_mode == "NodeCIDR":
            await self._wait_for_pod_cidrs()
        self.model.stand(own_addresses(settings, self.model.node))
        self._check_families()
        for watching in self._watching:
            if watching.resource != "nodes":  # it was waited for, and no longer
                await watching.listed.wait()

    def _check_families(self) -> None:
        """Raises StartError."""
        primary = IPV6 if ":" in self.model.place.addresses[0] else IPV4
        both = len(self._families) > 1
        cidrs = pod_cidrs(self.model.node)
        for what, fatal in mismatches(self._settings, primary, cidrs, both=both):
            if fatal:
                raise StartError(what)
            _log.warning("%s", what)

    async def first_sync(self, mode: Mode, work: Background) -> None:
        """Begins the syncs; the rules of other modes are removed once ours are in force."""
        for family in self._families:
            syncer = Syncer(
                family,
                self.model,
                mode.writers[family],
                rules=lambda family=family: rules_of(  # type: ignore[misc]
                    self._settings, self.model, family
                ),
                health=self._health,
                metrics=self._metrics,
                after=self._synced,
                period=self._settings.sync_period,
                least=self._settings.min_sync_period,
            )
            self._syncers.append(syncer)
            syncer.wake()
            work.begin(syncer.run(), f"sync of {family}")
        if mode.tracks_connections:
            work.begin(self._flows.keep(), "tracked flows")
        work.begin(self._checks.keep(self.model.health_ports), "health check ports")
        self.events.tell("Node", self._settings.node, "Starting")
        for syncer in self._syncers:
            await syncer.synced.wait()
        await mode.remove_others()

    def _node(self, node: Node | None) -> None:
        self.model.put_node(node)
        if node is None:
            return
        own = own_addresses(self._settings, node)
        if self._node_addresses and own != self._node_addresses:
            _log.warning("the Node's addresses are now %s: they count from the next start", ", ".join(own))
        self._node_addresses = own
        if node.status.addresses:
            self._node_seen.set()
        if self._pod_cidrs is not None and pod_cidrs(node) != self._pod_cidrs:
            _log.critical("the Node's podCIDRs changed: a start with the new ones is due")
            self._stop(1)

    async def _wait_for_pod_cidrs(self) -> None:
        try:
            async with asyncio.timeout(POD_CIDR_PATIENCE):
                while not pod_cidrs(self.model.node):  # noqa: ASYNC110 the model is pure: it wakes no task
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise StartError(
                f"detectLocalMode NodeCIDR: the Node {self._settings.node} has no podCIDR"
            ) from None
        self._pod_cidrs = pod_cidrs(self.model.node)

    def _changed(self) -> None:
        for syncer in self._syncers:
            syncer.wake()
        for listener in self.listeners:
            listener()

    def _synced(self, family: str, udp: set[ServiceKey]) -> None:
        self._flows.look_at(family, udp)
        self._checks.look()

    def _check_addresses(self, family: str) -> list[str]:
        ranges = node_port_ranges(self._settings, self.model.place.addresses, family)
        return listening_addresses(ranges, kernel.local_addresses(), family)

    def _check_failed(self, service: ServiceKey, port: int, error: OSError) -> None:
        note = f"node {self._settings.node} failed to start healthcheck on port {port}: {error.strerror}"
        _log.warning("service %s/%s: %s", *service, note)
        self.events.warn("Service", *service, "FailedToStartServiceHealthcheck", note)

    def _lost(self, loser: ServiceKey, key: FrontKey, owner: ServiceKey) -> None:
        """The older Service has it; the other one's users may know its namespace."""
        what = f"{key.address or 'node port'} port {key.port}/{key.protocol}"
        note = f"{what} belongs to an older Service, {owner[0]}/{owner[1]}: not served for this one"
        _log.warning("service %s/%s: %s", *loser, note)
        with contextlib.suppress(RuntimeError):  # no loop: a dry run
            self.events.warn("Service", *loser, "AddressConflict", note)
