"""· All that a start in this mode writes, as text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bastion.node.addresses import IPV4
from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.iptables.ruleset import Saved
from bastion.node.ipvs import chains
from bastion.node.ipvs.servers import restore_text, servers
from bastion.node.ipvs.sets import sets, whole_text
from bastion.node.rules import Rules

DEVICE = "kube-ipvs0"
# kube-proxy's: connections of virtual servers are tracked, so that they can be masqueraded; one to an
# endpoint that went ends instead of hanging; a client's port that is used again gets a new choice.
KERNEL = {
    "net/ipv4/vs/conntrack": 1,
    "net/ipv4/vs/conn_reuse_mode": 0,
    "net/ipv4/vs/expire_nodest_conn": 1,
    "net/ipv4/vs/expire_quiescent_template": 1,
    "net/ipv4/ip_forward": 1,
}


def addresses(fronts: Mapping[FrontKey, Front]) -> set[str]:
    return {key.address for key in fronts if key.address}


def address_lines(before: set[str], after: set[str], family: str) -> str:
    """For `ip -batch`."""
    length = 32 if family == IPV4 else 128
    lines = [f"addr add {address}/{length} dev {DEVICE}" for address in sorted(after - before)]
    lines += [f"addr del {address}/{length} dev {DEVICE}" for address in sorted(before - after)]
    return "".join(f"{line}\n" for line in lines)


def ruleset(fronts: Fronts, rules: Rules, scheduler: str, own: Sequence[str]) -> str:
    """Each part below the program that takes it; `own`: the node's addresses that take NodePorts."""
    family = rules.family
    parts = {
        "sysctl -p -": "".join(f"{name.replace('/', '.')} = {value}\n" for name, value in KERNEL.items()),
        "ip -batch -": f"link add {DEVICE} type dummy\n" + address_lines(set(), addresses(fronts), family),
        "ipset restore": whole_text(sets(fronts, own), family),
        f"{'iptables' if family == IPV4 else 'ip6tables'}-restore --noflush": chains.ruleset(rules, Saved()),
        "ipvsadm --restore": restore_text({}, servers(fronts, scheduler, own)),
    }
    return "".join(f"# {program} ({family})\n{text}" for program, text in parts.items())
