"""Puts fronts into force by iptables-restore: the chains that differ, one run each time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping

from bastion.node.addresses import IPV4, LOOPBACK
from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.iptables.layout import CANARY, FILTER, FORWARD, LOOPBACK_GUARD, NAT, NODE_PORTS, TABLES
from bastion.node.iptables.programs import Iptables, IptablesError
from bastion.node.iptables.ruleset import Ruleset, cleanup, saved
from bastion.node.metrics import Metrics
from bastion.node.proxier import SyncError
from bastion.node.rules import Rules

_COUNTED = re.compile(r"\[(\d+):\d+\] -A (\S+) (.*)")


class IptablesWriter:
    """Implements `proxier.Writer`."""

    def __init__(self, iptables: Iptables, family: str, metrics: Metrics) -> None:
        self._iptables = iptables
        self._family = family
        self._metrics = metrics
        self._ruleset = Ruleset(Rules(family))
        self._seen: dict[str, int] = {}
        self._count("ct_state_invalid_dropped", 0)
        self._count("localhost_nodeports_accepted", 0)

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        self._ruleset = Ruleset(rules)
        try:
            there = saved(await asyncio.to_thread(self._iptables.save, *TABLES))
            await self._restore(self._ruleset.full(fronts, there))
        except IptablesError as error:
            raise SyncError(str(error)) from error

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        text = self._ruleset.change(changes)
        if text:
            try:
                await self._restore(text)
            except IptablesError as error:
                raise SyncError(str(error)) from error

    async def intact(self) -> bool:
        """kube-proxy's canary: a flush of everything takes these chains along."""
        found = await asyncio.to_thread(lambda: all(self._iptables.has(table, CANARY) for table in TABLES))
        if found:
            await self._look_at_counters()
        return found

    async def disturbed(self) -> None:
        """iptables tells of nothing: the canary is looked at."""
        await asyncio.Event().wait()

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        kind = "partial_" if partial else ""
        metrics.add(f"sync_proxy_rules_iptables_{kind}restore_failures_total", ip_family=family)

    async def _restore(self, text: str) -> None:
        await asyncio.to_thread(self._iptables.restore, text)
        written = dict.fromkeys((NAT, FILTER), 0)
        table = ""
        for line in text.splitlines():
            if line.startswith("*"):
                table = line[1:]
            elif line.startswith("-A ") and table in written:
                written[table] += 1
        for table, number in self._ruleset.numbers().items():
            labels = {"ip_family": self._family, "table": table}
            self._metrics.set("sync_proxy_rules_iptables_total", number, **labels)
            self._metrics.set("sync_proxy_rules_iptables_last", written[table], **labels)

    async def _look_at_counters(self) -> None:
        """Without nfacct the rules' own counters tell; they begin anew where a chain is written."""
        try:
            text = await asyncio.to_thread(lambda: self._iptables.save(FILTER, NAT, counters=True))
        except IptablesError:
            return
        invalid = loopback = 0
        for found in _COUNTED.finditer(text):
            number, chain, rule = int(found[1]), found[2], found[3]
            if chain == FORWARD and "INVALID" in rule:
                invalid += number
            elif chain == NODE_PORTS and f"-d {LOOPBACK[IPV4]} " in rule:
                loopback += number
        self._count("ct_state_invalid_dropped", invalid)
        self._count("localhost_nodeports_accepted", loopback)

    def _count(self, what: str, now: int) -> None:
        before = self._seen.get(what, 0)
        self._seen[what] = now
        self._metrics.add(f"iptables_{what}_packets_total", now - before if now >= before else now)


def cleaned(iptables: Iptables) -> bool:
    """Nothing of ours, or of kube-proxy's iptables mode, is left.  Raises IptablesError.

    Whether the guard of loopback was there.
    """
    there = saved(iptables.save(*TABLES))
    text = cleanup(there)
    if text:
        iptables.restore(text)
    return (FILTER, LOOPBACK_GUARD) in there.chains
