"""· Which tracked UDP flows lead to an endpoint that serves no more?"""

from __future__ import annotations

from collections.abc import Iterable

from bastion.node.claims import ServiceKey
from bastion.node.endpoints import Backend
from bastion.node.fronts import FrontKey, fronts_of
from bastion.node.model import Model


class Stale:
    """Of these Services: by address and port (the node port alone where the address is the node's own) the
    endpoints that serve.  A port without such endpoints is not in it: its flows go on to where they went.

    `local` are the node's addresses, at which node ports are.
    """

    def __init__(
        self, model: Model, services: Iterable[ServiceKey], family: str, local: Iterable[str]
    ) -> None:
        self._local = frozenset(local)
        self._serving: dict[tuple[str, int], set[Backend]] = {}
        for key in services:
            service = model.services.get(key)
            if service is None:
                continue
            pieces = list(model.slices_of(key).values())
            owned = fronts_of(service, pieces, family, model.place)
            for port in service.spec.ports or ():
                if port.protocol != "UDP":
                    continue
                serving = model.serving(key, port.name, family)
                if serving:
                    for front in owned:
                        if self._is_of(front, port.port, port.node_port):
                            self._serving[front.address, front.port] = serving

    def __bool__(self) -> bool:
        return bool(self._serving)

    def __call__(self, to: tuple[str, int], by: tuple[str, int]) -> bool:
        serving = self._serving.get(to)
        if serving is None and to[0] in self._local:
            serving = self._serving.get(("", to[1]))
        return serving is not None and by not in serving

    def _is_of(self, front: FrontKey, port: int, node_port: int) -> bool:
        return front.protocol == "UDP" and front.port == (port if front.address else node_port)
