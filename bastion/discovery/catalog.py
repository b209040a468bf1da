"""An indexed copy of the objects that are watched: who has which name, which address, which service.

Pure: changes come in by `apply` and `replace`, look-ups read.  A look-up costs a dictionary access; what was worked
out for a service or a pod (`memo`) is dropped when one of the objects it came from changes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, TypeVar

from bastion.kube.objects import EndpointSlice, Node, Object, Pod, Service

T = TypeVar("T")
Key = tuple[str, str]  # (namespace, name)
Memo = dict[Key, dict[Any, Any]]


class Catalog:
    def __init__(self) -> None:
        self.pods: dict[Key, Pod] = {}
        self.services: dict[Key, Service] = {}
        self.nodes: dict[str, Node] = {}
        self._slices: dict[Key, EndpointSlice] = {}
        self._slices_of: dict[Key, dict[Key, EndpointSlice]] = {}
        # Tuples: nearly always of one, and fifty thousand dictionaries or sets of one would take 15 MiB.
        self._pods_at: dict[str, tuple[Pod, ...]] = {}
        self._services_at: dict[str, tuple[Key, ...]] = {}  # address -> services whose slices name it
        self.memo: Memo = {}  # what a resolver worked out, per service
        self.pod_memo: Memo = {}  # and per pod
        self.synced: dict[str, bool] = {}  # per resource: has a whole list been seen?
        self.refused: set[str] = set()  # of the resources not synced, those that the API server does not let the bastion list
        self._unread: set[tuple[str, str]] = set()  # (resource, namespace) of lists that have not been seen to their end
        self.address_gone: list[Callable[[str], None]] = []  # told of an address that its pod no longer has

    # --- look-ups

    def slices_of(self, namespace: str, service: str) -> Iterable[EndpointSlice]:
        return self._slices_of.get((namespace, service), {}).values()

    def owner_of(self, address: str) -> Pod | None:
        """The pod that an address belongs to: of several live ones on the pod network the newest.

        Pods that have ended own nothing.  Pods of the host network share their node's address, so they own it together:
        the answer is one of them, and `owns` is the question to ask about one.
        """
        live = [pod for pod in self._pods_at.get(address, ()) if not pod.terminal]
        own = [pod for pod in live if not pod.spec.host_network]
        return max(own or live, key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.uid), default=None)

    def owns(self, pod: Pod, address: str) -> bool:
        pods = self._pods_at.get(address, ())
        if pod.terminal or pod not in pods:
            return False
        if len(pods) == 1:
            return True
        owner = self.owner_of(address)
        return owner is not None and (owner is pod or (owner.spec.host_network and pod.spec.host_network))

    # --- changes

    def apply(self, resource: str, new: Object | None, key: Key) -> None:
        """One object was added or changed, or (None) deleted."""
        if resource == "pods":
            self._apply_pod(key, new if isinstance(new, Pod) else None)
        elif resource == "services":
            self._apply_service(key, new if isinstance(new, Service) else None)
        elif resource == "endpointslices":
            self._apply_slice(key, new if isinstance(new, EndpointSlice) else None)
        elif isinstance(new, Node):
            self.nodes[key[1]] = new
        else:
            self.nodes.pop(key[1], None)

    def expect(self, resource: str, namespace: str = "") -> None:
        """A list of this resource (of one namespace, where one is named) is going to be read."""
        self._unread.add((resource, namespace))
        self.synced[resource] = False

    def retain(self, resource: str, keys: Collection[Key], namespace: str = "") -> None:
        """A whole list was seen: what it did not hold is gone."""
        for key in [key for key in self._keys(resource) if key not in keys and (not namespace or key[0] == namespace)]:
            self.apply(resource, None, key)
        self.refused.discard(resource)
        self._unread.discard((resource, namespace))
        self.synced[resource] = all(unread != resource for unread, _ in self._unread)

    def keys(self, resource: str) -> set[Key]:
        return set(self._keys(resource))

    def _keys(self, resource: str) -> Iterable[Key]:
        if resource == "pods":
            return self.pods
        if resource == "services":
            return self.services
        return self._slices if resource == "endpointslices" else [("", name) for name in self.nodes]

    def _apply_pod(self, key: Key, new: Pod | None) -> None:
        old = self.pods.get(key)
        if old == new:
            return
        if old is not None:
            for address in old.addresses:
                self._forget_at(address)
                _leave(self._pods_at, address, old)
        if new is not None:
            self.pods[key] = new
            for address in new.addresses:
                _join(self._pods_at, address, new)
                self._forget_at(address)
        else:
            del self.pods[key]
        if old is not None:
            self._say_gone(old, new)

    def _forget_at(self, address: str) -> None:
        """What was worked out for the services and the pods there: whose the address is may have changed."""
        for service in self._services_at.get(address, ()):
            self.memo.pop(service, None)
        for pod in self._pods_at.get(address, ()):
            self.pod_memo.pop((pod.metadata.namespace, pod.metadata.name), None)

    def _say_gone(self, old: Pod, new: Pod | None) -> None:
        """Of the host network's pods only the last one takes the address along."""
        kept = new.addresses if new is not None and not new.terminal and new.metadata.uid == old.metadata.uid else ()
        for address in old.addresses:
            if address not in kept and not (old.spec.host_network and self.owner_of(address) is not None):
                for tell in self.address_gone:
                    tell(address)

    def _apply_service(self, key: Key, new: Service | None) -> None:
        if new is None:
            self.services.pop(key, None)
        else:
            self.services[key] = new
        self.memo.pop(key, None)

    def _apply_slice(self, key: Key, new: EndpointSlice | None) -> None:
        old = self._slices.get(key)
        if old == new:
            return
        if new is not None and not new.service:
            new = None
        if old is not None:
            del self._slices[key]
            self._unindex_slice(key, old, kept=new if new is not None and new.service == old.service else None)
        if new is not None:
            self._slices[key] = new
            service = (key[0], new.service)
            self._slices_of.setdefault(service, {})[key] = new
            for address in _addresses(new):
                if service not in self._services_at.get(address, ()):
                    _join(self._services_at, address, service)
            self.memo.pop(service, None)

    def _unindex_slice(self, key: Key, old: EndpointSlice, kept: EndpointSlice | None) -> None:
        """`kept` is what takes the place of `old`, of the same service."""
        service = (key[0], old.service)
        remaining = self._slices_of.get(service, {})
        remaining.pop(key, None)
        if not remaining:
            self._slices_of.pop(service, None)
        self.memo.pop(service, None)
        gone = _addresses(old) - (_addresses(kept) if kept is not None else set())
        for other in remaining.values() if gone else ():
            gone -= _addresses(other)
        for address in gone:
            _leave(self._services_at, address, service)


def _addresses(piece: EndpointSlice) -> set[str]:
    return {address for endpoint in piece.endpoints or () for address in endpoint.addresses}


def _join(index: dict[str, tuple[T, ...]], address: str, one: T) -> None:
    index[address] = (*index.get(address, ()), one)


def _leave(index: dict[str, tuple[T, ...]], address: str, one: T) -> None:
    others = tuple(other for other in index.get(address, ()) if other != one)
    if others:
        index[address] = others
    else:
        index.pop(address, None)
