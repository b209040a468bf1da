"""· Where does a socket listen for a Service's address, where that address cannot be put on this host?

`10.96.0.0/12=127.0.0.1` listens on loopback for every Service of the range: on the Service's port where it
is free.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from bastion.node.addresses import Network, address_of, contains, network_of
from bastion.runtime.errors import ConfigError


class Mapped(msgspec.Struct, frozen=True):
    network: Network
    address: str


def address_map(texts: Iterable[str]) -> tuple[Mapped, ...]:
    """Raises ConfigError."""
    found, mistakes = [], []
    for text in texts:
        given, _, address = text.partition("=")
        network = network_of(given)
        canonical = address_of(address, f"IPv{network.version}") if network is not None else ""
        if network is None or not canonical:
            mistakes.append(f"--userspace-address-map: {text!r} is not RANGE=ADDRESS of one family")
        else:
            found.append(Mapped(network, canonical))
    if mistakes:
        raise ConfigError(mistakes)
    return tuple(found)


def mapped(address: str, mapping: Iterable[Mapped]) -> str:
    """Empty where nothing is mapped there."""
    for one in mapping:
        if contains([one.network], address):
            return one.address
    return ""
