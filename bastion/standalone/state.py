"""What the API serves at this moment: objects, RBAC and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bastion.kube.user import User, authenticated
from bastion.standalone.contents import contents
from bastion.standalone.leases import Leases
from bastion.standalone.manifests import Manifests
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import Key, Object
from bastion.standalone.store import HISTORY, ChangeCounts, Store
from bastion.standalone.watches import BOOKMARK_INTERVAL


@dataclass(frozen=True, slots=True)
class ClusterContents:
    """The manifests with all that is derived from them: made in a thread, then shown at once.

    `own` are the manifests' objects, `defaults` those that every cluster has.
    """

    objects: Mapping[Key, Object]
    rbac: RBAC
    skipped: frozenset[tuple[str, str]] = frozenset()
    own: Mapping[Key, Object] = field(default_factory=dict)
    defaults: Mapping[Key, Object] = field(default_factory=dict)


def cluster_contents(manifests: Manifests, defaults: Mapping[Key, Object]) -> ClusterContents:
    """A manifest wins over an object of the same name in `defaults`."""
    objects = contents(manifests.objects, defaults)
    return ClusterContents(objects, RBAC(objects.values()), manifests.skipped, manifests.objects, defaults)


@dataclass(frozen=True, slots=True)
class Written:
    """What a client made of an object, None where it was deleted.  `base`: what the files said of it then."""

    object: Object | None
    base: Object | None


class ClusterState:
    """`fixed` tokens are valid beside those of the file."""

    def __init__(
        self,
        fixed: Mapping[str, User],
        revision: int,
        history: int = HISTORY,
        bookmark_interval: float = BOOKMARK_INTERVAL,
    ) -> None:
        self.store = Store(revision, history)
        self.leases = Leases(revision, bookmark_interval)
        self.rbac = RBAC(())
        self.tokens: Mapping[str, User] = {}
        self._fixed = fixed
        self._shown = ClusterContents({}, self.rbac)
        self._written: dict[Key, Written] = {}
        self._objects: Mapping[Key, Object] = {}  # the shown ones with the written ones
        # of Services, by what gives them addresses: often, and nothing is derived from them
        self._statuses: dict[Key, Object] = {}

    def show(self, snapshot: ClusterContents, time: str) -> ChangeCounts:
        """Serves these contents from now on; `time` is RFC 3339.

        What was written stays, but where the files say something new of the object.
        """
        self._shown = snapshot
        self._written = {key: one for key, one in self._written.items() if snapshot.own.get(key) == one.base}
        return self._combine(time)

    def write(self, changes: Mapping[Key, Object | None], time: str) -> ChangeCounts:
        """None deletes."""
        own = self._shown.own
        self._written |= {key: Written(object, own.get(key)) for key, object in changes.items()}
        return self._combine(time)

    def write_status(self, key: Key, status: Object, time: str) -> ChangeCounts:
        """Of a Service that is there."""
        self._statuses[key] = status
        return self._serve(time)

    def _combine(self, time: str) -> ChangeCounts:
        shown, written = self._shown, self._written
        if written:
            own = {key: object for key, object in shown.own.items() if key not in written}
            own |= {key: one.object for key, one in written.items() if one.object is not None}
            defaults = {key: object for key, object in shown.defaults.items() if key not in written}
            self._objects = contents(own, defaults)
            self.rbac = RBAC(self._objects.values())
        else:
            self._objects, self.rbac = shown.objects, shown.rbac
        self._statuses = {key: one for key, one in self._statuses.items() if key in self._objects}
        return self._serve(time)

    def _serve(self, time: str) -> ChangeCounts:
        statuses = {key: {**self._objects[key], "status": one} for key, one in self._statuses.items()}
        return self.store.replace({**self._objects, **statuses}, time)

    def user(self, token: str) -> User | None:
        """None for an unknown token."""
        user = self._fixed.get(token) or self.tokens.get(token)
        return authenticated(user) if user is not None else None
