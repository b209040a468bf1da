"""· An index of the watched objects by name, by address and by service.

Pure: `apply` and `retain` change it.  A look-up costs a dictionary access; results cached for a service, a
slice or a pod (`memos`) are dropped when one of their objects changes.  The cost of a change depends on what
changed, not on how many other objects its tenant has.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import islice

from bastion.discovery.index import Index, Memos, PodsAt
from bastion.discovery.kubelets import DEFAULT_KUBELET_PORT, Kubelets
from bastion.discovery.listeners import Annotated, Ending, Listeners, tell
from bastion.discovery.slices import ending, named, ready
from bastion.discovery.unready import Unready
from bastion.kube.objects import EndpointSlice, Node, Object, Pod, Service

WIDE = 256  # slices that name one pod: with more it is cheaper to drop the whole namespace
LOOKED_AT = 2048  # keys compared in one step of `retain`
TAKEN_OUT = 64  # objects removed in one step of `retain`,
ENDPOINTS = 32  # where so many endpoints of a slice count as one

Key = tuple[str, str]  # (namespace, name)


class Catalog:
    def __init__(self) -> None:
        self.pods: dict[Key, Pod] = {}
        self.services: dict[Key, Service] = {}
        self.nodes: dict[str, Node] = {}
        self._slices: dict[Key, EndpointSlice] = {}
        self._slices_of: dict[Key, dict[Key, EndpointSlice]] = {}
        self._naming: dict[str, Index[Key]] = {}  # namespace -> its pods by name -> its slices that name them
        self._at = PodsAt()
        self.unready = Unready()
        self._kubelets = Kubelets()
        self.memos = Memos()
        self.revision = 0  # changes with whatever may change where a target leads
        self.synced: dict[str, bool] = {}  # per resource: was a whole list read?
        # of the resources not synced, those that the API server does not let the bastion list
        self.refused: set[str] = set()
        # (resource, namespace) of lists that were not yet read to the end
        self._unread: set[tuple[str, str]] = set()
        self.listeners = Listeners()

    def statistics(self) -> dict[str, int]:
        """How many objects are known, by resource; only of what is watched."""
        known = {"services": len(self.services), "pods": len(self.pods), "nodes": len(self.nodes)}
        return {resource: count for resource, count in known.items() if resource in self.synced}

    # --- look-ups

    def is_kubelet(self, address: str, port: int) -> bool:
        """Whether a node's kubelet listens there.

        An unknown node is recognized by its pods of the host network, which have its address.
        """
        ports = self._kubelets.ports(address)
        if ports:
            return port in ports
        return port == DEFAULT_KUBELET_PORT and bool(self._at.host.get(address))

    def slices_of(self, namespace: str, service: str) -> Mapping[Key, EndpointSlice]:
        return self._slices_of.get((namespace, service), {})

    def owner_of(self, address: str) -> Pod | None:
        """The pod that an address belongs to: of several live ones on the pod network the newest.

        Terminated pods own nothing.  Pods of the host network share their node's address: this returns one of
        them, and `owns` decides for each.
        """
        own = self._at.own.get(address)
        keys = own or islice(self._at.host.get(address), 1)
        return max(
            (self.pods[key] for key in keys),
            key=lambda pod: (pod.metadata.creation_timestamp or "", pod.metadata.uid),
            default=None,
        )

    def owns(self, pod: Pod, address: str) -> bool:
        key = (pod.metadata.namespace, pod.metadata.name)
        own = self._at.own.get(address)
        if pod.spec.host_network:
            return not own and key in self._at.host.get(address)
        return key in own and (len(own) == 1 or self.owner_of(address) is self.pods[key])

    # --- changes

    def doubt(self, why: str) -> None:
        """Requests new lists of all resources: the API server's data went back in time."""
        tell(self.listeners.went_back, why)

    def apply(self, resource: str, new: Object | None, key: Key) -> None:
        """One object was added or changed, or (None) deleted."""
        self.revision += 1
        if resource == "pods":
            self._apply_pod(key, new if isinstance(new, Pod) else None)
        elif resource == "services":
            self._apply_service(key, new if isinstance(new, Service) else None)
        elif resource == "endpointslices":
            self._apply_slice(key, new if isinstance(new, EndpointSlice) else None)
        else:
            self._apply_node(key[1], new if isinstance(new, Node) else None)

    def expect(self, resource: str, namespace: str = "") -> None:
        """A list of this resource (of one namespace, where one is given) will be read."""
        self.revision += 1
        self._unread.add((resource, namespace))
        self.synced[resource] = False

    def retain(self, resource: str, keys: Collection[Key], namespace: str = "") -> Iterator[None]:
        """A whole list was read: removes what it did not hold.

        Works in steps: it is done once the iterator is exhausted.
        """
        known = iter(list(self._keys(resource)))
        while some := list(islice(known, LOOKED_AT)):
            work = 0
            for key in [key for key in some if key not in keys and (not namespace or key[0] == namespace)]:
                work += self._weight(resource, key)
                self.apply(resource, None, key)
                if work >= TAKEN_OUT:
                    work = 0
                    yield
            yield
        self.revision += 1
        self.refused.discard(resource)
        self._unread.discard((resource, namespace))
        self.synced[resource] = all(unread != resource for unread, _ in self._unread)

    def holds(self, resource: str, key: Key) -> bool:
        if resource == "nodes":
            return key[1] in self.nodes
        return key in (
            self.pods if resource == "pods" else self.services if resource == "services" else self._slices
        )

    def _weight(self, resource: str, key: Key) -> int:
        """The cost of removing an object; each endpoint of a slice is in an index."""
        return 1 + len(self._slices[key].endpoints or ()) // ENDPOINTS if resource == "endpointslices" else 1

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
            self._forget_around(key, old)
            self._index_pod(key, old, Index.leave)
        if new is not None:
            self.pods[key] = new
            self._say_annotated(old, new)
            self._index_pod(key, new, Index.join)
            self._forget_around(key, new)
            for address in new.addresses if old is None or old.metadata.uid != new.metadata.uid else ():
                if len(self._at.own.get(address)) > 1 and not new.spec.host_network:
                    tell(self.listeners.address_left, address)  # the pod that had it before is still there
        else:
            del self.pods[key]
        self.unready.note(*key, new)
        if old is not None:
            self._say_gone(old, new)

    def _index_pod(self, key: Key, pod: Pod, change: Callable[[Index[Key], str, Key], None]) -> None:
        """Terminated pods keep their addresses, by the thousand, and own nothing."""
        index = self._at.host if pod.spec.host_network else self._at.own
        for address in () if pod.terminal else pod.addresses:
            change(index, address, key)

    def _forget_around(self, key: Key, pod: Pod) -> None:
        """Drops cached results of a pod and of those at its addresses, whose owner may have changed."""
        self._forget_pod(key)
        for address in pod.addresses:
            for other in self._at.own.get(address):
                if other != key:
                    self._forget_pod(other)
            # A pod of the host network never takes an address from another.
            for other in () if pod.spec.host_network else self._at.host.get(address):
                self._forget_pod(other)

    def _forget_pod(self, key: Key) -> None:
        namespace, name = key
        self.memos.pods.forget(namespace, name)
        index = self._naming.get(namespace)
        slices = index.get(name) if index is not None else ()
        if len(slices) > WIDE:
            self.memos.services.forget_all(namespace)
            self.memos.slices.forget_all(namespace)
            return
        for piece in slices:
            self.memos.slices.forget(*piece)
            self.memos.services.forget(namespace, self._slices[piece].service)

    def _say_annotated(self, old: Annotated | None, new: Annotated) -> None:
        said = new.metadata.annotations
        if said is not None and (old is None or old.metadata.annotations != said):
            tell(self.listeners.annotated, new)

    def _say_gone(self, old: Pod, new: Pod | None) -> None:
        """An address of the host network is gone only with its last pod."""
        kept = (
            new.addresses
            if new is not None and not new.terminal and new.metadata.uid == old.metadata.uid
            else ()
        )
        for address in old.addresses:
            if address not in kept:
                tell(self.listeners.address_left, address)
            if address not in kept and not (old.spec.host_network and self.owner_of(address) is not None):
                tell(self.listeners.address_gone, address)

    def _apply_node(self, name: str, new: Node | None) -> None:
        old = self.nodes.pop(name, None)
        if new is not None:
            self.nodes[name] = new
        if old != new:
            self._kubelets.replace(old, new)
        if old is not None:
            same = new is not None and new.metadata.uid == old.metadata.uid
            kept = (
                [address.address for address in new.status.addresses or ()]
                if same and new is not None
                else ()
            )
            for address in dict.fromkeys(address.address for address in old.status.addresses or ()):
                if address not in kept:
                    tell(self.listeners.address_left, address)
                    tell(self.listeners.node_gone, address)

    def _apply_service(self, key: Key, new: Service | None) -> None:
        if new is None:
            self.services.pop(key, None)
        else:
            self._say_annotated(self.services.get(key), new)
            self.services[key] = new
        self.memos.services.forget(*key)

    def _apply_slice(self, key: Key, new: EndpointSlice | None) -> None:
        old = self._slices.get(key)
        if old == new:
            return
        if new is not None and not new.service:
            new = None
        before, after = named(old), named(new)
        index = self._naming.setdefault(key[0], Index())
        for name in before - after:
            index.leave(name, key)
        for name in after - before:
            index.join(name, key)
        if not index:
            del self._naming[key[0]]
        self.memos.slices.forget(*key)
        if old is not None:
            del self._slices[key]
            self._leave_service(key, old.service)
        if new is not None:
            self._slices[key] = new
            self._slices_of.setdefault((key[0], new.service), {})[key] = new
            self.memos.services.forget(key[0], new.service)
        if old is not None and self.listeners.endpoint_left:
            for address in ready(old) - ready(new):
                tell(self.listeners.endpoint_left, address)
        if new is not None and self.listeners.endpoint_ends:
            for address in ending(new) - ending(old):
                tell(self.listeners.endpoint_ends, Ending(key[0], new.service, address))

    def forget_service(self, key: Key) -> None:
        """Something else has changed that its endpoints depend on."""
        self.revision += 1
        self.memos.services.forget(*key)

    def _leave_service(self, key: Key, name: str) -> None:
        service = (key[0], name)
        remaining = self._slices_of[service]
        del remaining[key]
        if not remaining:
            del self._slices_of[service]
        self.memos.services.forget(*service)
