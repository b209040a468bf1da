"""· Two Services may name one address and port: which of them has it?

The one whose cluster IP it is (an API server gives each once, where external addresses are free text); else
the older one, and of two of one age the first by name.  The others are told.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from bastion.node.fronts import Front, FrontKey, Fronts, Scope

ServiceKey = tuple[str, str]  # (namespace, name)
Age = tuple[str, str, str]  # (creationTimestamp, namespace, name)


class Claims:
    """`fronts` is what is in force.  `lost` is told of a Service that asks for what another one has."""

    def __init__(self, lost: Callable[[ServiceKey, FrontKey, ServiceKey], None] = lambda *_: None) -> None:
        self.fronts: Fronts = {}
        self._lost = lost
        self._owner: dict[FrontKey, ServiceKey] = {}
        self._asked: dict[ServiceKey, Fronts] = {}
        self._age: dict[ServiceKey, Age] = {}
        self._rivals: dict[FrontKey, set[ServiceKey]] = {}  # of contested ones: all Services that ask

    def put(self, service: ServiceKey, created: str, fronts: Mapping[FrontKey, Front]) -> set[FrontKey]:
        """What the Service asks for now; empty where it is gone.  The keys of what may have changed."""
        before = self._asked.pop(service, {})
        if fronts:
            self._asked[service] = dict(fronts)
            self._age[service] = (created, *service)
        changed = {key for key, front in fronts.items() if before.get(key) != front}
        for key in before.keys() - fronts.keys():
            changed.add(key)
            self._leave(service, key)
        for key in fronts.keys() - before.keys():
            self._join(service, key)
        for key in fronts.keys() & self._rivals.keys():  # its age may be another's of the same name
            first = self._first(key)
            if first != self._owner[key]:
                self._owner[key] = first
                changed.add(key)
        for key in changed:
            self._settle(key)
        if not fronts:
            self._age.pop(service, None)
        return changed

    def services(self) -> Iterator[ServiceKey]:
        return iter(self._asked)

    def _join(self, service: ServiceKey, key: FrontKey) -> None:
        owner = self._owner.get(key)
        if owner is None:
            self._owner[key] = service
            return
        rivals = self._rivals.setdefault(key, {owner})
        rivals.add(service)
        first = self._owner[key] = self._first(key)
        self._lost(owner if first == service else service, key, first)

    def _leave(self, service: ServiceKey, key: FrontKey) -> None:
        rivals = self._rivals.get(key)
        if rivals is None:
            del self._owner[key]
            return
        rivals.discard(service)
        self._owner[key] = self._first(key)
        if len(rivals) == 1:
            del self._rivals[key]

    def _first(self, key: FrontKey) -> ServiceKey:
        def rank(service: ServiceKey) -> tuple[bool, Age]:
            return self._asked[service][key].scope is not Scope.CLUSTER, self._age[service]

        return min(self._rivals[key], key=rank)

    def _settle(self, key: FrontKey) -> None:
        owner = self._owner.get(key)
        if owner is None:
            self.fronts.pop(key, None)
        else:
            self.fronts[key] = self._asked[owner][key]
