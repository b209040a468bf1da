"""· What the configuration says of masquerading, NodePort addresses and refusals, for one address family."""

from __future__ import annotations

import msgspec

from bastion.node.fronts import Front, Scope


class Detection(msgspec.Struct, frozen=True):
    """How a pod of the cluster is told from others: by its address, or by the interface it comes in on.

    With neither it cannot be told.
    """

    cidrs: tuple[str, ...] = ()
    interface: str = ""
    prefix: str = ""

    def __bool__(self) -> bool:
        return bool(self.cidrs or self.interface or self.prefix)


class Rules(msgspec.Struct, frozen=True):
    """`node_ports`: ranges of local addresses that take NodePorts, empty for all; `service_cidrs`: of those
    an address that no Service has is dropped; `node_addresses`: the node's own.
    """

    family: str
    detection: Detection = Detection()
    masquerade_bit: int = 14
    masquerade_all: bool = False
    node_ports: tuple[str, ...] = ()
    service_cidrs: tuple[str, ...] = ()
    localhost_node_ports: bool = False
    liberal: bool = False

    @property
    def mark(self) -> str:
        return f"{1 << self.masquerade_bit:#x}"


ALWAYS, NOT_PODS, NEVER, SPLIT = "always", "others than pods", "never", "split"


def masquerade(front: Front, rules: Rules) -> str:
    """Whose source becomes the node's address; `SPLIT`: the node's own where pods and the node are let past
    the policy Local.
    """
    if front.splits:
        return SPLIT
    if front.scope is not Scope.CLUSTER or rules.masquerade_all:
        return ALWAYS
    return NOT_PODS if rules.detection else NEVER
