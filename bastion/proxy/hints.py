"""What more is told of a target that leads nowhere?  As much as its user may see."""

from __future__ import annotations

import msgspec

from bastion.discovery.resolution import NoneReady, UnknownTarget
from bastion.kube.status import StatusError
from bastion.proxy.admission import Admitted
from bastion.proxy.exchange import Exchange
from bastion.proxy.nearnames import NearNames
from bastion.proxy.unreadypods import UnreadyPods


class Hints(msgspec.Struct, frozen=True):
    near: NearNames
    unready: UnreadyPods

    async def told(
        self, error: UnknownTarget | NoneReady, exchange: Exchange, admitted: Admitted
    ) -> StatusError:
        """Another one for each: what is remembered of a target is told to all."""
        if isinstance(error, UnknownTarget):
            return await self.near.told(error, admitted)
        return await self.unready.told(error, exchange, admitted)
