"""May this address be dialled?

Only addresses that the Kubernetes API gave get here, but whoever may write a pod's status writes them: loopback, metadata
services and this program's own sockets are refused on the very address dialled (CVE-2020-8555, CVE-2022-3294, kubernetes#119270).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Python's own properties call ::ffff:127.0.0.1 no loopback and 168.63.129.16 global, so the list is ours.
REFUSED: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",  # unspecified, "this host" (RFC 1122)
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local, and the metadata service of most clouds
        "100.100.100.200/32",  # metadata: Alibaba Cloud
        "168.63.129.16/32",  # metadata: Azure
        "192.0.0.192/32",  # metadata: Oracle Cloud
        "224.0.0.0/4",  # multicast
        "255.255.255.255/32",
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::254/128",  # metadata: AWS over IPv6
        "fd20:ce::254/128",  # metadata: Google Cloud over IPv6
    )
)
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")


def parse_address(text: str) -> Address | None:
    """None where `text` is no literal address; forms that carry an IPv4 address inside are not unwrapped here."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else address


def embedded_ipv4(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, compatible, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or (address in _COMPATIBLE and int(address) > 1):
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def client_of(text: str) -> str:
    """Whom limits per client are kept for: an IPv6 client is a /64, of which it may use any address (RFC 4862, RFC 8981)."""
    return text if ":" not in text else _prefix(text)


@lru_cache(4096)
def _prefix(text: str) -> str:
    address = parse_address(text)
    if not isinstance(address, ipaddress.IPv6Address):
        return text
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class DialPolicy:
    """`allowed` networks win over the refused ones; `own` are (address, port) of this program's and the API servers' sockets."""

    def __init__(
        self,
        allowed: Iterable[Network] = (),
        own: Iterable[tuple[str, int]] = (),
        own_ports: Iterable[int] = (),
        is_local: Callable[[str], bool] = lambda address: False,
    ) -> None:
        """`own_ports` are this program's on every address of this machine, which `is_local` knows."""
        self._own_ports = frozenset(own_ports)
        self._is_local = is_local
        self._allowed = tuple(allowed)
        self._own = frozenset((_canonical(address), port) for address, port in own)
        self._known: dict[str, tuple[bool, str]] = {}  # address as written -> (verdict, canonical form)

    def permits(self, address: str, port: int) -> bool:
        known = self._known.get(address)
        if known is None:
            if len(self._known) >= 65536:
                self._known.clear()
            known = self._known[address] = (self._judge(address), _canonical(address))
        if not known[0] or (known[1], port) in self._own:
            return False
        return port not in self._own_ports or not self._is_local(known[1])

    def _judge(self, text: str) -> bool:
        address = parse_address(text)
        if address is None:
            return False
        if any(address in network for network in self._allowed):
            return True
        inner = embedded_ipv4(address)
        return not any(a in network for network in REFUSED for a in (address, inner))


def _canonical(text: str) -> str:
    address = parse_address(text)
    return str(embedded_ipv4(address)) if address is not None else text
