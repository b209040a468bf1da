"""However a proxied target is spelled, it is never passed on as a call of the API: not where the node proxy
is off, not round the rules for kubelets, and not with an identity that its client made up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.e2e.harness import NODE, Bastion, Cluster, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.wire import Visit, ask, assert_status, backend, request
from tests.standalone.objects import binding, role, rule

KUBELET_PORT = 10250
# Everything is allowed there: what is refused is refused by the bastion's own reading.
ALL = [role("all", rule("*", "*", "*")), binding("devs-all", "ClusterRole/all", "Group/devs")]

CONFIGURATIONS = ("node proxy off", "kubelets by their rules", "impersonate", "requestheader")
MADE_UP = (
    "X-Remote-User: admin",
    "X-Remote-Group: system:masters",
    "Impersonate-User: admin",
    "Impersonate-Group: system:masters",
)
SPELLINGS = (
    "/api/v1/nodes/node-a/prox%79/metrics",
    "/api/v1/nodes/node-a/%70roxy/run/a/b/c",
    "/api/v1/nodes/node-a%2Fproxy/run/a/b/c",
    "/api/v1/nodes/node-a/proxy%2Frun/a/b/c",
    "/api/v1/nodes%2Fnode-a/proxy/exec/a/b/c",
    "/api%2Fv1/nodes/node-a/proxy/exec/a/b/c",
    "/%61pi/v1/nodes/node-a/proxy/exec/a/b/c",
    "/api/%761/nodes/node-a/proxy/metrics",
    "/api/v1/node%73/node-a/proxy/run/a/b/c",
    "/api/v1/namespaces/default/nodes/node-a/proxy/metrics",
    "//api/v1/nodes/node-a/proxy/metrics",
    "/api//v1/nodes/node-a/proxy/metrics",
    "/api/v1//nodes/node-a/proxy/metrics",
    "/api/v1/nodes//node-a/proxy/metrics",
    "/x/../api/v1/nodes/node-a/proxy/metrics",
    "/api/v1/nodes/x/../node-a/proxy/metrics",
    "/api/v1/./nodes/node-a/proxy/metrics",
    "http:/api/v1/nodes/node-a/prox%79/metrics",
    "https://bastion.test/api/v1/nodes/node-a/prox%79/metrics",
    "/api/v1/namespaces/default/services%2Fpair/proxy/",
    "/api/v1/namespaces%2Fdefault%2Fservices%2Fpair%2Fproxy%2F",
    "/api/v1/namespaces/default/pods/live/prox%79/",
)


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KubeApi]:
    with KubeApi(tmp_path_factory.mktemp("api")) as api:
        api.show([*objects(), *ALL])
        yield api


@pytest.fixture(scope="module", params=CONFIGURATIONS)
def front(
    request: pytest.FixtureRequest, cluster: Cluster, api: KubeApi, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Bastion]:
    shown = cluster.pair("front-proxy", client=True)
    flags: tuple[object, ...] = {
        "node proxy off": (),
        "kubelets by their rules": ("--enable-node-proxy", "--kubelet-insecure-skip-tls-verify"),
        "impersonate": ("--pass-through-identity", "impersonate"),
        "requestheader": (
            *("--pass-through-identity", "requestheader"),
            *("--pass-through-client-certificate", shown[0], "--pass-through-client-key", shown[1]),
        ),
    }[request.param]
    folder = tmp_path_factory.mktemp("front")
    source = ("--kubeconfig", api.kubeconfig)
    with serving(cluster, folder, "--pass-through", *flags, source=source) as bastion:
        yield bastion


@pytest.mark.parametrize("made_up", [(), MADE_UP], ids=["as it is", "with an identity made up"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_no_spelling_of_a_target_is_passed_on(
    front: Bastion, cluster: Cluster, method: str, made_up: tuple[str, ...]
) -> None:
    """Each is answered by the bastion, and reaches neither an API server nor a kubelet."""

    async def who(visit: Visit) -> None:
        await visit.message()
        await visit.answer(b"reached")

    async def main() -> None:
        tls = cluster.backend_tls(NODE)
        async with backend(NODE, who, port=KUBELET_PORT, ssl=tls) as kubelet:
            for spelling in SPELLINGS:
                answer = await ask(front, request(spelling, *made_up, method=method, body=None))
                assert answer.one("X-Bastion-Error"), (spelling, answer)
                assert_status(answer, answer.status)
                assert answer.status in (400, 403, 404), (spelling, answer)
            assert kubelet.visits == []

    asyncio.run(main())
    asked = [line for line in front.lines() if "api/" in line["path"] or "%" in line["path"]]
    assert asked
    assert {line["path"] for line in asked if line.get("endpoint")} == set()
