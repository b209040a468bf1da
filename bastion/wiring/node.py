"""The node proxy, put together: `bastion node` and the questions that go with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from bastion.cluster.access import ApiAccess
from bastion.cluster.apiservers import ApiServers
from bastion.cluster.client import ApiClient
from bastion.cluster.kubeconfig import access_from_text, load_access
from bastion.cluster.throttle import Throttle
from bastion.node import kernel
from bastion.node.addresses import FAMILIES, IPV4
from bastion.node.checks import Checks
from bastion.node.claims import ServiceKey
from bastion.node.config.settings import IPTABLES, NFTABLES, USERSPACE, Settings
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
from bastion.node.responder import Responder
from bastion.node.userspace.mapping import Mapped
from bastion.node.watching import Watching
from bastion.runtime.errors import StartError
from bastion.runtime.follow import Changes
from bastion.wiring.nodemodes import Mode, open_mode, remove_all

NODE_PATIENCE = 30.0  # seconds that the Node's addresses are waited for
POD_CIDR_PATIENCE = 300.0
LOOK_EVERY = 0.5  # seconds between looks at the configuration file

_log = logging.getLogger("bastion.node")
_start_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class Start:
    """`configured` is the whole configuration as an object; `notes` are said once."""

    settings: Settings
    configured: dict[str, Any]
    notes: tuple[str, ...]
    file: Path | None
    master: str
    manifests: tuple[Path, ...]
    mapping: tuple[Mapped, ...]


def serve(start: Start) -> int:
    """The exit status: 1 where the configuration file changes, so that a supervisor starts it anew."""
    for note in start.notes:
        _log.warning("%s", note)
    return uvloop.run(_serve(start))


def initialise(start: Start) -> int:
    """What takes full root; afterwards CAP_NET_ADMIN is enough."""
    kernel.set_conntrack(start.settings.conntrack)
    if start.settings.mode == IPTABLES and start.settings.localhost_node_ports:
        kernel.route_loopback()
    return 0


async def clean_up(start: Start) -> int:
    return 0 if await remove_all() else 1


class Stop:
    """The first reason to end counts."""

    def __init__(self) -> None:
        self.status: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def __call__(self, status: int) -> None:
        if not self.status.done():
            self.status.set_result(status)


async def _serve(start: Start) -> int:
    stop = Stop()
    loop = asyncio.get_running_loop()
    for sign in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(sign, stop, 0)
    async with AsyncExitStack() as stack:
        running = asyncio.create_task(_open(start, stop, stack))
        done, _ = await asyncio.wait({running, stop.status}, return_when=asyncio.FIRST_COMPLETED)
        if running in done:
            running.result()
        else:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        return await stop.status


async def _open(start: Start, stop: Stop, stack: AsyncExitStack) -> None:
    settings = start.settings
    kernel.set_oom_score(settings.oom_score)
    if settings.mode != USERSPACE:
        kernel.set_conntrack(settings.conntrack)
    families = tuple(family for family in FAMILIES if family == IPV4 or kernel.has_ipv6())
    metrics = Metrics()
    mode = await open_mode(settings, families, metrics, start.mapping, stack)
    families = tuple(mode.writers)
    health = Health(families, 2 * settings.sync_period)
    api = await stack.enter_async_context(await open_api(start, stack))
    node = _NodeProxy(start, stop, families, metrics, health, api)
    work = _Background(stack, stop)
    if start.file is not None:
        work.begin(_watch_file(start.file, stop), "the configuration file")
    node.begin(work)
    pages = ((settings.healthz, node.health_pages()), (settings.metrics, node.metrics_pages()))
    for where, page in pages:
        if where is not None:
            responder = Responder(page)
            stack.callback(responder.close)
            listening = responder.keep_listening(*where, hard=settings.bind_hard_fail)
            work.begin(_or_end(listening, where), f"listening at port {where[1]}")
    await node.ready()
    _start_log.info("serving Services on node %s by %s", settings.node, settings.mode)
    await node.first_sync(mode, work)


async def open_api(start: Start, stack: AsyncExitStack) -> ApiClient:
    settings = start.settings
    access: ApiAccess
    if start.manifests:
        from bastion.standalone.apiserver import ApiServer

        embedded = await stack.enter_async_context(ApiServer(start.manifests, None))
        access = access_from_text(embedded.kubeconfig())
    else:
        given = Path(settings.kubeconfig) if settings.kubeconfig else None
        access = await asyncio.to_thread(load_access, given)
    keeping = asyncio.create_task(access.keep(), name="credentials")
    stack.callback(keeping.cancel)
    servers = ApiServers([start.master] if start.master else [access.server])
    throttle = Throttle(max(1, round(settings.qps)), max(1, settings.burst))
    return ApiClient(access, servers, throttle)


class _Background:
    """Tasks that end with the stack; one that fails ends the program."""

    def __init__(self, stack: AsyncExitStack, stop: Stop) -> None:
        self._stop = stop
        self._tasks: set[asyncio.Task[None]] = set()
        stack.push_async_callback(self._cancel)

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        expected = isinstance(error, StartError)
        _log.critical("%s: %s", task.get_name(), error, exc_info=None if expected else error)
        self._stop(1)

    async def _cancel(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class _NodeProxy:
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
        self._settings = start.settings
        self._stop = stop
        self._families = families
        self._metrics = metrics
        self._health = health
        self.events = Events(api, self._settings.node)
        self.model = Model(self._settings.node, self._changed, self._lost)
        self._syncers: list[Syncer] = []
        self._flows = Flows(self.model, metrics)
        self._checks = Checks(health, self._check_addresses, self._check_failed)
        self._checking = asyncio.Event()
        self._node_seen = asyncio.Event()
        self._pod_cidrs: tuple[str, ...] | None = None  # those that the rules were made with
        model = self.model
        self._services = Watching("services", api, model.put_service)
        self._slices = Watching("endpointslices", api, model.put_slice)
        self._nodes = Watching("nodes", api, lambda _, node: self._node(node), only=self._settings.node)
        self._cidrs = Watching(
            "servicecidrs", api, lambda key, one: model.put_service_cidr(key[1], one), optional=True
        )

    @property
    def watching(self) -> list[Watching]:
        cidrs = [self._cidrs] if self._settings.mode == NFTABLES else []
        return [self._services, self._slices, self._nodes, *cidrs]

    def health_pages(self) -> HealthPages:
        return HealthPages(self._health, self.model, self._metrics)

    def metrics_pages(self) -> MetricsPages:
        return MetricsPages(self._settings.mode, self._metrics, self.model, self._start.configured)

    def begin(self, work: _Background) -> None:
        for watching in self.watching:
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
        if settings.mode == NFTABLES:
            await self._cidrs.listed.wait()
        await self._services.listed.wait()
        await self._slices.listed.wait()

    async def first_sync(self, mode: Mode, work: _Background) -> None:
        """Begins the syncs; the rules of other modes are removed once ours are in force."""
        for family in self._families:
            syncer = Syncer(
                family,
                self.model,
                mode.writers[family],
                lambda family=family: rules_of(self._settings, self.model, family),  # type: ignore[misc]
                self._health,
                self._metrics,
                self._synced,
                period=self._settings.sync_period,
                least=self._settings.min_sync_period,
            )
            self._syncers.append(syncer)
            syncer.wake()
            work.begin(syncer.run(), f"sync of {family}")
        if mode.tracks_connections:
            work.begin(self._flows.keep(), "tracked flows")
        work.begin(self._keep_checks(), "health check ports")
        self.events.tell("Node", self._settings.node, "Starting")
        for syncer in self._syncers:
            await syncer.synced.wait()
        await mode.remove_others()

    def _node(self, node: Node | None) -> None:
        self.model.put_node(node)
        if node is None:
            return
        if node.status.addresses:
            self._node_seen.set()
        if self._pod_cidrs is not None and pod_cidrs(node) != self._pod_cidrs:
            _log.critical("the Node's podCIDRs changed: a start with the new ones is due")
            self._stop(1)

    async def _wait_for_pod_cidrs(self) -> None:
        try:
            async with asyncio.timeout(POD_CIDR_PATIENCE):
                while not pod_cidrs(self.model.node):  # noqa: ASYNC110 the model is pure and wakes nobody
                    await asyncio.sleep(0.2)
        except TimeoutError:
            raise StartError(
                f"detectLocalMode NodeCIDR: the Node {self._settings.node} has no podCIDR"
            ) from None
        self._pod_cidrs = pod_cidrs(self.model.node)

    def _changed(self) -> None:
        for syncer in self._syncers:
            syncer.wake()

    def _synced(self, family: str, udp: set[ServiceKey]) -> None:
        self._flows.look_at(family, udp)
        self._checking.set()

    async def _keep_checks(self) -> None:
        """One at a time, after what is in force has changed."""
        try:
            while True:
                await self._checking.wait()
                self._checking.clear()
                await self._checks.settle(self.model.health_ports())
        finally:
            self._checks.close()

    def _check_addresses(self, family: str) -> list[str]:
        ranges = node_port_ranges(self._settings, self.model.place.addresses, family)
        return listening_addresses(ranges, kernel.local_addresses(), family)

    def _check_failed(self, service: ServiceKey, port: int, error: OSError) -> None:
        note = f"node {self._settings.node} failed to start healthcheck on port {port}: {error.strerror}"
        _log.warning("service %s/%s: %s", *service, note)
        self.events.warn("Service", *service, "FailedToStartServiceHealthcheck", note)

    def _lost(self, loser: ServiceKey, key: FrontKey, owner: ServiceKey) -> None:
        """The older Service has it; whose namespace that is, the other one's users may know."""
        what = f"{key.address or 'node port'} port {key.port}/{key.protocol}"
        note = f"{what} belongs to an older Service, {owner[0]}/{owner[1]}: not served for this one"
        _log.warning("service %s/%s: %s", *loser, note)
        with contextlib.suppress(RuntimeError):  # no loop: a dry run
            self.events.warn("Service", *loser, "AddressConflict", note)


