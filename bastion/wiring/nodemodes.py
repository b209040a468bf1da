"""By what are Services put into force: the writers of each mode, and how the others' rules are removed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import shutil
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bastion.network.tcp.poller import Poller
from bastion.node import kernel
from bastion.node.addresses import FAMILIES, IPV4, IPV6
from bastion.node.config.settings import IPTABLES, IPVS, NFTABLES, USERSPACE, Settings
from bastion.node.deriving import loopback_takes_node_ports
from bastion.node.fronts import Fronts
from bastion.node.iptables.programs import IptablesError, open_iptables, variants
from bastion.node.iptables.ruleset import Ruleset, Saved
from bastion.node.iptables.writer import IptablesWriter
from bastion.node.iptables.writer import cleaned as iptables_cleaned
from bastion.node.ipvs import writer as ipvs
from bastion.node.ipvs.ruleset import DEVICE
from bastion.node.ipvs.ruleset import ruleset as ipvs_ruleset
from bastion.node.ipvs.servers import node_port_addresses
from bastion.node.metrics import Metrics
from bastion.node.nftables.library import NftError, open_nft, require_kernel
from bastion.node.nftables.notices import Hush
from bastion.node.nftables.table import Table, There
from bastion.node.nftables.writer import NftablesWriter
from bastion.node.nftables.writer import cleaned as nftables_cleaned
from bastion.node.proxier import SyncError, Writer
from bastion.node.rules import Rules
from bastion.node.userspace.interface import Interface, remove_interface
from bastion.node.userspace.mapping import Mapped
from bastion.node.userspace.tcp import Connections
from bastion.node.userspace.writer import UserspaceWriter
from bastion.runtime.deadlines import Deadlines
from bastion.runtime.errors import StartError

KEPT_FREE = 256  # descriptors for all but relayed connections, each of which takes two

_log = logging.getLogger("bastion.node")


@dataclass(frozen=True, slots=True)
class Mode:
    writers: Mapping[str, Writer]
    remove_others: Callable[[], Awaitable[None]]
    tracks_connections: bool = True


async def open_mode(
    settings: Settings,
    families: tuple[str, ...],
    metrics: Metrics,
    mapping: tuple[Mapped, ...],
    stack: AsyncExitStack,
) -> Mode:
    """Raises StartError where this kernel, or this user, cannot."""
    writers: dict[str, Writer] = {}
    if settings.mode == NFTABLES:
        require_kernel(os.uname().release, os.environ)
        nft, hush = open_nft(), Hush()
        writers = {family: NftablesWriter(nft, family, hush) for family in families}
        return Mode(writers, lambda: _removed(_of_iptables, _of_userspace, _of_ipvs))
    if settings.mode == IPTABLES:
        for family in families:
            with contextlib.suppress(StartError) if family == IPV6 else contextlib.nullcontext():
                writers[family] = IptablesWriter(open_iptables(family), family, metrics)
        if loopback_takes_node_ports(settings):
            kernel.route_loopback(on=True)
        return Mode(writers, lambda: _removed(_of_nftables, _of_userspace, _of_ipvs))
    if settings.mode == IPVS:
        ipvs.check()
        for family in families:
            with contextlib.suppress(StartError) if family == IPV6 else contextlib.nullcontext():
                iptables = open_iptables(family)
                writers[family] = ipvs.IpvsWriter(
                    iptables, family, settings.scheduler, settings.ipvs_excluded
                )
        return Mode(writers, lambda: _removed(_of_nftables, _of_userspace))
    deadlines = await stack.enter_async_context(Deadlines())
    connections = Connections(Poller(), deadlines, max(64, (_descriptors() - KEPT_FREE) // 2))
    stack.callback(connections.close)
    interface = _interface()
    for family in families:
        writer = UserspaceWriter(family, connections, interface, mapping, kernel.local_addresses)
        stack.callback(writer.close)
        writers[family] = writer
    # without the right to put an address on this host there is none to remove rules either
    others = (_of_nftables, _of_iptables, _of_ipvs) if interface is not None else ()
    return Mode(writers, lambda: _removed(*others), tracks_connections=False)


def _descriptors() -> int:
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _interface() -> Interface | None:
    try:
        return Interface()
    except OSError as error:
        _log.warning("addresses of Services cannot be put on this host: %s", error.strerror)
        return None


# --- what is removed


async def remove_all() -> bool:
    """Every rule of ours and of kube-proxy; False where some could not be."""
    done = [await asyncio.to_thread(work) for work in (_of_nftables, _of_iptables, _of_userspace, _of_ipvs)]
    return all(done)


async def _removed(*works: Callable[[], bool]) -> None:
    for work in works:
        await asyncio.to_thread(work)


def _of_nftables() -> bool:
    try:
        nft = open_nft()
        for family in FAMILIES:
            nftables_cleaned(nft, family)
    except StartError:
        return True  # there is no nftables, and so nothing of ours in it
    except NftError as error:
        _log.error("nftables rules could not be removed: %s", error)
        return False
    return True


def _of_iptables() -> bool:
    well = True
    for family in FAMILIES:
        for iptables in variants(family) if shutil.which("iptables") else ():
            try:
                if iptables_cleaned(iptables) and family == IPV4:
                    kernel.route_loopback(on=False)  # what kept others from there is gone
            except IptablesError as error:
                _log.error("iptables rules could not be removed: %s", error)
                well = False
    return well


def _of_userspace() -> bool:
    with contextlib.suppress(OSError):
        remove_interface()
    return True


def _of_ipvs() -> bool:
    try:
        ipvs.remove()
    except SyncError as error:
        _log.error("virtual servers could not be removed: %s", error)
        return False
    return True


def ruleset(settings: Settings, rules: Rules, fronts: Fronts) -> str:
    """What a start would write, for the mode at hand."""
    if settings.mode == NFTABLES:
        return Table(rules).full(fronts, There())
    if settings.mode == IPTABLES:
        return Ruleset(rules).full(fronts, Saved())
    if settings.mode == IPVS:
        local = [one.address for one in kernel.attached() if one.interface != DEVICE]
        own = node_port_addresses(rules.node_ports, local, rules.family)
        return ipvs_ruleset(fronts, rules, settings.scheduler, own)
    assert settings.mode == USERSPACE
    name = "IPv4" if rules.family == IPV4 else "IPv6"
    lines = (
        f"listen {key.address or 'node addresses'} {key.protocol.lower()} {key.port}:"
        f" {', '.join(f'{address} {port}' for address, port in front.backends) or 'no endpoint'}\n"
        for key, front in sorted(fronts.items())
    )
    return f"# {name}\n{''.join(lines)}"
