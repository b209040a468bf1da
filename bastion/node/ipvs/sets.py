"""· The sets that the iptables rules of this mode look into, under kube-proxy's names (`ipset restore`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from bastion.node.addresses import IPV4
from bastion.node.fronts import Front, FrontKey, Scope

SOCKET, PORT = "hash:ip,port", "bitmap:port"
TYPES = {
    "CLUSTER-IP": SOCKET,
    "LOOP-BACK": "hash:ip,port,ip",
    "EXTERNAL-IP": SOCKET,
    "EXTERNAL-IP-LOCAL": SOCKET,
    "LOAD-BALANCER": SOCKET,
    "LOAD-BALANCER-LOCAL": SOCKET,
    "LOAD-BALANCER-FW": SOCKET,
    "LOAD-BALANCER-SOURCE-CIDR": "hash:ip,port,net",
    "NODE-PORT-TCP": PORT,
    "NODE-PORT-LOCAL-TCP": PORT,
    "NODE-PORT-UDP": PORT,
    "NODE-PORT-LOCAL-UDP": PORT,
    "NODE-PORT-SCTP-HASH": SOCKET,
    "NODE-PORT-LOCAL-SCTP-HASH": SOCKET,
    "IPVS-IPS": "hash:ip",
}
LONGEST_NAME = 31  # of a set, in the kernel
MOST = 1 << 20  # elements of one set
NEXT = "KUBE-BASTION-NEXT"  # filled, and then swapped with the one that is looked into

Sets = dict[str, frozenset[str]]


def name_of(kind: str, family: str) -> str:
    """Cut off where it is too long, as kube-proxy does."""
    return f"KUBE-{'' if family == IPV4 else '6-'}{kind}"[:LONGEST_NAME]


def sets(fronts: Mapping[FrontKey, Front], own: Sequence[str]) -> Sets:
    """By kind; `own`: this node's addresses, where NodePorts answer."""
    found: dict[str, set[str]] = defaultdict(set)
    for key, front in fronts.items():
        for kind, entry in _entries(key, front, own):
            found[kind].add(entry)
    return {kind: frozenset(found[kind]) for kind in TYPES}


def _entries(key: FrontKey, front: Front, own: Sequence[str]) -> Iterator[tuple[str, str]]:
    protocol = key.protocol.lower()
    for address, port in front.here:
        yield "LOOP-BACK", f"{address},{protocol}:{port},{address}"
    if front.scope is Scope.NODE:
        for kind in ("NODE-PORT", "NODE-PORT-LOCAL") if front.local_policy else ("NODE-PORT",):
            if key.protocol == "SCTP":
                yield from ((f"{kind}-SCTP-HASH", f"{address},sctp:{key.port}") for address in own)
            else:
                yield f"{kind}-{key.protocol}", str(key.port)
        return
    where = f"{key.address},{protocol}:{key.port}"
    yield "IPVS-IPS", key.address
    if front.scope is Scope.CLUSTER:
        yield "CLUSTER-IP", where
    elif front.scope is Scope.EXTERNAL:
        yield ("EXTERNAL-IP-LOCAL" if front.local_policy else "EXTERNAL-IP"), where
    else:
        yield "LOAD-BALANCER", where
        if front.local_policy:
            yield "LOAD-BALANCER-LOCAL", where
        if front.sources:
            yield "LOAD-BALANCER-FW", where
            yield from (("LOAD-BALANCER-SOURCE-CIDR", f"{where},{range}") for range in front.sources)


def whole_text(after: Sets, family: str) -> str:
    """Whatever is there: each set is exchanged at once."""
    lines = []
    for kind, entries in after.items():
        name, made = name_of(kind, family), _made(kind, family)
        lines += [f"create {name} {made} -exist", f"create {NEXT} {made}"]
        lines += [f"add {NEXT} {entry}" for entry in sorted(entries)]
        lines += [f"swap {name} {NEXT}", f"destroy {NEXT}"]
    return "".join(f"{line}\n" for line in lines)


def _made(kind: str, family: str) -> str:
    if TYPES[kind] == PORT:
        return f"{PORT} range 0-65535"
    return f"{TYPES[kind]} family {'inet' if family == IPV4 else 'inet6'} maxelem {MOST}"


def change_text(before: Sets, after: Sets, family: str) -> str:
    lines = []
    for kind, entries in after.items():
        name, had = name_of(kind, family), before.get(kind, frozenset())
        lines += [f"add {name} {entry} -exist" for entry in sorted(entries - had)]
        lines += [f"del {name} {entry} -exist" for entry in sorted(had - entries)]
    return "".join(f"{line}\n" for line in lines)
