"""· The listeners of the catalog: called when an address or endpoint is removed, or the data went back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from bastion.kube.objects import Pod, Service

Annotated = Service | Pod
W = TypeVar("W")


class Ending(NamedTuple):
    """An endpoint of a service that has begun to terminate."""

    namespace: str
    service: str
    address: str


class Listeners:
    """Each is called with an address, `went_back` with a reason, `annotated` with an object that has
    annotations of ours, when it is new or they have changed.

    `address_gone`: no pod has the address any more.  `address_left`: a pod or node no longer has it, though
    others may.  `endpoint_ends`: it terminates from now on.  `endpoint_left`: it is no longer ready in a
    slice, though its pod may live.  `node_gone`: its node no longer has it.  `went_back`: the API server's
    data is an earlier one than ours.
    """

    def __init__(self) -> None:
        self.address_gone: list[Callable[[str], None]] = []
        self.address_left: list[Callable[[str], None]] = []
        self.endpoint_ends: list[Callable[[Ending], None]] = []
        self.endpoint_left: list[Callable[[str], None]] = []
        self.node_gone: list[Callable[[str], None]] = []
        self.annotated: list[Callable[[Annotated], None]] = []
        self.went_back: list[Callable[[str], None]] = []


def tell(all_of: list[Callable[[W], None]], what: W) -> None:
    for tell in all_of:
        tell(what)