async def _watch_file(file: Path, stop: Stop) -> None:
    changes = Changes([file])
    while True:
        await asyncio.sleep(LOOK_EVERY)
        if changes.happened():
            _log.critical("content of %s was updated: ending, to be started with it", file)
            return stop(1)


async def _or_end(listening: Coroutine[Any, Any, None], where: tuple[str, int]) -> None:
    try:
        await listening
    except OSError as error:
        raise StartError(f"cannot listen at {where[0]} port {where[1]}: {error.strerror}") from error


@contextlib.asynccontextmanager
async def known(start: Start) -> AsyncIterator[Model]:
    """What the API says now, listed once; for the questions that change nothing."""
    settings = start.settings
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await open_api(start, stack))
        model = Model(settings.node, lambda: None)
        watching = [
            Watching("services", api, model.put_service),
            Watching("endpointslices", api, model.put_slice),
            Watching("nodes", api, lambda _, node: model.put_node(node), only=settings.node),
            Watching(
                "servicecidrs", api, lambda key, one: model.put_service_cidr(key[1], one), optional=True
            ),
        ]
        tasks = [asyncio.create_task(one.run()) for one in watching]
        try:
            async with asyncio.timeout(NODE_PATIENCE):
                for one in watching:
                    await one.listed.wait()
        except TimeoutError:
            raise StartError("the API server did not list Services, slices and the Node in time") from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        model.stand(own_addresses(settings, model.node))
        yield model


async def dry_run(start: Start) -> int:
    from bastion.wiring.nodemodes import ruleset

    async with known(start) as model:
        for family in FAMILIES:
            model.take(family)
            rules = rules_of(start.settings, model, family)
            sys.stdout.write(ruleset(start.settings, rules, model.families[family].claims.fronts))
    return 0


async def why(start: Start, target: str, source: str) -> int:
    from bastion.node.why import explained, parse_target

    asked = parse_target(target)
    async with known(start) as model:
        model.take(asked.family)
        rules = rules_of(start.settings, model, asked.family)
        lines = explained(asked, source, start.settings.mode, model, rules)
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0
