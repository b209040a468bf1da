"""The API server goes and comes back under load, or one of several does; and rights that are taken away are
gone.

SOAK_ROUNDS lets it be away for a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ALICE, BOB, CAROL, NETWORK, TOKENS, Bastion, Cluster, Place, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.wire import ask, assert_status, backend, request
from tests.standalone.objects import pod as manifest_pod

AWAY = 60.0 if "SOAK_ROUNDS" in os.environ else 5.0  # seconds
TTL = 3  # seconds
REMEMBER = (
    *("--authentication-token-webhook-cache-ttl", f"{TTL}s"),
    *(
        "--authorization-webhook-cache-authorized-ttl",
        f"{TTL}s",
        "--authorization-webhook-cache-unauthorized-ttl",
        f"{TTL}s",
    ),
)


class Load:
    """Four clients that ask without end.  `answers` are (begun, status)."""

    def __init__(self, bastion: Bastion, path: str) -> None:
        self._bastion, self._path = bastion, path
        self._over = threading.Event()
        self.answers: list[tuple[float, int]] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Load]:
        threads = [threading.Thread(target=self._ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def _ask(self) -> None:
        with self._bastion.http(ALICE) as http:
            while not self._over.is_set():
                begun = time.monotonic()
                self.answers.append((begun, http.get(self._path).status_code))
                time.sleep(0.01)

    def seen(self, status: int, since: float = 0.0) -> bool:
        return any(code == status and begun >= since for begun, code in self.answers)


@contextlib.contextmanager
def backend_at(address: str) -> Iterator[None]:
    """An echo that answers in a thread of its own, for clients that block."""
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def main() -> None:
        async with backend(address):
            ready.set()
            await stop.wait()

    ready = threading.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(main()))
    thread.start()
    ready.wait(30)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()


def status_of(bastion: Bastion, path: str, token: str = ALICE) -> int:
    return bastion.get(path, token).status_code


def test_it_goes_and_comes_back_under_load(cluster: Cluster, tmp_path: Path) -> None:
    pod, late = cluster.pod(), Place("late", f"{NETWORK}.247")
    (tmp_path / "bastion").mkdir()
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=("--kubeconfig", api.kubeconfig)) as bastion,
        backend_at(pod.address),
        backend_at(late.address),
        Load(bastion, pod.path()).running() as load,
    ):
        bastion.program.until(lambda: len(load.answers) > 50)
        before = api.calls
        api.do(api.doors[0].shut())
        away = time.monotonic()
        api.show([*objects(), manifest_pod(late.name, ip=late.address)])
        # nobody asked about them before: not an allow, not a deny, not a 401
        for token in (BOB, CAROL, "guessed"):
            answer = bastion.get(pod.path(), token)
            assert (answer.status_code, answer.json()["reason"]) == (503, "ServiceUnavailable")
            assert answer.headers["Retry-After"].isdigit()
        bastion.program.until(lambda: load.seen(503))
        lapsed = next(begun for begun, status in load.answers if status == 503)
        while time.monotonic() - away < AWAY:
            assert status_of(bastion, pod.path(), BOB) == 503
            time.sleep(0.2)
        assert bastion.passes("/livez")
        assert {status for _, status in load.answers} == {200, 503}
        later = [status for begun, status in load.answers if begun > lapsed + 1]
        assert later and set(later) == {503}, "what has lapsed is not allowed again"
        api.do(api.doors[0].open())
        back = time.monotonic()
        bastion.program.until(lambda: load.seen(200, back))
        bastion.program.until(
            lambda: (
                api.count("watch ") >= sum(before[call] for call in before if call.startswith("watch ")) + 3
            )
        )
        bastion.program.until(lambda: status_of(bastion, late.path()) == 200)
        assert api.count("list ") == sum(before[call] for call in before if call.startswith("list ")), (
            "watches went on, nothing was listed"
        )


@pytest.mark.parametrize("how", ["shut", "freeze"])
def test_of_two_api_servers_one_is_enough(cluster: Cluster, tmp_path: Path, how: str) -> None:
    """Whichever is in use when it goes; questions that were never asked before are answered all the time."""
    pod, late = cluster.pod(), Place("late", f"{NETWORK}.248")
    (tmp_path / "bastion").mkdir()
    no_memory = [word.replace(f"{TTL}s", "0s") for word in REMEMBER]
    with KubeApi(tmp_path, doors=2) as api:
        both = ("--kubeconfig", api.kubeconfig, "--apiserver", api.urls[0], "--apiserver", api.urls[1])
        with (
            serving(cluster, tmp_path / "bastion", *no_memory, source=both) as bastion,
            backend_at(pod.address),
            backend_at(late.address),
            Load(bastion, pod.path()).running() as load,
        ):
            for number, door in enumerate(api.doors, 1):
                bastion.program.until(lambda: load.answers)
                watches, since = api.count("watch "), time.monotonic()
                api.do(getattr(door, how)())
                api.show([*objects(), manifest_pod(late.name, ip=late.address, labels={"turn": str(number)})])
                bastion.program.until(lambda: sum(begun > since + 2 for begun, _ in load.answers) > 50)  # noqa: B023
                assert api.count("watch ") <= watches + 3, "moved once at most"
                assert status_of(bastion, late.path()) == 200
                api.do(door.open())
                opened = time.monotonic()
                bastion.program.until(lambda: sum(begun > opened + 3 for begun, _ in load.answers) > 10)  # noqa: B023
            assert {status for _, status in load.answers} == {200}, "nobody noticed"
            assert "is not healthy: using" in bastion.program.stderr


# --- rights that are taken away


def revoked(bastion: Bastion, path: str, before: int, after: int) -> None:
    """Asked again and again, the answer changes once."""
    answers = []

    def asked() -> bool:
        answers.append(status_of(bastion, path))
        return answers[-1] == after

    bastion.program.until(asked)
    assert set(answers[:-1]) <= {before}
    assert {status_of(bastion, path) for _ in range(5)} == {after}


def test_a_deleted_binding_ends_access_with_one_more_question(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.pod()
    (tmp_path / "bastion").mkdir()
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=("--kubeconfig", api.kubeconfig)) as bastion,
        backend_at(pod.address),
    ):
        assert status_of(bastion, pod.path()) == 200
        api.show([item for item in objects() if item["metadata"]["name"] != "devs"])
        asked = {
            "resource": "pods",
            "subresource": "proxy",
            "verb": "get",
            "namespace": "default",
            "name": f"{pod.name}:8080",
        }
        bastion.program.until(
            lambda: (
                not api.says("subjectaccessreviews", user="alice", groups=["devs"], resourceAttributes=asked)[
                    "allowed"
                ]
            )
        )
        before = api.calls["subjectaccessreviews"]
        revoked(bastion, pod.path(), 200, 403)
        assert api.calls["subjectaccessreviews"] - before <= 2, (
            "one when what was remembered lapsed, and no more while that is remembered"
        )


def test_a_deleted_token_ends_access_with_one_more_question(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.pod()
    (tmp_path / "bastion").mkdir()
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=("--kubeconfig", api.kubeconfig)) as bastion,
        backend_at(pod.address),
    ):
        assert status_of(bastion, pod.path()) == 200
        api.know("\n".join(line for line in TOKENS.splitlines() if ALICE not in line))
        bastion.program.until(lambda: not api.says("tokenreviews", token=ALICE).get("authenticated"))
        before = api.calls["tokenreviews"]
        revoked(bastion, pod.path(), 200, 401)
        assert api.calls["tokenreviews"] - before <= 2


# --- names that are a moment old


def test_a_pod_is_served_as_soon_as_the_api_server_knows_it(cluster: Cluster, tmp_path: Path) -> None:
    """Even where no watch tells: the door was frozen for those that are open."""
    late = Place("late", f"{NETWORK}.249")
    (tmp_path / "bastion").mkdir()
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *REMEMBER, source=("--kubeconfig", api.kubeconfig)) as bastion,
        backend_at(late.address),
    ):
        assert status_of(bastion, late.path()) == 404
        looks = api.calls["get pods"]
        assert looks == 1
        for _ in range(5):
            assert status_of(bastion, late.path()) == 404
        api.show([*objects(), manifest_pod(late.name, ip=late.address)])
        bastion.program.until(lambda: status_of(bastion, late.path()) == 200)


def test_namespaces_that_are_not_served_are_said_to_be_so(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.pod()
    (tmp_path / "bastion").mkdir()
    served = ("--namespaces", "default,other")
    with (
        KubeApi(tmp_path) as api,
        serving(cluster, tmp_path / "bastion", *served, source=("--kubeconfig", api.kubeconfig)) as bastion,
    ):

        async def main() -> None:
            async with backend(pod.address):
                assert (await ask(bastion, request(pod.path()))).status == 200
                for namespace in ("kube-system", "default2"):
                    answer = await ask(bastion, request(pod.path().replace("/default/", f"/{namespace}/")))
                    assert_status(answer, 404, "NotFound")
                    assert "serves the namespaces default, other only" in answer.json()["message"]

        asyncio.run(main())
        assert api.calls["list pods"] == 2
        assert api.calls["get pods"] == 0
