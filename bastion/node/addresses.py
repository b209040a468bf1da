"""· Addresses and ranges as text from other people's objects: valid, of which family, in one spelling?"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network

IPV4, IPV6 = "IPv4", "IPv6"
FAMILIES = (IPV4, IPV6)
ANY = {IPV4: "0.0.0.0/0", IPV6: "::/0"}
LOOPBACK = {IPV4: "127.0.0.0/8", IPV6: "::1/128"}

Network = IPv4Network | IPv6Network
_OCTETS = frozenset(map(str, range(256)))
_ZEROS = re.compile(r"(?<![0-9])0+(?=[0-9])", re.ASCII)


@lru_cache(65536)
def address_of(text: str, family: str) -> str:
    """In the spelling of RFC 5952; empty where it is no address of this family.

    Objects of old clusters may hold what Kubernetes has always read: decimal numbers with zeros before them,
    and IPv4 addresses mapped into IPv6, which are of IPv4.
    """
    if family == IPV4 and _is_usual(text):
        return text
    try:
        found = ip_address(_without_zeros(text))
    except ValueError:
        return ""
    if isinstance(found, IPv6Address):
        found = found.ipv4_mapped or found
    if f"IPv{found.version}" != family or "%" in text:
        return ""
    return str(found)


def _is_usual(text: str) -> bool:
    """What nearly every address is; `ip_address` takes ten times as long."""
    numbers = text.split(".")
    return len(numbers) == 4 and _OCTETS.issuperset(numbers)


def _without_zeros(text: str) -> str:
    """010.0.0.01 is 10.0.0.1, as Kubernetes reads it."""
    return _ZEROS.sub("", text) if ":" not in text else text


def network_of(text: str) -> Network | None:
    """None where the text is not an address with a prefix length."""
    address, _, length = text.partition("/")
    if not (length.isascii() and length.isdigit()):  # ip_network takes masks, too
        return None
    try:
        return ip_network(f"{_without_zeros(address)}/{int(length)}", strict=False)
    except ValueError:
        return None


def of_family(texts: Iterable[str], family: str) -> Iterator[Network]:
    """Those of the ranges that can be read and belong to the family."""
    for text in texts:
        found = network_of(text.strip())
        if found is not None and f"IPv{found.version}" == family:
            yield found


def collapsed(networks: Iterable[Network]) -> tuple[str, ...]:
    """Sorted, without those that lie in others: interval sets of the kernel take no overlaps."""
    return tuple(str(network) for network in collapse_addresses(networks))  # type: ignore[type-var]


def contains(networks: Iterable[Network], address: str) -> bool:
    found = ip_address(address)
    return any(found in network for network in networks)
