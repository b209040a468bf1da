"""· What is called where an address, an endpoint or the past has left."""

from __future__ import annotations

from collections.abc import Callable


class Listeners:
    """What is called where something has left.

    `address_gone`: with an address that its pod no longer has.  `address_left`: with one that any pod or
    node no longer has, though others may.  `endpoint_left`: with one that a slice no longer has as ready,
    though its pod may live.  `node_gone`: with one that its node no longer has.  `went_back`: with the reason
    why what is known is of another past than the API server's.
    """

    def __init__(self) -> None:
        self.address_gone: list[Callable[[str], None]] = []
        self.address_left: list[Callable[[str], None]] = []
        self.endpoint_left: list[Callable[[str], None]] = []
        self.node_gone: list[Callable[[str], None]] = []
        self.went_back: list[Callable[[str], None]] = []


def tell(all_of: list[Callable[[str], None]], what: str) -> None:
    for tell in all_of:
        tell(what)
