"""· Where do kubelets listen?  Every address of every node, and the port that the node declares; pure."""

from __future__ import annotations

from bastion.kube.objects import Node
from bastion.network.addresses import canonical, parse_address

DEFAULT_KUBELET_PORT = 10250
_NODE_ADDRESS_TYPES = ("InternalIP", "ExternalIP", "Hostname")


class Kubelets:
    """By canonical address, because a pod's status may have another spelling."""

    def __init__(self) -> None:
        # a port once for each node that declares it there
        self._ports: dict[str, tuple[int, ...]] = {}

    def ports(self, address: str) -> tuple[int, ...]:
        """Empty where no node has this canonical address."""
        return self._ports.get(address, ())

    def replace(self, old: Node | None, new: Node | None) -> None:
        if old is not None:
            for address in _addresses(old):
                left = list(self._ports.pop(address))
                left.remove(kubelet_port(old))
                if left:
                    self._ports[address] = tuple(left)
        if new is not None:
            for address in _addresses(new):
                self._ports[address] = (*self._ports.get(address, ()), kubelet_port(new))


def kubelet_port(node: Node) -> int:
    return node.status.daemon_endpoints.kubelet_endpoint.port or DEFAULT_KUBELET_PORT


def _addresses(node: Node) -> set[str]:
    return {canonical(address.address) for address in node.status.addresses or ()}


def node_address(node: Node) -> str | None:
    """A literal address; names are never resolved (CVE-2020-8562)."""
    addresses = node.status.addresses or ()
    for kind in _NODE_ADDRESS_TYPES:
        for address in addresses:
            if address.type == kind and parse_address(address.address) is not None:
                return address.address
    return None
