"""A Kubernetes API in this process, whose objects and tokens a test changes while a bastion depends on
them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.standalone.apiserver import ApiServer
from bastion.standalone.resources import Object
from tests.e2e.harness import PORT, Bastion, Cluster, Place, serving
from tests.loopback import free_port, own_network
from tests.standalone.objects import binding, pod, role, rule

NETWORK = own_network(96)
TENANTS = 40
ADDRESS_RANGE = "127.96.0.0/16"
REVIEWS = ("tokenreviews", "subjectaccessreviews")


@dataclass(frozen=True, slots=True)
class Tenant:
    """A user who may `get` and `create` what is behind one pod, and `get` as anybody, by bindings of its
    own.
    """

    number: int

    @property
    def user(self) -> str:
        return f"user-{self.number}"

    @property
    def token(self) -> str:
        return f"user-{self.number}-s3cr3t"

    @property
    def pod(self) -> Place:
        return Place(f"pod-{self.number}", f"{NETWORK}.{self.number}")


class World:
    """Use `running`.  What a test takes away must be its own tenant's."""

    def __init__(self, folder: Path) -> None:
        self._manifests, self._tokens = folder / "world.json", folder / "tokens.csv"
        self._numbers = iter(range(1, TENANTS + 1))
        self._taken: set[tuple[str, str]] = set()
        self._forgotten: set[str] = set()
        self._show()
        self.api = ApiServer([self._manifests], self._tokens, port=free_port(), poll_interval=0.05)

    def tenant(self) -> Tenant:
        return Tenant(next(self._numbers))

    # --- what a test changes; the API and the bastion see it in their own time

    def revoke(self, tenant: Tenant) -> None:
        self._take("RoleBinding", tenant.user)

    def forbid_acting_as_others(self, tenant: Tenant) -> None:
        self._take("ClusterRoleBinding", tenant.user)

    def delete_pod(self, tenant: Tenant) -> None:
        self._take("Pod", tenant.pod.name)

    def forget_token(self, tenant: Tenant) -> None:
        self._forgotten.add(tenant.token)
        self._show()

    def _take(self, kind: str, name: str) -> None:
        self._taken.add((kind, name))
        self._show()

    def _show(self) -> None:
        items = [
            object
            for object in self._objects()
            if (object["kind"], object["metadata"]["name"]) not in self._taken
        ]
        tenants = [Tenant(number) for number in range(1, TENANTS + 1)]
        lines = [
            f"{tenant.token},{tenant.user},{tenant.user}"
            for tenant in tenants
            if tenant.token not in self._forgotten
        ]
        for path, text in (
            (self._manifests, json.dumps({"apiVersion": "v1", "kind": "List", "items": items})),
            (self._tokens, "\n".join(lines) + "\n"),
        ):
            beside = path.with_suffix(".new")
            beside.write_text(text)
            beside.replace(path)

    @staticmethod
    def _objects() -> list[Object]:
        on, identity = (
            rule("impersonate-on:user-info:get", "core", "pods/proxy"),
            rule("impersonate:user-info", "authentication.k8s.io", "users"),
        )
        found = [role("through", rule("get create", "core", "pods/proxy")), role("as-anybody", on, identity)]
        for number in range(1, TENANTS + 1):
            tenant = Tenant(number)
            found.append(pod(tenant.pod.name, ip=tenant.pod.address, ports=[("http", PORT)]))
            found.append(
                binding(tenant.user, "ClusterRole/through", f"User/{tenant.user}", namespace="default")
            )
            found.append(binding(tenant.user, "ClusterRole/as-anybody", f"User/{tenant.user}"))
        return found

    # --- the API server

    async def start(self) -> None:
        await self.api.__aenter__()

    async def stop(self) -> None:
        await self.api.__aexit__()

    def calls(self) -> int:
        return sum(self.api.calls[name] for name in REVIEWS)


@dataclass(slots=True)
class Stage:
    """A world and a bastion that depends on it.  The world's loop turns only while a test runs."""

    world: World
    bastion: Bastion
    runner: asyncio.Runner

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)


@contextlib.asynccontextmanager
async def running(folder: Path, *flags: object) -> AsyncIterator[tuple[World, Bastion]]:
    world, apart = World(folder), folder / "bastion"
    await world.start()
    apart.mkdir()
    kubeconfig = apart / "kubeconfig"
    kubeconfig.write_text(world.api.kubeconfig())
    program = serving(
        Cluster(apart),
        apart,
        "--allow-target-cidr",
        ADDRESS_RANGE,
        "--metrics-authorization=false",
        *flags,
        source=("--kubeconfig", kubeconfig),
    )
    bastion = await asyncio.to_thread(program.__enter__)
    try:
        yield world, bastion
    finally:
        await asyncio.to_thread(program.__exit__, None, None, None)
        await world.stop()
