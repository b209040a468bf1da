"""The load balancer, put together: `bastion lb`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bastion.balance.checking import Prober
from bastion.l4.accessline import Ended, json_line, text_line
from bastion.l4.balancer import Balancer, Ways
from bastion.l4.choice import in_turn, least_busy
from bastion.l4.connecting import ConnectProber
from bastion.l4.metrics import families
from bastion.l4.servers import Group, Named
from bastion.network.responder import NOT_FOUND, Page, Responder
from bastion.network.sockets import prepare_relayed
from bastion.network.tcp.joining import Joiner, Limits
from bastion.network.tcp.listener import Listener
from bastion.network.tcp.places import Places
from bastion.network.tcp.poller import Poller
from bastion.network.udp import UdpListener
from bastion.observe import logs
from bastion.observe.accesslog import AccessLog
from bastion.observe.families import Family
from bastion.observe.metrics import Metrics
from bastion.observe.process import Process
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError
from bastion.settings.balancing import IN_TURN, NONE, READYZ, UDP, Balancing
from bastion.settings.observing import Observing
from bastion.wiring.background import in_background
from bastion.wiring.exposition import open_exposition
from bastion.wiring.l4servers import Checks, open_checks, open_members
from bastion.wiring.l4virtual import open_virtual

BUSY = 0.9  # of all places: a single client, as behind NAT, may have so many
MOST_DESCRIPTORS = 1 << 20
KEPT_FREE = 128  # descriptors for all but relayed connections, each of which takes two

_log = logging.getLogger("bastion.lb")
_start_log = logging.getLogger("bastion.start")


@dataclass(frozen=True, slots=True)
class Worker:
    """One of several: what the supervisor gave it; see `Observing`."""

    folder: Path | None = None
    number: str = ""


async def serve(options: Balancing, sockets: list[socket.socket], worker: Worker, ends: int | None) -> int:
    """Until SIGTERM, and until connections have ended or had their time.  `sockets` are bound.

    `ends`: a descriptor whose end of input is the end of the supervisor, None where there is none.
    """
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stopping)
    if ends is not None:
        loop.add_reader(ends, _stop, stopping)
    async with AsyncExitStack() as stack:
        deadlines = await stack.enter_async_context(Deadlines())
        checks = await open_checks(options, deadlines, stack)
        balancer = await open_balancer(options, deadlines, checks, stack)
        listeners = await _listening(options, balancer, sockets, stack)
        ready = [True]
        await _pages(options, balancer, worker, ready, stack)
        virtual = AsyncExitStack()
        stack.push_async_callback(virtual.aclose)
        if options.virtual_ips and worker.number in ("", "0"):  # one of the workers has it for all
            await open_virtual(options, checks, lambda: any(one.serves for one in balancer.ways.all), virtual)
        _start_log.info("balancing at %s", ", ".join(_names(options, sockets)))
        await stopping.wait()
        if ends is not None:
            loop.remove_reader(ends)
        ready[0] = False
        await asyncio.sleep(options.shutdown_delay)
        await virtual.aclose()  # others have it before this one stops to accept
        for listener in listeners:
            listener.close()
        await _drained(balancer, options.drain_timeout)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_IGN)  # it ends, and well
    return 0


def _stop(stopping: asyncio.Event) -> None:
    """A second signal ends at once."""
    if stopping.is_set():
        os._exit(1)
    stopping.set()


async def open_balancer(
    options: Balancing, deadlines: Deadlines, checks: Checks, stack: AsyncExitStack
) -> Balancer:
    """Its servers were checked once.  Raises StartError."""
    poller = Poller()
    stack.callback(poller.end)
    ways = await _ways(options, checks, stack)
    await asyncio.gather(*(group.begin() for group in ways.all))
    for group in ways.all:
        in_background(stack, group.keep(), f"servers {group.name}")
        if not group.serves:
            _log.warning("no server of %s is ready: connections are reset", group.name or "any name")
    joiner = Joiner(
        poller, deadlines, prepare_relayed, Limits(options.idle_timeout, options.connection_duration)
    )
    told: Callable[[Ended], None] = lambda ended: None  # noqa: E731
    if options.access_log:
        text = logs.written_as(options.log_format, sys.stdout.fileno()) == logs.TEXT
        lines: AccessLog[Ended] = AccessLog(sys.stdout.fileno(), text_line if text else json_line)
        told = (await stack.enter_async_context(lines)).observe
    return Balancer(
        ways,
        joiner,
        Places(options.max_connections or _by_descriptors(), options.max_per_client, BUSY),
        options.connect_timeout,
        send=options.send_proxy_protocol,
        trusted=options.proxy_protocol_from,
        told=told,
    )


async def _ways(options: Balancing, checks: Checks, stack: AsyncExitStack) -> Ways:
    """Raises StartError."""
    pick = in_turn if options.balance == IN_TURN else least_busy

    def prober(named: Named, lost: Callable[[], None]) -> Prober:
        if named.readyz and options.health_check == READYZ:
            return checks.readyz(named, lost)
        return ConnectProber((named.address, named.port))

    unchecked = options.health_check == NONE or options.protocol == UDP

    async def group(name: str, urls: list[str], backends: list[tuple[str, int]], *, discover: bool) -> Group:
        members = await open_members(options, urls, backends, checks, stack, discover=discover)
        return Group(name, members, None if unchecked else prober, pick)

    by_name: dict[str, list[str]] = {}
    for name, where in options.sni:
        by_name.setdefault(name, []).append(where)
    groups = {}
    for name, places in by_name.items():
        urls = [where for where in places if "://" in where]
        backends = [_socket(where) for where in places if "://" not in where]
        groups[name] = await group(name, urls, backends, discover=False)
    urls = [*options.apiservers] or ([checks.server] if checks.server else [])
    others = None
    if urls or options.backends:
        others = await group("", urls, [*options.backends], discover=options.discover)
    return Ways(groups, others)


def _socket(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def _listening(
    options: Balancing, balancer: Balancer, sockets: list[socket.socket], stack: AsyncExitStack
) -> list[Listener | UdpListener]:
    found: list[Listener | UdpListener] = []
    for sock in sockets:
        if options.protocol == UDP:
            listener = _udp(options, balancer)
            await listener.listen(sock)
            found.append(listener)
        else:
            prepare_relayed(sock)  # what it accepts inherits it
            found.append(Listener(balancer.joiner.poller, sock, balancer.accepted))
    for one in found:
        stack.callback(one.close)
    return found


def _udp(options: Balancing, balancer: Balancer) -> UdpListener:
    others = balancer.ways.others
    assert others is not None

    def choose(client: str) -> tuple[str, int] | None:
        server = others.choose(balancer.joiner.poller.loop.time())
        if server is None:
            return None
        server.made += 1
        return server.place

    def serves(place: tuple[str, int]) -> bool:
        return any(server.place == place and not server.leaving for server in others.servers)

    silence = {"silence": options.idle_timeout} if options.idle_timeout else {}
    return UdpListener(balancer.places, balancer.joiner.deadlines, choose, serves, **silence)


async def _pages(
    options: Balancing, balancer: Balancer, worker: Worker, ready: list[bool], stack: AsyncExitStack
) -> None:
    """Raises StartError.  All workers have it: whichever is asked tells of all."""
    where = options.metrics_bind_address

    def measured() -> list[Family]:
        places = balancer.places
        return families(balancer.ways.all, places.inside, places.most, balancer.turned_away)

    metrics = Metrics(measured, Process().families)
    observing = Observing(folder=worker.folder, number=worker.number)
    exposition = await open_exposition(observing, metrics, stack)
    if where is None:
        return

    async def page(path: str) -> Page:
        if path == "/metrics":
            return Page(200, await exposition(), "text/plain; version=0.0.4; charset=utf-8")
        if path == "/livez":
            return Page(200, b"ok\n")
        if path in ("/readyz", "/healthz"):
            well = ready[0] and any(group.serves for group in balancer.ways.all)
            return Page(200, b"ok\n") if well else Page(503, b"no server is ready, or shutting down\n")
        return NOT_FOUND

    responder = Responder(page)
    stack.callback(responder.close)
    try:
        await responder.listen([where[0]], where[1], share=worker.folder is not None)
    except OSError as error:
        raise StartError(f"cannot listen at {where[0]} port {where[1]}: {error.strerror}") from error


async def _drained(balancer: Balancer, seconds: float) -> None:
    """Connections go on until they end, or their time is over."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            while balancer.connections:  # noqa: ASYNC110 relays call back, and wake no task
                await asyncio.sleep(0.05)
    balancer.joiner.close()
    for connection in list(balancer.connections):
        connection.end("drained")


def _by_descriptors() -> int:
    """As many as this user may have, where less was set for programs that do not ask."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_DESCRIPTORS if hard == resource.RLIM_INFINITY else min(MOST_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    return max(64, (most - KEPT_FREE) // 2)


def _names(options: Balancing, sockets: list[socket.socket]) -> list[str]:
    found = []
    for sock in sockets:
        address, port, *_ = sock.getsockname()
        found.append(
            f"{options.protocol} " + (f"[{address}]:{port}" if ":" in address else f"{address}:{port}")
        )
    return found
