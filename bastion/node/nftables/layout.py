"""· What the table holds that no Service changes: its sets and maps, and the chains that look into them.

A packet's way: `firewall` (source ranges, before anything is translated), `services` (translation),
`refusals` (what was not translated), `nat-postrouting` (masquerade).  No chain belongs to a Service; see
`rendering.py`.
"""

from __future__ import annotations

from bastion.node.addresses import IPV4, LOOPBACK
from bastion.node.rules import Rules

TABLE = "bastion-node"
PREDECESSOR = "kube-proxy"  # its table goes in the same transaction in which ours comes
FAMILY = {"IPv4": "ip", "IPv6": "ip6"}
DROP = "refuse-drop"  # a chain that is always there, and in no hook
PROTOCOLS = ("tcp", "udp", "sctp")
POOLS = ("cluster", "local")  # the endpoints that the policies Cluster and Local choose
NUMBER = "numgen random mod 65536"

Chains = dict[str, tuple[str, ...]]

PORT = "meta l4proto . th dport"


def containers(family: str) -> dict[str, str]:
    """Sets and maps: what stands between the braces.

    A number from 0 on picks one of several endpoints; the modulus in a declaration is only the type's
    spelling.  A map for each protocol: nft 1.0.6 takes `th dport` in such a declaration, but no rule that
    looks into the map in a later transaction (conflicting protocols specified: tcp vs. th).
    """
    ip = FAMILY[family]
    address = "ipv4_addr" if family == IPV4 else "ipv6_addr"
    socket = f"{address} . inet_proto . inet_service"
    found = {
        "map service-ips": f"type {socket} : verdict",
        "map node-ports": "type inet_proto . inet_service : verdict",
        "map refused-ips": f"type {socket} : verdict",
        "map refused-ports": "type inet_proto . inet_service : verdict",
        "set cluster-ips": f"type {address}",
        "set hairpin": f"type {address} . {socket}",
        "set guarded": f"type {socket}",
        "set allowed": f"type {socket} . {address}; flags interval",
    }
    for protocol in PROTOCOLS:
        port = f"{protocol} dport . {NUMBER} : {ip} daddr . {protocol} dport"
        for pool in POOLS:
            found[f"map {protocol}-{pool}"] = f"typeof {ip} daddr . {port}"
            found[f"map {protocol}-port-{pool}"] = f"typeof {port}"
    return found


# The priorities are dstnat - 10, dstnat, filter and srcnat: the output hook has no names for some of them.
HOOKS = {
    "firewall-prerouting": ("type filter hook prerouting priority -110", ("ct state new jump firewall",)),
    "firewall-output": ("type filter hook output priority -110", ("ct state new jump firewall",)),
    "nat-prerouting": ("type nat hook prerouting priority -100", ("jump services",)),
    "nat-output": ("type nat hook output priority -100", ("jump services",)),
    "filter-input": ("type filter hook input priority 0", ("ct state new jump refused-node-ports",)),
    "filter-forward": ("type filter hook forward priority 0", ("ct state new jump refusals",)),
    "filter-output": (
        "type filter hook output priority 0",
        ("ct state new jump refused-node-ports", "ct state new jump refusals"),
    ),
}


def base_chains(rules: Rules) -> dict[str, tuple[str, tuple[str, ...]]]:
    """By name: the declaration (empty for a chain that is jumped to) and the rules."""
    ip = FAMILY[rules.family]
    here = _node_port_addresses(rules)
    return {
        "firewall": (
            "",
            (f"{ip} daddr . {PORT} @guarded {ip} daddr . {PORT} . {ip} saddr != @allowed drop",),
        ),
        "services": (
            "",
            (f"{ip} daddr . {PORT} vmap @service-ips", f"{here} {PORT} vmap @node-ports"),
        ),
        "mark-masquerade": ("", (f"meta mark set meta mark | {rules.mark}",)),
        "refuse-reject": ("", ("reject",)),
        DROP: ("", ("drop",)),
        "refused-node-ports": (
            "",
            (f"{ip} daddr . {PORT} vmap @refused-ips", f"{here} {PORT} vmap @refused-ports"),
        ),
        "refusals": ("", _refusals(ip, rules)),
        **HOOKS,
        "nat-postrouting": ("type nat hook postrouting priority 100", _postrouting(ip, rules)),
    }


def _node_port_addresses(rules: Rules) -> str:
    ip, loopback = FAMILY[rules.family], LOOPBACK[rules.family]
    only = f" {ip} daddr {{ {', '.join(rules.node_ports)} }}" if rules.node_ports else ""
    return f"fib daddr type local {ip} daddr != {loopback}{only}"


def _refusals(ip: str, rules: Rules) -> tuple[str, ...]:
    """After translation: a packet that still has a cluster IP asks for a port that its Service has not."""
    written = [f"{ip} daddr . {PORT} vmap @refused-ips", f"{ip} daddr @cluster-ips reject"]
    if rules.service_cidrs:
        written.append(f"{ip} daddr {{ {', '.join(rules.service_cidrs)} }} drop")
    return tuple(written)


def _postrouting(ip: str, rules: Rules) -> tuple[str, ...]:
    marked = f"meta mark & {rules.mark} == {rules.mark}"
    return (
        f"{marked} meta mark set meta mark ^ {rules.mark} masquerade fully-random",
        f"{ip} saddr . {ip} daddr . {PORT} @hairpin masquerade fully-random",
    )
