"""`bastion node`'s part in Services of type LoadBalancer: it announces their addresses, and may give them."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

from bastion.cluster.client import ApiClient
from bastion.node import kernel
from bastion.node.balancers.announcer import Announcer, Settings, steady
from bastion.node.balancers.claims import claims_of
from bastion.node.balancers.renewal import Renewal
from bastion.node.balancers.services import Classes
from bastion.node.config.settings import IPVS, USERSPACE
from bastion.runtime.errors import StartError
from bastion.wiring.lbcontroller import open_controller, pools
from bastion.wiring.nodeproxy import NodeProxy
from bastion.wiring.nodestart import Background, Start, Stop, open_api

LEASE = "bastion-lb-controller"
LATER = 0.05  # seconds in which changes are gathered


async def open_balancing(start: Start, stop: Stop, node: NodeProxy, stack: AsyncExitStack) -> None:
    """Raises StartError, ConfigError."""
    announcing = start.announcing
    if start.manifests:
        raise StartError("--load-balancer and --announce need a cluster: its Leases say which node answers")
    found = pools(announcing.pools, announcing.pools_file)
    classes = Classes(announcing.balancer_class, announcing.classless)
    # the node proxy's own calls wait for their turns: a renewal must not
    api = await stack.enter_async_context(await open_api(start, stack, throttled=False))
    announcer = _announcer(start, node, api)

    waiting: list[asyncio.TimerHandle] = []

    def look() -> None:
        waiting.clear()
        model = node.model
        services = ((service, model.slices_of(key).values()) for key, service in model.services.items())
        announcer.claim(claims_of(services, classes, found))

    def changed() -> None:
        if not waiting:
            waiting.append(asyncio.get_running_loop().call_later(LATER, look))

    node.listeners.append(changed)
    look()
    Background(stack, stop).begin(announcer.run(), "announcing")
    if announcing.load_balancer and found:
        open_controller(api, classes, found, announcing.lease_namespace, LEASE, stack)


def _announcer(start: Start, node: NodeProxy, api: ApiClient) -> Announcer:
    announcing, settings = start.announcing, start.settings
    own = settings.node

    def may() -> bool:
        return node.model.node is None or node.model.node.takes_balancers

    renewal = Renewal(api, announcing.lease_namespace, announcing.announce_lease, own, steady, may)
    strict = settings.mode in (USERSPACE, IPVS)  # where the kernel knows these addresses, and would answer
    return Announcer(
        api,
        renewal,
        Settings(own, announcing.lease_namespace, announcing.announce_lease, announcing.announce_interfaces),
        kernel.attached,
        kernel.answer_strictly if strict else lambda _: None,
    )
