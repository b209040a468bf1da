"""What does the API know at this moment?

Objects, who may do what, whose token is whose; owned by the ApiServer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bastion.kube.user import User, authenticated
from bastion.standalone.contents import contents
from bastion.standalone.manifests import Manifests
from bastion.standalone.rbac import RBAC
from bastion.standalone.resources import Key, Object
from bastion.standalone.store import HISTORY, Changes, Store


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Manifests, worked out: all that takes time is done before it is shown."""

    objects: Mapping[Key, Object]
    rbac: RBAC
    skipped: frozenset[tuple[str, str]]


def snapshot(manifests: Manifests, defaults: Mapping[Key, Object]) -> Snapshot:
    """`defaults` are objects that are there unless a manifest has one of the same name."""
    objects = contents(manifests.objects, defaults)
    return Snapshot(objects, RBAC(objects.values()), manifests.skipped)


class State:
    """`fixed` tokens outlive every file."""

    def __init__(self, fixed: Mapping[str, User], revision: int, history: int = HISTORY) -> None:
        self.store = Store(revision, history)
        self.rbac = RBAC(())
        self.tokens: Mapping[str, User] = {}
        self._fixed = fixed
        self._objects: Mapping[Key, Object] = {}
        self._statuses: dict[Key, Object] = {}  # written by clients; they outlive a change of the files

    def show(self, snapshot: Snapshot, time: str) -> Changes:
        """From now on this is what there is; `time` is RFC 3339."""
        self.rbac = snapshot.rbac
        self._objects = snapshot.objects
        self._statuses = {key: one for key, one in self._statuses.items() if key in self._objects}
        return self._shown(time)

    def write_status(self, key: Key, status: Object, time: str) -> Changes:
        """Of an object that is there."""
        self._statuses[key] = status
        return self._shown(time)

    def _shown(self, time: str) -> Changes:
        written = {key: {**self._objects[key], "status": one} for key, one in self._statuses.items()}
        return self.store.replace({**self._objects, **written}, time)

    def user(self, token: str) -> User | None:
        """None for a token that nobody has."""
        user = self._fixed.get(token) or self.tokens.get(token)
        return authenticated(user) if user is not None else None
