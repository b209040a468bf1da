"""· Which pods of a namespace are not ready?  Few are, and they tell why a service leads nowhere."""

from __future__ import annotations

from collections.abc import Collection

from bastion.kube.objects import Pod, UnreadyStatus


class Unready:
    def __init__(self) -> None:
        self._pods: dict[str, dict[str, Pod]] = {}  # by namespace and name

    def of(self, namespace: str) -> Collection[Pod]:
        return self._pods.get(namespace, {}).values()

    def note(self, namespace: str, name: str, pod: Pod | None) -> None:
        """As it is now; None: it is gone."""
        if pod is not None and isinstance(pod.status, UnreadyStatus):
            self._pods.setdefault(namespace, {})[name] = pod
        elif (known := self._pods.get(namespace)) is not None:
            known.pop(name, None)
            if not known:
                del self._pods[namespace]
