"""· The virtual servers: one for each address and port, with its endpoints as real servers.

As text for `ipvsadm --restore`, and read back from `ipvsadm --save -n`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from bastion.node.addresses import LOOPBACK, Network, address_of, contains, of_family
from bastion.node.endpoints import Backend
from bastion.node.fronts import Front, FrontKey

_FLAGS = {"TCP": "-t", "UDP": "-u", "SCTP": "--sctp-service"}

Servers = dict[str, tuple[str, ...]]  # what names a virtual server, and its options; then its real servers


def servers(fronts: Mapping[FrontKey, Front], scheduler: str, own: Sequence[str]) -> Servers:
    """`own`: this node's addresses, where NodePorts answer."""
    found: Servers = {}
    for key, front in sorted(fronts.items()):
        persistent = f" -p {front.affinity}" if front.affinity else ""
        real = tuple(f"-r {_socket(*backend)} -m -w 1" for backend in _backends(front))
        for address in (key.address,) if key.address else own:
            found[f"{_FLAGS[key.protocol]} {_socket(address, key.port)}"] = (
                f"-s {scheduler}{persistent}",
                *real,
            )
    return found


def _backends(front: Front) -> tuple[Backend, ...]:
    """Without a local endpoint the node and its pods may still go to others; a client outside that does gets
    no response that it would take (kube-proxy's choice: a virtual server knows no sources).
    """
    return front.backends or (front.cluster if front.splits else ())


def node_port_addresses(ranges: tuple[str, ...], local: Iterable[str], family: str) -> list[str]:
    """Of this node's addresses those that take NodePorts: never loopback, which IPVS cannot serve."""
    networks = [*of_family(ranges, family)]
    never = [*of_family((LOOPBACK[family], "fe80::/10"), family)]
    return sorted(
        address
        for address in set(local)
        if address_of(address, family)
        and not contains(never, address)
        and (contains(networks, address) if ranges else True)
    )


def _socket(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def saved(text: str, excluded: Sequence[Network], family: str) -> Servers:
    """What is there of this family, but for addresses that are another program's."""
    found: Servers = {}
    for line in text.splitlines():
        verb, flag, where, *rest = (*line.split(), "", "", "")
        address = where.rpartition(":")[0].strip("[]")
        name = f"{flag} {where}"
        if verb == "-A" and address_of(address, family) and not contains(excluded, address):
            found[name] = (" ".join(rest).strip(),)
        elif verb == "-a" and name in found:
            found[name] = (*found[name], " ".join(rest).strip())
    return found


def restore_text(before: Servers, after: Servers) -> str:
    """For `ipvsadm --restore`: what differs."""
    return "".join(f"{line}\n" for line in _lines(before, after))


def _lines(before: Servers, after: Servers) -> Iterator[str]:
    for name in sorted(before.keys() - after.keys()):
        yield f"-D {name}"
    for name, (options, *real) in after.items():
        known = before.get(name)
        if known is None:
            yield f"-A {name} {options}"
        elif known[0] != options:
            yield f"-E {name} {options}"
        had = set(known[1:]) if known is not None else set()
        yield from (f"-a {name} {one}" for one in real if one not in had)
        yield from (f"-d {name} {' '.join(one.split()[:2])}" for one in sorted(had - set(real)))
