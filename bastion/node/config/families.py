"""· Ranges and addresses of the configuration that do not fit the node's own address family.

kube-proxy says the same of them; they end the start where pods could not be told from others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bastion.node.addresses import of_family
from bastion.node.config.settings import Settings


def mismatches(
    settings: Settings, primary: str, pod_cidrs: Sequence[str], *, both: bool
) -> Iterator[tuple[str, bool]]:
    """(what is wrong, whether it ends the start); `primary` is the node's family, `both`: it has both."""
    mode = settings.local_mode
    for path, ranges, fatal in (
        ("clusterCIDR", settings.cluster_cidrs, mode == "ClusterCIDR" and not both),
        ("spec.podCIDRs of the Node", pod_cidrs, mode == "NodeCIDR"),
        ("nodePortAddresses", _ranges(settings.node_port_addresses), False),
    ):
        if ranges and not any(of_family(ranges, primary)):
            yield f"{path}: {', '.join(ranges)}: the node is of {primary}, and no range is", fatal
    if not settings.node_port_addresses:
        yield "nodePortAddresses: unset, so that every local address takes NodePorts; see primary", False


def _ranges(texts: Sequence[str]) -> Sequence[str]:
    return [text for text in texts if "/" in text]
