"""· A front as iptables rules: the entries that it adds to shared chains, and the chains of its Service's
port.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

import msgspec

from bastion.node.addresses import LOOPBACK
from bastion.node.endpoints import Backend
from bastion.node.fronts import Front, FrontKey, Scope
from bastion.node.iptables.layout import (
    EXTERNAL,
    FILTER,
    MARK,
    NAT,
    NODE_PORTS,
    SERVICES,
    SOURCES,
    Chain,
    Rule,
)
from bastion.node.rules import Detection, Rules

Entries = dict[Chain, tuple[Rule, ...]]
Chains = dict[Chain, tuple[Rule, ...]]


class Rendered(msgspec.Struct, frozen=True, gc=False):
    entries: Entries
    chains: Chains


def rendered(key: FrontKey, front: Front, rules: Rules) -> Rendered:
    entries: dict[Chain, list[Rule]] = {}
    chains: Chains = {}
    match = _match(key, rules)
    target = _target(key, front, rules, chains)
    if target:
        if key.address and front.sources:
            target = _guarded(key, front, target, match, chains, entries)
        entries[NAT, SERVICES if key.address else NODE_PORTS] = [f"{match} -j {target}"]
        if not key.address and rules.localhost_node_ports:  # apart, for its counter
            entries[NAT, NODE_PORTS].insert(0, f"-d {LOOPBACK[rules.family]} {match} -j {target}")
    if front.refused:
        chain = SERVICES if front.scope is Scope.CLUSTER else EXTERNAL
        verdict = "REJECT" if front.refused == "reject" else "DROP"
        local = "" if key.address else "-m addrtype --dst-type LOCAL "
        entries.setdefault((FILTER, chain), []).append(f"{local}{match} -j {verdict}")
    return Rendered({chain: tuple(found) for chain, found in entries.items()}, chains)


def _match(key: FrontKey, rules: Rules) -> str:
    protocol = key.protocol.lower()
    length = 32 if rules.family == "IPv4" else 128
    to = f"-d {key.address}/{length} " if key.address else ""
    return f"{to}-p {protocol} -m {protocol} --dport {key.port}"


def _target(key: FrontKey, front: Front, rules: Rules, chains: Chains) -> str:
    """The chain that a connection is led to; empty where none of it is translated."""
    if front.scope is Scope.CLUSTER:
        return _pick(key, front, rules, chains, local=front.local_policy) if front.backends else ""
    if not front.cluster or not (front.backends or front.splits):
        return ""
    name = f"KUBE-EXT-{_hashed(front, key)}"
    everyone = _pick(key, front, rules, chains, local=False)
    if not front.splits:
        chains[NAT, name] = (f"-j {MARK}", f"-j {everyone}")
        return name
    written = []
    if rules.detection:
        written.append(f"{_pods(rules.detection)}-j {everyone}")
    written.append(f"-m addrtype --src-type LOCAL -j {MARK}")
    written.append(f"-m addrtype --src-type LOCAL -j {everyone}")
    if front.local:
        written.append(f"-j {_pick(key, front, rules, chains, local=True)}")
    chains[NAT, name] = tuple(written)
    return name


def _pods(detection: Detection, *, others: bool = False) -> str:
    sign = "! " if others else ""
    if detection.cidrs:
        return f"{sign}-s {detection.cidrs[0]} "
    if detection.interface:
        return f"{sign}-i {detection.interface} "
    return f"{sign}-i {detection.prefix}+ "


def _guarded(
    key: FrontKey, front: Front, target: str, match: str, chains: Chains, entries: dict[Chain, list[Rule]]
) -> str:
    """A client outside the sources falls through untranslated, and is dropped by its destination."""
    name = f"KUBE-FW-{_hashed(front, key)}"
    chains[NAT, name] = tuple(f"-s {network} -j {target}" for network in front.sources)
    entries[FILTER, SOURCES] = [f"{match} -j DROP"]
    return name


def _pick(key: FrontKey, front: Front, rules: Rules, chains: Chains, *, local: bool) -> str:
    name = f"KUBE-{'SVL' if local else 'SVC'}-{_hashed(front, key)}"
    backends = front.local if local else front.cluster
    endpoints = [_endpoint(key, front, backend, rules, chains) for backend in backends]
    written = [*_masqueraded(key, front, rules, local=local)]
    if front.affinity:
        recent = f"--rcheck --seconds {front.affinity} --reap --name"
        written += [
            f"-m recent {recent} {chain} --mask {_mask(rules)} --rsource -j {chain}" for chain in endpoints
        ]
    for index, chain in enumerate(endpoints):
        left = len(endpoints) - index
        chance = f"-m statistic --mode random --probability {1 / left:.11f} " if left > 1 else ""
        written.append(f"{chance}-j {chain}")
    chains[NAT, name] = tuple(written)
    return name


def _masqueraded(key: FrontKey, front: Front, rules: Rules, *, local: bool) -> Iterator[Rule]:
    """What is for the cluster IP itself; other addresses come through KUBE-EXT."""
    home = front.home
    if home.local is not local:
        return
    match = _match(FrontKey(home.address, key.protocol, home.port), rules)
    if rules.masquerade_all:
        yield f"{match} -j {MARK}"
    elif rules.detection:
        yield f"{_pods(rules.detection, others=True)}{match} -j {MARK}"


def _endpoint(key: FrontKey, front: Front, backend: Backend, rules: Rules, chains: Chains) -> str:
    address, port = backend
    name = f"KUBE-SEP-{_hashed(front, key, f'{address}:{port}')}"
    protocol = key.protocol.lower()
    remember = f"-m recent --set --name {name} --mask {_mask(rules)} --rsource " if front.affinity else ""
    to = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    length = 128 if ":" in address else 32
    chains[NAT, name] = (
        f"-s {address}/{length} -j {MARK}",
        f"{remember}-p {protocol} -m {protocol} -j DNAT --to-destination {to}",
    )
    return name


def _mask(rules: Rules) -> str:
    return "255.255.255.255" if rules.family == "IPv4" else "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"


def _hashed(front: Front, key: FrontKey, more: str = "") -> str:
    digest = hashlib.sha256(f"{front.owner}{key.protocol.lower()}{more}".encode()).digest()
    return base64.b32encode(digest).decode()[:16]
