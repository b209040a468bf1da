"""Does the bastion do with a request what kube-apiserver does, or on purpose something better?

Seen from both sides of it.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.conformance import fixture
from tests.conformance.api import CountedApi, counted_api
from tests.conformance.backends import Backends
from tests.conformance.cases import Case, load
from tests.conformance.client import Client
from tests.conformance.compare import differences
from tests.conformance.http2 import Http2Client, translated
from tests.conformance.processes import serving
from tests.loopback import own_network

NET = own_network(98)
GROUPS = [
    "access",
    "answers",
    "html",
    "names",
    "paths",
    "redirects",
    "request_headers",
    "requests",
    "upgrades",
]
WHO_AND_WHAT = ["access", "names"]  # what depends on where objects and decisions come from
FOR_LONG = [
    "--authentication-token-webhook-cache-ttl=1h",
    "--authorization-webhook-cache-authorized-ttl=1h",
    "--authorization-webhook-cache-unauthorized-ttl=1h",
]
LISTS = [f"list {resource}" for resource in ("pods", "services", "endpointslices", "nodes")]
BEARER = re.compile(rb"(?i)authorization: bearer +(\S+)")
TARGETS = ["--allow-target-cidr", f"{NET}.0/24", "--enable-node-proxy", "--kubelet-insecure-skip-tls-verify"]


class Stage:
    """The backends, and the loop that they and the client share; it turns only while a case is played."""

    def __init__(self, runner: asyncio.Runner, backends: Backends) -> None:
        self._runner = runner
        self._backends = backends

    def play(self, case: Case, client: Client | Http2Client) -> list[str]:
        return self._runner.run(self._play(case, client))

    async def _play(self, case: Case, client: Client | Http2Client) -> list[str]:
        self._backends.begin(case.backend)
        answer = await client.ask(case)
        return differences(case, answer, await self._backends.end())


CASES = [case for group in GROUPS for case in load(group, NET)]
EVERY_CASE = pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])


@pytest.fixture(scope="session")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with asyncio.Runner() as runner:
        backends = Backends(NET, tmp_path_factory.mktemp("backends"))
        try:
            runner.run(backends.__aenter__())
        except OSError as error:
            if error.errno != errno.EADDRNOTAVAIL:
                raise
            pytest.skip(f"{NET}.0/24 is not on the loopback interface here, as it is on Linux")
        yield Stage(runner, backends)
        runner.run(backends.__aexit__())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Flags that say what is there and who is who."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "cluster.yaml").write_text(yaml.safe_dump_all(fixture.manifests(NET)))
    (folder / "tokens.csv").write_text(fixture.tokens())
    return ["--manifests", str(folder / "cluster.yaml"), "--token-auth-file", str(folder / "tokens.csv")]


@pytest.fixture(scope="session")
def over_manifests(cluster: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with serving(*cluster, *TARGETS, log=tmp_path_factory.mktemp("serve") / "log") as port:
        yield Client(port)


@pytest.fixture(scope="session")
def api(cluster: list[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[CountedApi, Path]]:
    kubeconfig = tmp_path_factory.mktemp("api") / "kubeconfig"
    with counted_api(Path(cluster[1]), Path(cluster[3]), kubeconfig) as counted:
        become("the-bastion", kubeconfig)
        yield counted, kubeconfig


@pytest.fixture(scope="session")
def over_an_api_server(
    api: tuple[CountedApi, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    log = tmp_path_factory.mktemp("serve") / "log"
    with serving("--kubeconfig", str(api[1]), *TARGETS, *FOR_LONG, log=log) as port:
        yield Client(port)


def become(user: str, kubeconfig: Path) -> None:
    """It may do what it needs and no more, as in a cluster; the kubeconfig's first choice may do anything."""
    config = yaml.safe_load(kubeconfig.read_text())
    kubeconfig.write_text(yaml.safe_dump({**config, "current-context": user}))


@EVERY_CASE
def test_over_manifests(case: Case, stage: Stage, over_manifests: Client) -> None:
    verdict(case, stage.play(case, over_manifests))


@EVERY_CASE
def test_over_an_api_server(case: Case, stage: Stage, over_an_api_server: Client) -> None:
    verdict(case, stage.play(case, over_an_api_server))


# A few groups; all of them where the kits are run whole.
OVER_HTTP2 = [
    case
    for case in CASES
    if translated(case) and (case.group in ("access", "request_headers") or os.environ.get("KITS_HTTP2"))
]


@pytest.mark.parametrize("case", OVER_HTTP2, ids=[case.name for case in OVER_HTTP2])
def test_over_http2(case: Case, stage: Stage, over_manifests: Client) -> None:
    verdict(case, stage.play(case, Http2Client(over_manifests.port)))


def test_the_api_server_is_asked_once_for_what_can_be_remembered(
    stage: Stage, over_an_api_server: Client, api: tuple[CountedApi, Path]
) -> None:
    """Of who and whether; a name that nobody knows is asked for live, each time.

    And once a minute the bastion asks about itself.
    """
    played = [case for case in CASES if case.group in WHO_AND_WHAT]

    def play() -> Counter[str]:
        for case in played:
            verdict(case, stage.play(case, over_an_api_server))
        return api[0].calls()

    first, second = play(), play()
    assert {call: number for call, number in first.items() if call.startswith("list ")} == dict.fromkeys(
        LISTS, 1
    )
    tokens = {token for case in CASES for token in BEARER.findall(case.request)}
    assert 0 < first["tokenreviews"] <= len(tokens) + 2
    assert first["subjectaccessreviews"] > 0
    live = {
        call: number
        for call, number in (second - first).items()
        if not call.startswith(("watch ", "selfsubject"))
    }
    assert live.pop("tokenreviews", 0) <= 1
    assert all(call.startswith("get ") for call in live), live
    assert sum(live.values()) <= sum(case.expect.get("status") == 404 for case in played)


def verdict(case: Case, found: list[str]) -> None:
    if found:
        pytest.fail("\n".join(filter(None, [case.name, case.note, *found])), pytrace=False)
