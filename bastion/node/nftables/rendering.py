"""· A front as elements of maps, and the chains that they lead to.

Without session affinity no chain is a Service's own: `c3` and `l3` choose one of three endpoints by maps
(`pc3`, `pl3` for node ports), `i/c3` masquerades what is no pod before, `m/c3` everything, and `e/c3/l2` is
the policy Local: pods and the node go to all endpoints, others to local ones.  So a change of endpoints is
a few elements.

With affinity the memory is a set per endpoint whose name tells the port and the endpoint, and the chains
that look into these sets stand in place of `c3`: `c/HASH`, `l/HASH`.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from functools import lru_cache

import msgspec

from bastion.node.endpoints import Backend
from bastion.node.fronts import Front, FrontKey, Scope
from bastion.node.nftables.layout import FAMILY, PROTOCOLS
from bastion.node.rules import ALWAYS, NEVER, NOT_PODS, Detection, Rules, masquerade

Element = tuple[str, str, str]  # (container, key, value; empty in a set)


class Rendered(msgspec.Struct, frozen=True, gc=False):
    """`own` are elements that no other front has; `shared` and `sets` (name, declaration) several may
    want.
    """

    own: tuple[Element, ...]
    shared: tuple[Element, ...]
    chains: dict[str, tuple[str, ...]]
    sets: dict[str, str]


class _Port(msgspec.Struct, frozen=True):
    """A front on its way to a `Rendered`; `chains` and `sets` grow."""

    key: FrontKey
    front: Front
    rules: Rules
    chains: dict[str, tuple[str, ...]]
    sets: dict[str, str]

    @property
    def ip(self) -> str:
        return FAMILY[self.rules.family]


def rendered(key: FrontKey, front: Front, rules: Rules) -> Rendered:
    chains: dict[str, tuple[str, ...]] = {}
    sets: dict[str, str] = {}
    own = [*_refusal(key, front), *_sources(key, front)]
    verdict = _verdict(_Port(key, front, rules, chains, sets))
    if verdict:
        own.append(
            ("node-ports", _port(key), verdict) if not key.address else ("service-ips", _socket(key), verdict)
        )
    if not front.affinity:
        own += _choices(key, front)
    return Rendered(tuple(own), tuple(_shared(key, front)), chains, sets)


def _socket(key: FrontKey) -> str:
    return f"{key.address} . {_port(key)}"


def _port(key: FrontKey) -> str:
    return f"{key.protocol.lower()} . {key.port}"


def _refusal(key: FrontKey, front: Front) -> Iterator[Element]:
    """Looked at after translation: of the policy Local only those get here that were bound to it."""
    if front.refused:
        yield (
            ("refused-ips", _socket(key), f"goto refuse-{front.refused}")
            if key.address
            else ("refused-ports", _port(key), f"goto refuse-{front.refused}")
        )


def _sources(key: FrontKey, front: Front) -> Iterator[Element]:
    if front.sources:
        yield "guarded", _socket(key), ""
        for network in front.sources:
            yield "allowed", f"{_socket(key)} . {network}", ""


def _shared(key: FrontKey, front: Front) -> Iterator[Element]:
    if front.scope is Scope.CLUSTER:
        yield "cluster-ips", key.address, ""
    for address, port in front.here:
        yield "hairpin", f"{address} . {address} . {key.protocol.lower()} . {port}", ""


def _choices(key: FrontKey, front: Front) -> Iterator[Element]:
    protocol = key.protocol.lower()
    subject = f"{key.address} . {key.port}" if key.address else f"{key.port}"
    kind = protocol if key.address else f"{protocol}-port"
    for name, backends in _pools(front):
        for index, (address, port) in enumerate(backends):
            yield f"{kind}-{name}", f"{subject} . {index}", f"{address} . {port}"


def _pools(front: Front) -> Iterator[tuple[str, tuple[Backend, ...]]]:
    if not front.local_policy or front.splits:
        yield "cluster", front.cluster
    if front.local_policy:
        yield "local", front.local


def _verdict(of: _Port) -> str:
    """Empty where nothing is translated."""
    front, rules, chains = of.front, of.rules, of.chains
    picks = {name: _pick(of, name, backends) for name, backends in _pools(front) if backends}
    if not picks:
        return ""
    how = masquerade(front, rules)
    if front.splits:
        name = f"e/{picks['cluster']}" + (f"/{picks['local']}" if "local" in picks else "")
        chains[name] = _split(picks["cluster"], picks.get("local", ""), rules)
        return f"goto {name}"
    pick = next(iter(picks.values()))
    if how == NEVER:
        return f"goto {pick}"
    kind = "m" if how == ALWAYS else "i"
    unless = _match(rules.detection, of.ip, pods=False) if how == NOT_PODS else ""
    chains[f"{kind}/{pick}"] = (f"{unless}jump mark-masquerade", f"goto {pick}")
    return f"goto {kind}/{pick}"


def _match(detection: Detection, ip: str, *, pods: bool) -> str:
    sign = "" if pods else "!= "
    if detection.cidrs:
        return f"{ip} saddr {sign}{{ {', '.join(detection.cidrs)} }} "
    if detection.interface:
        return f'iifname {sign}"{detection.interface}" '
    return f'iifname {sign}"{detection.prefix}*" '


def _split(cluster: str, local: str, rules: Rules) -> tuple[str, ...]:
    written = []
    if rules.detection:
        written.append(f"{_match(rules.detection, FAMILY[rules.family], pods=True)}goto {cluster}")
    written.append("fib saddr type local jump mark-masquerade")
    written.append(f"fib saddr type local goto {cluster}")
    if local:
        written.append(f"goto {local}")
    return tuple(written)


def _pick(of: _Port, pool: str, backends: tuple[Backend, ...]) -> str:
    """The chain that chooses among these."""
    if of.front.affinity:
        return _sticky(of, pool, backends)
    name, rules = _choosing(of.ip, pool, len(backends), ports=not of.key.address)
    of.chains[name] = rules
    return name


@lru_cache(4096)
def _choosing(ip: str, pool: str, count: int, *, ports: bool) -> tuple[str, tuple[str, ...]]:
    """Name and rules of a chain that chooses one of `count` endpoints; `ports`: for node ports.

    Thousands of Services share one, and each names it.
    """
    letter, address, kind = ("p", "", "port-") if ports else ("", f"{ip} daddr . ", "")
    rules = (
        f"dnat {ip} to {address}{protocol} dport . numgen random mod {count} map @{protocol}-{kind}{pool}"
        for protocol in PROTOCOLS
    )
    return f"{letter}{pool[0]}{count}", tuple(rules)


def _sticky(of: _Port, pool: str, backends: tuple[Backend, ...]) -> str:
    """A client's endpoint is remembered in the kernel, so that the memory outlives this program."""
    front, key, ip = of.front, of.key, of.ip
    protocol = key.protocol.lower()
    seen, led = [], []
    for index, (address, port) in enumerate(backends):
        memory = _hashed(front.owner, key.protocol, address, str(port), str(front.affinity))
        to = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        of.sets[f"affinity-{memory}"] = (
            f"typeof {ip} saddr; flags dynamic,timeout; timeout {front.affinity}s; size 65535"
        )
        of.chains[f"to/{memory}"] = (
            f"update @affinity-{memory} {{ {ip} saddr }} meta l4proto {protocol} dnat {ip} to {to}",
        )
        seen.append(f"{ip} saddr @affinity-{memory} goto to/{memory}")
        led.append(f"{index} : goto to/{memory}")
    name = f"{pool[0]}/{_hashed(front.owner, key.protocol)}"
    of.chains[name] = (*seen, f"numgen random mod {len(led)} vmap {{ {', '.join(led)} }}")
    return name


def _hashed(*words: str) -> str:
    digest = hashlib.sha256("\0".join(words).encode()).digest()
    return base64.b32encode(digest[:10]).decode().lower()
