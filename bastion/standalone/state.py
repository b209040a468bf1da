"""What does the API know at this moment?

Objects, who may do what, whose token is whose; owned by the ApiServer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bastion.kube.user import User, authenticated
from bastion.standalone.contents import contents
from bastion.standalone.leases import Leases
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
        self.leases = Leases(revision)
        self.rbac = RBAC(())
        self.tokens: Mapping[str, User] = {}
        self._fixed = fixed

    def show(self, snapshot: Snapshot, time: str) -> Changes:
        """From now on this is what there is; `time` is RFC 3339."""
        self.rbac = snapshot.rbac
        return self.store.replace(snapshot.objects, time)

    def user(self, token: str) -> User | None:
        """None for a token that nobody has."""
        user = self._fixed.get(token) or self.tokens.get(token)
        return authenticated(user) if user is not None else None
