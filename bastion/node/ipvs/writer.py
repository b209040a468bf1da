"""Puts fronts into force by the programs ip, ipset, iptables-restore and ipvsadm."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from bastion.node import kernel
from bastion.node.addresses import FAMILIES, address_of, of_family
from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.iptables.layout import CANARY, TABLES
from bastion.node.iptables.programs import Iptables, IptablesError
from bastion.node.iptables.ruleset import saved as chains_saved
from bastion.node.ipvs import chains
from bastion.node.ipvs.ruleset import DEVICE, KERNEL, address_lines, addresses
from bastion.node.ipvs.servers import node_port_addresses, restore_text, saved, servers
from bastion.node.ipvs.sets import TYPES, change_text, name_of, sets, whole_text
from bastion.node.metrics import Metrics
from bastion.node.proxier import SyncError
from bastion.node.rules import Rules
from bastion.runtime.errors import StartError

PRESENT = Path("/proc/net/ip_vs")
SECONDS = 60.0

_log = logging.getLogger("bastion.node")


def check() -> None:
    """Raises StartError where this kernel has no IPVS."""
    if not PRESENT.exists():
        raise StartError("mode ipvs: this kernel has no IPVS (module ip_vs); use mode nftables instead")


class IpvsWriter:
    """Implements `proxier.Writer`; `excluded`: ranges whose virtual servers are another program's."""

    def __init__(self, iptables: Iptables, family: str, scheduler: str, excluded: Sequence[str]) -> None:
        self._iptables = iptables
        self._rules = Rules(family)
        self._scheduler = scheduler
        self._excluded = [*of_family(excluded, family)]
        self._fronts: Fronts = {}
        self._own: list[str] = []  # addresses that take NodePorts

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        """Takes over what is there."""
        self._rules = rules
        await asyncio.to_thread(self._take_over, fronts)
        self._fronts = fronts

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        after = {**self._fronts}
        for key, front in changes.items():
            if front is None:
                after.pop(key, None)
            else:
                after[key] = front
        await asyncio.to_thread(self._differ, after)
        self._fronts = after

    async def intact(self) -> bool:
        """As in iptables mode, and whether the node's addresses are those that NodePorts answer at."""
        there = await asyncio.to_thread(lambda: all(self._iptables.has(table, CANARY) for table in TABLES))
        return there and self._node_addresses() == self._own

    async def disturbed(self) -> None:
        await asyncio.Event().wait()

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        """kube-proxy counts none in this mode."""

    def _take_over(self, fronts: Fronts) -> None:
        family = self._rules.family
        for name, value in KERNEL.items():
            _set(Path("/proc/sys") / name, value)
        _run(["ip", "link", "add", DEVICE, "type", "dummy"], allowed=True)
        self._own = self._node_addresses()
        carried = {
            one.address
            for one in kernel.attached()
            if one.interface == DEVICE and address_of(one.address, family)
        }
        _run(["ipset", "restore"], whole_text(sets(fronts, self._own), family))
        try:
            there = chains_saved(self._iptables.save(*TABLES))
            self._iptables.restore(chains.ruleset(self._rules, there))
        except IptablesError as error:
            raise SyncError(str(error)) from error
        known = saved(_run(["ipvsadm", "--save", "-n"]), self._excluded, family)
        _addresses(address_lines(carried, addresses(fronts), family))
        _servers(restore_text(known, servers(fronts, self._scheduler, self._own)))

    def _differ(self, after: Fronts) -> None:
        before, own, family = self._fronts, self._own, self._rules.family
        text = change_text(sets(before, own), sets(after, own), family)
        if text:
            _run(["ipset", "restore"], text)
        _addresses(address_lines(addresses(before), addresses(after), family))
        _servers(restore_text(servers(before, self._scheduler, own), servers(after, self._scheduler, own)))

    def _node_addresses(self) -> list[str]:
        local = [one.address for one in kernel.attached() if one.interface != DEVICE]
        return node_port_addresses(self._rules.node_ports, local, self._rules.family)


def remove() -> None:
    """What this mode, or kube-proxy's, left: virtual servers, their addresses and the sets."""
    if PRESENT.exists():
        _run(["ipvsadm", "--clear"], allowed=True)
    if any(name == DEVICE for _, name in socket.if_nameindex()):
        _run(["ip", "link", "del", DEVICE], allowed=True)
        for family in FAMILIES:
            for kind in TYPES:
                _run(["ipset", "destroy", name_of(kind, family)], allowed=True)


def _addresses(lines: str) -> None:
    if lines:
        _run(["ip", "-force", "-batch", "-"], lines, allowed=True)


def _servers(text: str) -> None:
    if text:
        _run(["ipvsadm", "--restore"], text)


def _set(path: Path, value: int) -> None:
    try:
        if path.read_text().strip() != str(value):
            path.write_text(f"{value}\n")
    except OSError as error:
        _log.error("%s cannot be set to %d: %s", path, value, error.strerror)


def _run(words: list[str], text: str = "", *, allowed: bool = False) -> str:
    """Raises SyncError; with `allowed` a failure is none (what is asked for may be there)."""
    try:
        done = subprocess.run(  # noqa: S603 programs of the system, and no shell
            words, input=text, capture_output=True, text=True, errors="replace", timeout=SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        if allowed:
            return ""
        raise SyncError(f"{words[0]}: {error}") from error
    if done.returncode and not allowed:
        raise SyncError(f"{words[0]}: {' '.join(done.stderr.split())[:500]}")
    return done.stdout
