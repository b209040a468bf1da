"""· The chains that no Service changes, under kube-proxy's names, and where they hang in the built-in
ones.
"""

from __future__ import annotations

from bastion.node.addresses import IPV4, LOOPBACK
from bastion.node.rules import Rules

NAT, FILTER, MANGLE = TABLES = ("nat", "filter", "mangle")
CANARY = "KUBE-PROXY-CANARY"
SERVICES, NODE_PORTS, POSTROUTING, MARK = (
    "KUBE-SERVICES",
    "KUBE-NODEPORTS",
    "KUBE-POSTROUTING",
    "KUBE-MARK-MASQ",
)
EXTERNAL, FORWARD = "KUBE-EXTERNAL-SERVICES", "KUBE-FORWARD"
SOURCES, LOOPBACK_GUARD = "KUBE-PROXY-FIREWALL", "KUBE-FIREWALL"

# Of the mode ipvs, as kube-proxy calls them.
LOAD_BALANCER, IPVS_NODE_PORT, IPVS_FILTER = "KUBE-LOAD-BALANCER", "KUBE-NODE-PORT", "KUBE-IPVS-FILTER"
IPVS_SOURCES = "KUBE-SOURCE-RANGES-FIREWALL"
IPVS_CHAINS = ((NAT, LOAD_BALANCER), (NAT, IPVS_NODE_PORT), (FILTER, IPVS_FILTER), (FILTER, IPVS_SOURCES))

Chain = tuple[str, str]  # (table, name)
Rule = str  # without the chain's name

# Those that hold a rule or more of each front.
SHARED = (
    (NAT, SERVICES),
    (NAT, NODE_PORTS),
    (FILTER, SERVICES),
    (FILTER, EXTERNAL),
    (FILTER, NODE_PORTS),
    (FILTER, SOURCES),
)
# Chains of one port of a Service, or of one of its endpoints.
PREFIXES = ("KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-FW-", "KUBE-SEP-")

NEW = "-m conntrack --ctstate NEW "


def _said(text: str) -> str:
    return f'-m comment --comment "{text}" '


# (table, built-in chain, rule) as iptables-save writes them; kube-proxy's own, so that it finds them on a
# way back.
JUMPS = (
    (NAT, "PREROUTING", f"{_said('kubernetes service portals')}-j {SERVICES}"),
    (NAT, "OUTPUT", f"{_said('kubernetes service portals')}-j {SERVICES}"),
    (NAT, "POSTROUTING", f"{_said('kubernetes postrouting rules')}-j {POSTROUTING}"),
    (FILTER, "INPUT", f"{NEW}{_said('kubernetes load balancer firewall')}-j {SOURCES}"),
    (FILTER, "INPUT", f"{_said('kubernetes health check service ports')}-j {NODE_PORTS}"),
    (FILTER, "INPUT", f"{NEW}{_said('kubernetes externally-visible service portals')}-j {EXTERNAL}"),
    (FILTER, "FORWARD", f"{NEW}{_said('kubernetes load balancer firewall')}-j {SOURCES}"),
    (FILTER, "FORWARD", f"{_said('kubernetes forwarding rules')}-j {FORWARD}"),
    (FILTER, "FORWARD", f"{NEW}{_said('kubernetes service portals')}-j {SERVICES}"),
    (FILTER, "FORWARD", f"{NEW}{_said('kubernetes externally-visible service portals')}-j {EXTERNAL}"),
    (FILTER, "OUTPUT", f"{NEW}{_said('kubernetes load balancer firewall')}-j {SOURCES}"),
    (FILTER, "OUTPUT", f"{NEW}{_said('kubernetes service portals')}-j {SERVICES}"),
    (FILTER, "INPUT", f"-j {LOOPBACK_GUARD}"),
    (FILTER, "OUTPUT", f"-j {LOOPBACK_GUARD}"),
)
IPVS_JUMPS = (
    *(jump for jump in JUMPS if jump[0] == NAT),
    (FILTER, "INPUT", f"{_said('kube-proxy firewall rules')}-j {SOURCES}"),
    (FILTER, "INPUT", f"{_said('kubernetes ipvs access filter')}-j {IPVS_FILTER}"),
    (FILTER, "FORWARD", f"{_said('kube-proxy firewall rules')}-j {SOURCES}"),
    (FILTER, "FORWARD", f"{_said('kubernetes forwarding rules')}-j {FORWARD}"),
)


def base_chains(rules: Rules) -> dict[Chain, tuple[Rule, ...]]:
    mark = rules.mark
    invalid = () if rules.liberal else ("-m conntrack --ctstate INVALID -j DROP",)
    guard: tuple[Rule, ...] = ()
    if rules.family == IPV4:
        # route_localnet lets packets to 127/8 in from outside: only what was translated here may pass
        states = "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT"
        guard = (f"! -s {LOOPBACK[IPV4]} -d {LOOPBACK[IPV4]} {states} -j DROP",)
    return {
        (NAT, MARK): (f"-j MARK --set-xmark {mark}/{mark}",),
        (NAT, POSTROUTING): (
            f"-m mark ! --mark {mark}/{mark} -j RETURN",
            f"-j MARK --set-xmark {mark}/0x0",
            "-j MASQUERADE --random-fully",
        ),
        (FILTER, FORWARD): (
            *invalid,
            f"-m mark --mark {mark}/{mark} -j ACCEPT",
            "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        ),
        (FILTER, LOOPBACK_GUARD): guard,
        **{(table, CANARY): () for table in TABLES},
    }


def tail(chain: Chain, rules: Rules) -> tuple[Rule, ...]:
    """What comes last in a shared chain."""
    if chain != (NAT, SERVICES):
        return ()
    loopback = LOOPBACK[rules.family]
    # it takes NodePorts only where that is asked for, and never of IPv6
    without = () if rules.family == IPV4 and rules.localhost_node_ports else (f"-d {loopback} -j RETURN",)
    ranges = [f"-d {network} " for network in rules.node_ports] or [""]
    return (*without, *(f"{only}-m addrtype --dst-type LOCAL -j {NODE_PORTS}" for only in ranges))
