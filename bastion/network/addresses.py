"""· May this address be dialled?

Only addresses from the Kubernetes API get here, but every user who may write a pod's status can choose one:
loopback, metadata services and this program's own sockets are refused on the very address dialled
(CVE-2020-8555, CVE-2022-3294, kubernetes#119270).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Python's own properties call ::ffff:127.0.0.1 not loopback and 168.63.129.16 global, so the list is ours.
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
        "240.0.0.0/4",  # reserved, and broadcast
        "::/128",
        "::1/128",
        "fe80::/10",
        "ff00::/8",
        "fd00:ec2::23/128",  # metadata: EKS Pod Identity, as 169.254.170.23 is
        "fd00:ec2::254/128",  # metadata: AWS over IPv6
        "fd20:ce::254/128",  # metadata: Google Cloud over IPv6
        "fd00:c1::a9fe:a9fe/128",  # metadata: Oracle Cloud over IPv6
        "fd00:a9fe:a9fe::1/128",  # metadata: Akamai (Linode) over IPv6
        "fd00:42::42/128",  # metadata: Scaleway over IPv6
        # Translated and tunnelled ranges: no pod or node has such an address, and where one leads is unknown.
        "64:ff9b:1::/48",  # NAT64 for local use (RFC 8215)
        "2001::/32",  # Teredo (RFC 4380)
    )
)
_LAST_32_BITS: tuple[ipaddress.IPv6Network, ...] = tuple(
    ipaddress.IPv6Network(text)
    for text in (
        "::ffff:0:0/96",  # IPv4-mapped (RFC 4291)
        "::/96",  # IPv4-compatible (RFC 4291)
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b::/96",  # NAT64 (RFC 6052)
        "64:ff9b:1::/48",
    )
)
# the first half of an interface identifier (RFC 5214); the second is an IPv4 address
_ISATAP = (0x00005EFE, 0x02005EFE)
_IPV4 = 0xFFFFFFFF


def parse_address(text: str) -> Address | None:
    """None where `text` is not a literal address; an IPv4 address inside of an IPv6 one is not unwrapped."""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return None if isinstance(address, ipaddress.IPv6Address) and address.scope_id else address


def unmapped(address: Address) -> Address:
    """The IPv4 address of a peer that came over an IPv6 socket.

    No other form counts: a peer may choose its own IPv6 address.
    """
    return (isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped) or address


def leads_to(address: Address) -> tuple[Address, ...]:
    """The address itself, and the IPv4 addresses that a packet to it may end at: translated, or unpacked from
    a tunnel.
    """
    if isinstance(address, ipaddress.IPv4Address) or int(address) <= 1:
        return (address,)
    number = int(address)
    inside = (
        [number & _IPV4]
        if (number >> 32) & _IPV4 in _ISATAP or any(address in network for network in _LAST_32_BITS)
        else []
    )
    if address.sixtofour is not None:
        inside.append(int(address.sixtofour))
    inside += map(int, address.teredo or ())
    return (address, *map(ipaddress.IPv4Address, inside))


Socket = tuple[str, int]  # (address as text, port)


def client_of(text: str) -> str:
    """The key of limits per client: an IPv6 client is a /64, of which it may use any address (RFC 4862, RFC
    8981).
    """
    return text if ":" not in text else _prefix(text)


@lru_cache(4096)
def _prefix(text: str) -> str:
    address = parse_address(text)
    if not isinstance(address, ipaddress.IPv6Address):
        return text
    return str(ipaddress.ip_network((int(address) >> 64 << 64, 64)))


class DialPolicy:
    """`allowed` networks win over the refused ones; `own` are this program's sockets, and `api_servers`
    returns those of the API servers.
    """

    def __init__(
        self,
        allowed: Iterable[Network] = (),
        own: Iterable[Socket] = (),
        own_ports: Iterable[int] = (),
        is_local: Callable[[str], bool] = lambda address: False,
        api_servers: Callable[[], Iterable[Socket]] = tuple,
        is_kubelet: Callable[[str, int], bool] = lambda address, port: False,
    ) -> None:
        """`own_ports` are this program's on every address of this machine, which `is_local` knows.

        `api_servers` and `is_kubelet` are asked each time, because clusters change.
        """
        self._own_ports = frozenset(own_ports)
        self._is_local = is_local
        self._allowed = tuple(allowed)
        self._own = frozenset((canonical(address), port) for address, port in own)
        self._api_servers = api_servers
        self._is_kubelet = is_kubelet
        # address as written -> (whether it is permitted, where it leads)
        self._known: dict[str, tuple[bool, tuple[str, ...]]] = {}

    def permits(self, address: str, port: int) -> bool:
        permitted, places = self._look(address)
        if not permitted or any((place, port) in self._own for place in places):
            return False
        if port in self._own_ports and any(map(self._is_local, places)):
            return False
        return not any(
            number == port and canonical(server) in places for server, number in self._api_servers()
        )

    def reaches_kubelet(self, address: str, port: int) -> bool:
        return any(self._is_kubelet(place, port) for place in self._look(address)[1])

    def _look(self, text: str) -> tuple[bool, tuple[str, ...]]:
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= 65536:
                self._known.clear()
            known = self._known[text] = self._judge(text)
        return known

    def _judge(self, text: str) -> tuple[bool, tuple[str, ...]]:
        address = parse_address(text)
        if address is None:
            return False, ()
        places = leads_to(address)
        permitted = any(address in network for network in self._allowed) or not any(
            place in network for network in REFUSED for place in places
        )
        return permitted, tuple(map(canonical, map(str, places)))


def canonical(text: str) -> str:
    """One spelling for each destination: a mapped address is the plain one, and the unspecified one is
    loopback, because a connection to it goes there.
    """
    address = parse_address(text)
    if address is None:
        return text
    plain = unmapped(address)
    return _LOOPBACK[plain.version] if plain.is_unspecified else str(plain)


_LOOPBACK = {4: "127.0.0.1", 6: "::1"}
