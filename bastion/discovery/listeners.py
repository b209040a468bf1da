"""· The listeners of the catalog: called when an address or endpoint is removed, or the data went back."""

from __future__ import annotations

from collections.abc import Callable


class Listeners:
    """Each is called with an address, `went_back` with a reason.

    `address_gone`: no pod has the address any more.  `address_left`: a pod or node no longer has it, though
    others may.  `endpoint_left`: it is no longer ready in a slice, though its pod may live.  `node_gone`: its
    node no longer has it.  `went_back`: the API server's data is an earlier one than ours.
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
