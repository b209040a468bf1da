"""What the API serves at this moment: objects, RBAC and tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

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
    """The manifests with all that is derived from them: made in a thread, then shown at once."""

    objects: Mapping[Key, Object]
    rbac: RBAC
    skipped: frozenset[tuple[str, str]]


def cluster_contents(manifests: Manifests, defaults: Mapping[Key, Object]) -> ClusterContents:
    """A manifest wins over an object of the same name in `defaults`."""
    objects = contents(manifests.objects, defaults)
    return ClusterContents(objects, RBAC(objects.values()), manifests.skipped)


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
        self._objects: Mapping[Key, Object] = {}
        # written by clients; they outlive a change of the files
        self._statuses: dict[Key, Object] = {}
        self._finalizers: dict[Key, list[str]] = {}

    def show(self, snapshot: ClusterContents, time: str) -> ChangeCounts:
        """Serves these contents from now on; `time` is RFC 3339."""
        self.rbac = snapshot.rbac
        self._objects = snapshot.objects
        self._statuses = {key: one for key, one in self._statuses.items() if key in self._objects}
        self._finalizers = {key: some for key, some in self._finalizers.items() if key in self._objects}
        return self._shown(time)

    def write_status(self, key: Key, status: Object, time: str) -> ChangeCounts:
        """Of an object that is there."""
        self._statuses[key] = status
        return self._shown(time)

    def write_finalizers(self, key: Key, finalizers: list[str], time: str) -> ChangeCounts:
        """Of an object that is there.  They keep nothing from being deleted: the files say what there is."""
        self._finalizers[key] = finalizers
        return self._shown(time)

    def _shown(self, time: str) -> ChangeCounts:
        written = {key: {**self._objects[key], "status": one} for key, one in self._statuses.items()}
        for key, some in self._finalizers.items():
            one = written.get(key, self._objects[key])
            written[key] = {**one, "metadata": {**one["metadata"], "finalizers": some}}
        return self.store.replace({**self._objects, **written}, time)

    def user(self, token: str) -> User | None:
        """None for an unknown token."""
        user = self._fixed.get(token) or self.tokens.get(token)
        return authenticated(user) if user is not None else None
