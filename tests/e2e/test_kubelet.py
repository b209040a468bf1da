"""A kubelet is spoken to with the bastion's own certificate; nobody else ever sees that, and nothing of it
serves a pod.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import pytest

from bastion.runtime.certificates import Authority
from tests.e2e.harness import KUBELET_PORT, NODE, OTHER_NODE, Bastion, Cluster, Place
from tests.e2e.wire import Visit, ask, assert_status, backend, request

NODE_A, NODE_B = "/api/v1/nodes/node-a{}/proxy/{}", "/api/v1/nodes/node-b{}/proxy/{}"
ON_NODE = Place("on-node", NODE)


async def who(visit: Visit) -> None:
    """Tells which connection this is, and as whom the other side came."""
    while True:
        await visit.message()
        shown = dict(pair for pairs in (visit.certificate or {}).get("subject", ()) for pair in pairs)
        await visit.answer(f"{visit.number} {shown.get('commonName', 'nobody')}".encode())


@pytest.mark.parametrize("rest", ["/metrics", "/exec/default/web/web?command=id"])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_kubelet_is_reached_as_its_node_alone(
    bastion: Bastion, cluster: Cluster, rest: str, scheme: str
) -> None:
    """A pod of the host network has the node's address, and says it is at the kubelet's port."""

    async def main() -> None:
        async def asked(path: str) -> str:
            return (await ask(bastion, request(path))).body.decode()

        tls = cluster.backend_tls(NODE, wants_certificate=True)
        async with backend(NODE, who, port=KUBELET_PORT, ssl=tls) as behind:
            for _ in range(2):
                assert await asked(NODE_A.format("", "metrics")) == "1 kubelet-client"
                answer = await ask(bastion, request(ON_NODE.path(rest, port=KUBELET_PORT, scheme=scheme)))
                assert_status(answer, 403, "Forbidden")
                assert "that is a kubelet" in answer.json()["message"]
            assert len(behind.visits) == 1

    asyncio.run(main())


@pytest.mark.parametrize("id", ["", ":10250", "%3A10250"])
@pytest.mark.parametrize("scheme", ["", "http:", "https:"])
def test_the_kubelets_port_always_speaks_tls(
    bastion: Bastion, cluster: Cluster, scheme: str, id: str
) -> None:
    if scheme and not id:
        id = ":"

    async def main() -> None:
        tls = cluster.backend_tls(NODE, wants_certificate=True)
        async with backend(NODE, who, port=KUBELET_PORT, ssl=tls):
            path = f"/api/v1/nodes/{scheme}node-a{id}/proxy/stats/summary?x=1"
            assert (await ask(bastion, request(path))).body == b"1 kubelet-client"

    asyncio.run(main())


def test_other_ports_of_a_node_see_no_certificate(bastion: Bastion, cluster: Cluster) -> None:
    async def main() -> None:
        tls = cluster.backend_tls(NODE, wants_certificate=True)
        async with backend(NODE, who, port=9100, ssl=tls), backend(NODE, port=9101) as plain:
            assert (await ask(bastion, request("/api/v1/nodes/https:node-a:9100/proxy/"))).body == b"1 nobody"
            assert (await ask(bastion, request(NODE_A.format(":9101", "")))).status == 200
            assert len(plain.requests) == 1

    asyncio.run(main())


def test_a_kubelet_that_cannot_prove_itself_is_sent_nothing(bastion: Bastion, tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"
    pair = Authority("somebody else").issue([OTHER_NODE])
    certificate.write_bytes(pair.certificate)
    key.write_bytes(pair.key)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)

    async def main() -> None:
        async with backend(OTHER_NODE, port=KUBELET_PORT, ssl=tls) as behind:
            answer = await ask(bastion, request(NODE_B.format("", "metrics")))
            assert_status(answer, 503, "ServiceUnavailable")
            assert "certificate verification failed" in answer.json()["message"]
            assert not behind.requests

    asyncio.run(main())


def test_a_pods_certificate_is_taken_as_it_is_and_it_is_said(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(
            pod.address,
            who,
            port=8443,
            ssl=bastion.cluster.backend_tls("unknown.example", wants_certificate=True),
        ):
            for _ in range(2):
                assert (await ask(bastion, request(pod.path(port="https")))).body == b"1 nobody"
        said = [line for line in bastion.log() if f"{pod.address}:8443" in line["msg"]]
        assert [line["level"] for line in said] == ["warning"]

    asyncio.run(main())


REFUSED = {
    "exec/default/pod/c?command=id": 403,
    "run/default/pod/c": 403,
    "attach/default/pod/c": 403,
    "portForward/default/pod": 403,
    "PortForward/default/pod": 403,
    "checkpoint/default/pod/c": 403,
    "debug/pprof/profile": 403,
    "cri/exec/token": 403,
    "logs/?query=kubelet": 403,
    "logs/../exec/default/pod/c": 400,
    "./exec/default/pod/c": 400,
    "/exec/default/pod/c": 400,
    "metrics//cadvisor": 400,
    "%65xec/default/pod/c": 400,
    "metrics%2F": 400,
    "a\\exec": 400,
}


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(("rest", "code"), REFUSED.items(), ids=REFUSED)
def test_what_a_kubelet_is_not_asked(
    bastion: Bastion, cluster: Cluster, rest: str, code: int, method: str
) -> None:
    async def main() -> None:
        async with backend(NODE, who, port=KUBELET_PORT, ssl=cluster.backend_tls(NODE)) as behind:
            answer = await ask(bastion, request(NODE_A.format("", rest), method=method))
            assert_status(answer, code)
            assert not behind.visits

    asyncio.run(main())


@pytest.mark.parametrize(
    "rest",
    [
        "",
        "metrics",
        "metrics/cadvisor",
        "logs/",
        "logs/kubelet.log",
        "containerLogs/ns/pod/c?tailLines=5",
        "pods/",
    ],
)
def test_what_a_kubelet_is_asked(bastion: Bastion, cluster: Cluster, rest: str) -> None:
    async def main() -> None:
        async with backend(NODE, port=KUBELET_PORT, ssl=cluster.backend_tls(NODE)) as behind:
            assert (await ask(bastion, request(NODE_A.format("", rest)))).status == 200
            assert behind.requests[0].target == f"/{rest}"

    asyncio.run(main())
