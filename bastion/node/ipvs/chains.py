"""· The iptables rules of this mode: as many for one Service as for all, for they look into sets.

IPVS only balances: what is masqueraded, dropped or refused is theirs.
"""

from __future__ import annotations

from collections.abc import Iterator

from bastion.node.iptables.layout import (
    CANARY,
    FILTER,
    FORWARD,
    IPVS_FILTER,
    IPVS_JUMPS,
    IPVS_NODE_PORT,
    IPVS_SOURCES,
    LOAD_BALANCER,
    MARK,
    NAT,
    POSTROUTING,
    SERVICES,
    SOURCES,
    TABLES,
    Chain,
    Rule,
    base_chains,
)
from bastion.node.iptables.ruleset import Saved, hung, restore_text
from bastion.node.ipvs.sets import name_of
from bastion.node.rules import Rules

PROTOCOLS = ("TCP", "UDP", "SCTP")


def ruleset(rules: Rules, there: Saved) -> str:
    """For `iptables-restore --noflush`."""
    wanted = chains(rules)
    return restore_text(wanted, there.chains - wanted.keys(), [*hung(there, IPVS_JUMPS)], there.held)


def chains(rules: Rules) -> dict[Chain, tuple[Rule, ...]]:
    base = base_chains(rules)
    of = _Matches(rules.family)
    return {
        (NAT, MARK): base[NAT, MARK],
        (NAT, POSTROUTING): (f"{of.to('LOOP-BACK', 'dst,dst,src')} -j MASQUERADE", *base[NAT, POSTROUTING]),
        (NAT, SERVICES): tuple(_services(rules, of)),
        (NAT, LOAD_BALANCER): (f"{of.to('LOAD-BALANCER-LOCAL')} -j RETURN", f"-j {MARK}"),
        (NAT, IPVS_NODE_PORT): tuple(_node_ports(of)),
        (FILTER, FORWARD): base[FILTER, FORWARD],
        (FILTER, SOURCES): (f"{of.to('LOAD-BALANCER-FW')} -j {IPVS_SOURCES}",),
        (FILTER, IPVS_SOURCES): (
            f"{of.to('LOAD-BALANCER-SOURCE-CIDR', 'dst,dst,src')} -j RETURN",
            "-j DROP",
        ),
        (FILTER, IPVS_FILTER): (
            *(f"{of.to(kind)} -j RETURN" for kind in _ANSWERED),
            f"-m conntrack --ctstate NEW {of.to('IPVS-IPS', 'dst')} -j REJECT",
        ),
        **{(table, CANARY): () for table in TABLES},
    }


# Before any port of a Service's address that no Service has is refused: without this rule whatever listens on
# all addresses of the node would answer there.
_ANSWERED = ("LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL")


class _Matches:
    def __init__(self, family: str) -> None:
        self._family = family

    def to(self, kind: str, how: str = "dst,dst") -> str:
        return f"-m set --match-set {name_of(kind, self._family)} {how}"


def _services(rules: Rules, of: _Matches) -> Iterator[Rule]:
    yield f"{of.to('LOAD-BALANCER')} -j {LOAD_BALANCER}"
    if rules.masquerade_all:
        yield f"{of.to('CLUSTER-IP')} -j {MARK}"
    elif rules.detection:
        # one match a range would masquerade the pods of all but one
        yield from (f"{of.to('CLUSTER-IP')} {local} -j RETURN" for local in _pods(rules))
        yield f"{of.to('CLUSTER-IP')} -j {MARK}"
    else:
        yield f"{of.to('CLUSTER-IP', 'src,dst')} -j {MARK}"  # from a Service's address: a node's own
    yield f"{of.to('EXTERNAL-IP')} -j {MARK}"
    ranges = [f"-d {network} " for network in rules.node_ports] or [""]
    yield from (f"{only}-m addrtype --dst-type LOCAL -j {IPVS_NODE_PORT}" for only in ranges)
    yield from (f"{of.to(kind)} -j ACCEPT" for kind in ("CLUSTER-IP", "LOAD-BALANCER"))


def _pods(rules: Rules) -> Iterator[str]:
    detection = rules.detection
    if detection.cidrs:
        yield from (f"-s {network}" for network in detection.cidrs)
    else:
        yield f"-i {detection.interface or detection.prefix + '+'}"


def _node_ports(of: _Matches) -> Iterator[Rule]:
    for protocol in PROTOCOLS:
        kind, how = (f"{protocol}-HASH", "dst,dst") if protocol == "SCTP" else (protocol, "dst")
        tested = f"-p {protocol.lower()} "
        yield f"{tested}{of.to(f'NODE-PORT-LOCAL-{kind}', how)} -j RETURN"
        yield f"{tested}{of.to(f'NODE-PORT-{kind}', how)} -j {MARK}"
