"""Is each step of the wiring a value of its own?  Against the embedded API."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bastion.settings.config import Config, serve_config
from bastion.wiring.bastion import open_bastion
from bastion.wiring.cluster import RESOURCES, open_cluster, own_sockets
from tests.fakes import run, until

POD = """
apiVersion: v1
kind: Pod
metadata: {{name: {name}, namespace: default}}
spec: {{containers: [{{name: c, image: i}}]}}
"""


def config(folder: Path, pod: str, *flags: str) -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "pod.yaml").write_text(POD.format(name=pod))
    (folder / "tokens.csv").write_text("t,alice,alice\n")
    source = ["--manifests", str(folder / "pod.yaml"), "--token-auth-file", str(folder / "tokens.csv")]
    return serve_config([*source, *flags])


def test_there_can_be_two_clusters(tmp_path: Path) -> None:
    async def main() -> None:
        async with AsyncExitStack() as stack:
            clusters = [await open_cluster(config(tmp_path / name, name), stack) for name in ("east", "west")]
            await until(lambda: all(cluster.ready for cluster in clusters))
            for cluster, name in zip(clusters, ("east", "west"), strict=True):
                assert list(cluster.catalog.pods) == [("default", name)]
                assert {why() for why in cluster.readiness().values()} == {None}
            assert clusters[0].outages.server != clusters[1].outages.server

    run(main())


@pytest.mark.parametrize("flags", [(), ("--enable-node-proxy",)], ids=str)
def test_each_resource_has_a_check_and_a_watch(tmp_path: Path, flags: tuple[str, ...]) -> None:
    async def main() -> list[str]:
        async with AsyncExitStack() as stack:
            cluster = await open_cluster(config(tmp_path, "web", *flags), stack)
            return list(cluster.readiness())

    watched = [*RESOURCES, *(["nodes"] if flags else [])]
    assert run(main()) == [*watched, *(f"watch-{resource}" for resource in watched), "reviews"]


def test_readiness_fails_once_the_server_stops(tmp_path: Path) -> None:
    async def main() -> None:
        log = os.open(os.devnull, os.O_WRONLY)
        async with open_bastion(config(tmp_path, "web"), log) as bastion:
            await bastion.synced()
            sent: list[dict[str, object]] = []

            async def status() -> object:
                sent.clear()

                async def send(message: dict[str, object]) -> None:
                    sent.append(message)

                async def receive() -> dict[str, object]:
                    return {"type": "http.request"}

                scope = {
                    "type": "http",
                    "method": "GET",
                    "path": "/readyz",
                    "raw_path": b"/readyz",
                    "query_string": b"",
                    "headers": [(b"host", b"bastion.test")],
                    "client": ("127.0.0.1", 1),
                    "scheme": "http",
                    "http_version": "1.1",
                }
                await bastion.app(scope, receive, send)  # type: ignore[arg-type]
                return sent[0]["status"]

            assert await status() == 200
            bastion.state.stopping.set()
            assert await status() == 500
        os.close(log)

    run(main())


@pytest.mark.parametrize(
    ("flags", "sockets"),
    [
        ((), {("127.0.0.1", 8443)}),
        (("--bind-address", "0.0.0.0", "--port", "1"), {("0.0.0.0", 1)}),
        (("--insecure-port", "2"), {("127.0.0.1", 8443), ("127.0.0.1", 2)}),
        (("--metrics-bind-address", "127.0.0.3:4"), {("127.0.0.1", 8443), ("127.0.0.3", 4)}),
    ],
    ids=["by default", "another address", "an insecure port", "metrics"],
)
def test_own_sockets(tmp_path: Path, flags: tuple[str, ...], sockets: set[tuple[str, int]]) -> None:
    assert own_sockets(config(tmp_path, "web", *flags)) == sockets
