"""The commands for people, against a living bastion: named by its URL, or by a kubeconfig's context."""

from __future__ import annotations

import asyncio
import base64
import functools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from bastion.kube.documents import yaml_of
from tests.e2e.harness import ALICE, BOB, PORT, ROOT, Bastion, Cluster, serving
from tests.e2e.wire import Visit, backend
from tests.standalone.objects import binding

Ran = subprocess.CompletedProcess[bytes]


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """Alice may everything, by token or certificate."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"), binding("alice", "ClusterRole/proxy", "User/alice"))
    folder = tmp_path_factory.mktemp("people")
    with serving(cluster, folder, "--enable-tunnels", "--client-ca-file", cluster.ca) as running:
        yield running


def by_url(bastion: Bastion, token: str = ALICE) -> list[object]:
    return ["--bastion", bastion.url, "--token", token, "--certificate-authority", bastion.cluster.ca]


def by_certificate(bastion: Bastion) -> list[object]:
    certificate, key = bastion.cluster.pair("alice", client=True)
    shown = ["--client-certificate", certificate, "--client-key", key]
    return ["--server", bastion.url, "--certificate-authority", bastion.cluster.ca, *shown]


def by_context(bastion: Bastion, folder: Path, **user: str) -> list[object]:
    """`user` as a kubeconfig has it; alice's token where nothing is said."""
    pem = base64.b64encode(bastion.cluster.ca.read_bytes()).decode()
    at = {"server": bastion.url, "certificate-authority-data": pem}
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": at}],
        "users": [{"name": "u", "user": user or {"token": ALICE}}],
        "contexts": [{"name": "people", "context": {"cluster": "c", "user": "u"}}],
    }
    file = folder / "config"
    file.write_text(yaml_of(config))
    return ["--kubeconfig", file, "--context", "people"]


async def run(*words: object, stdin: bytes = b"") -> Ran:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BASTION_")}

    def once() -> Ran:
        return subprocess.run(
            [sys.executable, "-m", "bastion", *map(str, words)],
            cwd=ROOT,
            env=environment,
            input=stdin,
            capture_output=True,
            timeout=60,
        )

    return await asyncio.to_thread(once)


def awaited(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*args: Any, **more: Any) -> None:
        asyncio.run(test(*args, **more))

    return run


async def say(visit: Visit) -> None:
    message = await visit.message()
    await visit.answer(json.dumps({"line": message.start.removesuffix(" HTTP/1.1")}).encode())


@awaited
async def test_what_a_target_answers(people: Bastion, tmp_path: Path) -> None:
    pod = people.cluster.pod()
    target = f"pod/default/{pod.name}:{PORT}/a//b?c"
    async with backend(pod.address, say):
        for way in (by_url(people), by_context(people, tmp_path), by_certificate(people)):
            ran = await run("get", target, *way, "-o", "jsonpath={.line}")
            assert (ran.returncode, ran.stdout) == (0, b"GET /a//b?c"), ran.stderr
        ran = await run("get", "-n", "default", f"pod/{pod.name}:{PORT}", *by_url(people))
        assert json.loads(ran.stdout) == {"line": "GET /"}
    refused = await run("get", target, *by_url(people, BOB))
    assert refused.returncode == 1 and b'resource "pods/proxy"' in refused.stderr


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@awaited
async def test_curl_gets_token_certificate_and_authority(people: Bastion, tmp_path: Path) -> None:
    pod = people.cluster.pod()
    certificate, key = people.cluster.pair("alice", client=True)
    files = {"client-certificate": str(certificate), "client-key": str(key)}
    ways = (by_url(people), by_certificate(people), by_context(people, tmp_path, **files))
    async with backend(pod.address, say):
        for way in ways:
            ran = await run("curl", f"pod/default/{pod.name}:{PORT}/x/../y", *way, "--", "-sS", "-d", "z")
            assert (ran.returncode, ran.stdout) == (0, b'{"line": "POST /x/../y"}'), ran.stderr
    assert (await run("curl", "pod/a/b", *by_url(people), "--", "--no-such-flag")).returncode == 2


@awaited
async def test_what_may_be_opened(people: Bastion, tmp_path: Path) -> None:
    ran = await run("targets", "svc", "-o", "name", *by_context(people, tmp_path))
    assert ran.returncode == 0 and b"svc/default/pair\n" in ran.stdout
    ran = await run("status", "-n", "default", *by_url(people), "-o", "json")
    assert {item["namespace"] for item in json.loads(ran.stdout)["items"]} == {"default"}
    ran = await run("open", "--print", "svc/default/pair", *by_url(people))
    path = "/api/v1/namespaces/default/services/pair/proxy/"
    assert (ran.returncode, ran.stdout) == (0, f"{people.url}{path}\n".encode()), ran.stderr


@awaited
async def test_why_and_probe_have_the_same_words(people: Bastion, tmp_path: Path) -> None:
    pod = people.cluster.pod()
    target = ("-n", "default", f"pod/{pod.name}:{PORT}")
    for way in (by_url(people), by_context(people, tmp_path)):
        why = await run("why", "-", "get", *target, *way)
        assert why.returncode == 0 and f"alice get pods/default/{pod.name}:{PORT}".encode() in why.stdout
    assert (await run("why", "-", "get", *target, *by_url(people, BOB))).returncode == 1
    assert (await run("why", "-", "get", *target, *by_url(people, "guessed"))).returncode == 2
    async with backend(pod.address, say):
        well = await run(
            "probe", f"pods/default/{pod.name}:{PORT}/x", "--module", "http_2xx", *by_url(people)
        )
        assert well.returncode == 0, well.stderr
    ill = await run("probe", *target, "--module", "http_2xx", *by_context(people, tmp_path))
    assert ill.returncode == 1, ill.stderr
    assert (await run("probe", *target, *by_url(people, BOB))).returncode == 2


@awaited
async def test_standard_input_and_output_are_an_end(people: Bastion) -> None:
    pod = people.cluster.pod()

    async def count(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"%d" % len(await reader.read(-1)))
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(count, pod.address, 7000):
        for words in ((f"pod/{pod.name}", "7000"), (f"{pod.name}.default.pod:7000",)):
            ran = await run("tunnel", "--stdio", *words, *by_url(people), stdin=b"x" * 100_000)
            assert (ran.returncode, ran.stdout) == (0, b"100000"), ran.stderr
    refused = await run("tunnel", "--stdio", f"pod/{pod.name}", "7000", *by_url(people, BOB))
    assert refused.returncode == 1 and b"create" in refused.stderr


@awaited
async def test_a_mistake_is_status_2(people: Bastion) -> None:
    for words in (
        ("get", "web"),
        ("why", "bob", "get", "deploy/web"),
        ("probe",),
        ("tunnel", "svc/db", "x:y:z"),
    ):
        ran = await run(*words, *by_url(people))
        assert (ran.returncode, ran.stdout) == (2, b""), ran.stderr
    alone = await run("get", "svc/a/b", "--server", people.url, "--client-key", "x")
    assert alone.returncode == 2 and b"belong together" in alone.stderr
