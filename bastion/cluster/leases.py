"""One Lease of coordination.k8s.io: read, made, written."""

from __future__ import annotations

from typing import Any, Protocol

import orjson

from bastion.cluster.errors import ApiError
from bastion.runtime.turns import BACKGROUND, Asker

NOT_FOUND = 404


class LeaseApi(Protocol):
    """Raises ApiError, StatusError."""

    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes: ...

    async def create(self, path: str, body: bytes, asker: Asker) -> bytes: ...

    async def update(self, path: str, body: bytes, asker: Asker) -> bytes: ...


class Lease:
    """What is read and written is the whole object.  Raises what its API does, ValueError for no JSON."""

    def __init__(self, api: LeaseApi, namespace: str, name: str) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._path = f"/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"

    def __str__(self) -> str:
        return f"{self._namespace}/{self._name}"

    async def read(self) -> dict[str, Any] | None:
        """None where there is none."""
        try:
            return _object(await self._api.get(f"{self._path}/{self._name}", {}, BACKGROUND))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    async def create(self, spec: dict[str, Any], **metadata: dict[str, str]) -> dict[str, Any]:
        """`metadata`: labels, annotations."""
        made = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self._name, "namespace": self._namespace, **metadata},
            "spec": spec,
        }
        return _object(await self._api.create(self._path, orjson.dumps(made), BACKGROUND))

    async def write(self, lease: dict[str, Any]) -> dict[str, Any]:
        return _object(await self._api.update(f"{self._path}/{self._name}", orjson.dumps(lease), BACKGROUND))


def _object(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = orjson.loads(body)
    return found
