"""By what are Services put into force: the writers of each mode, and how the others' rules are removed."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from bastion.node.addresses import FAMILIES
from bastion.node.config.settings import Settings
from bastion.node.fronts import Fronts
from bastion.node.metrics import Metrics
from bastion.node.nftables.library import open_nft
from bastion.node.nftables.table import Table, There
from bastion.node.nftables.writer import NftablesWriter, cleaned
from bastion.node.proxier import Writer
from bastion.node.rules import Rules
from bastion.node.userspace.mapping import Mapped

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
    nft = open_nft()

    async def nothing() -> None: ...

    return Mode({family: NftablesWriter(nft, family) for family in families}, nothing)


async def remove_all() -> bool:
    nft = open_nft()
    for f in FAMILIES:
        cleaned(nft, f)
    return True


def ruleset(settings: Settings, rules: Rules, fronts: Fronts) -> str:
    return Table(rules).full(fronts, There())
