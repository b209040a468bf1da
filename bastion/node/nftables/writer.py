"""Puts fronts into force by nftables, in one transaction each time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.metrics import Metrics
from bastion.node.nftables.layout import PREDECESSOR, TABLE, base_chains
from bastion.node.nftables.library import Nft, NftError, delete_tables, there
from bastion.node.nftables.notices import Hush, Notices, rules_in
from bastion.node.nftables.table import Table, There
from bastion.node.proxier import SyncError
from bastion.node.rules import Rules


class NftablesWriter:
    """Implements `proxier.Writer`."""

    def __init__(self, nft: Nft, family: str, hush: Hush) -> None:
        self._nft = nft
        self._family = family
        self._table = Table(Rules(family))
        self._written = False  # everything is in force
        self._notices = Notices(family)
        self._hush = hush
        hush.add(self._notices)

    async def full(self, rules: Rules, fronts: Fronts) -> None:
        """Takes over what is there; where that cannot be (another layout), the table is made again."""
        self._table, self._written = Table(rules), False
        try:
            with self._hush.kept():
                await asyncio.to_thread(self._take_over, fronts)
                self._written = True
        except NftError as error:
            raise SyncError(str(error)) from error

    async def change(self, changes: Mapping[FrontKey, Front | None]) -> None:
        script = self._table.change(changes)
        if script:
            try:
                with self._notices.own():
                    await asyncio.to_thread(self._nft.run, script)
            except NftError as error:
                raise SyncError(str(error)) from error

    async def intact(self) -> bool:
        return await asyncio.to_thread(has_base_chains, self._table.rules)

    async def disturbed(self) -> None:
        while True:
            await self._notices.touched.wait()
            self._notices.touched.clear()
            unsure, self._notices.unsure = self._notices.unsure, False
            if not unsure or (self._written and not await self.intact()):
                return

    def failures(self, metrics: Metrics, family: str, *, partial: bool) -> None:
        metrics.add("sync_proxy_rules_nftables_sync_failures_total", ip_family=family)

    def _take_over(self, fronts: Fronts) -> None:
        try:
            self._nft.run(self._table.full(fronts, there(self._nft, self._family)))
        except NftError:
            self._nft.run(self._table.full(fronts, There(), anew=True))


def has_base_chains(rules: Rules) -> bool:
    """With all their rules: `nft flush table` takes these, and leaves the chains."""
    try:
        return all(
            rules_in(rules.family, name) == len(written) for name, (_, written) in base_chains(rules).items()
        )
    except OSError:
        return False


def cleaned(nft: Nft, family: str) -> None:
    """Nothing of ours, or of kube-proxy's nftables mode, is left.  Raises NftError."""
    delete_tables(nft, family, (TABLE, PREDECESSOR))
