"""Objects that lead elsewhere.

Whoever may write them must not make the bastion dial what it should not.

Beside each object stands one like it that leads where it may; both are asked for in the same words.  What no
API server would store is in tests/network/test_addresses.py.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bastion.standalone.resources import Object
from tests.e2e.harness import NETWORK, PORT, Bastion, Cluster, Place, objects, serving
from tests.e2e.kubeapi import KubeApi
from tests.e2e.wire import Message, ask, assert_status, backend, request
from tests.loopback import free_port
from tests.standalone.objects import pod, service

GOOD, OTHER, FLEETING = (f"{NETWORK}.{n}" for n in (247, 248, 249))

# --- pods

PODS = {
    # the object's name is made of the case's: the address
    "loopback": "127.0.0.1",
    "all of 127/8": "127.8.8.8",
    "loopback of six": "::1",
    "loopback of four in six": "::ffff:127.0.0.1",
    "metadata of four in six": "::ffff:169.254.169.254",
    "metadata": "169.254.169.254",
    "metadata of six": "fd00:ec2::254",
    "unspecified": "0.0.0.0",
    "unspecified of six": "::",
    "link-local": "fe80::1",
    "loopback through NAT64": "64:ff9b::7f00:1",
    "loopback, compatible": "::127.0.0.1",
    "multicast": "224.0.0.1",
    "broadcast": "255.255.255.255",
    "none yet": "",
    "translated loopback": "::ffff:0:127.0.0.1",
    "teredo loopback": "2001::80ff:fffe",
    "isatap loopback": "2001:db8::5efe:7f00:1",
    "local-nat64 loopback": "64:ff9b:1::7f00:1",
    "eks pod identity": "fd00:ec2::23",
    "reserved": "240.0.0.1",
}


def name_of(case: str) -> str:
    return "astray-" + re.sub(r"[^a-z0-9]+", "-", case.lower()).strip("-")


# --- services, whose slices are written by hand


def sliced(
    name: str,
    address: str,
    *,
    of: str = "good",
    namespace: str = "default",
    kind: str = "IPv4",
    port: int | None = PORT,
) -> list[Object]:
    """A service and its slice."""
    target = {"kind": "Pod", "name": of, "namespace": namespace}
    return [
        service(name),
        {
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "name": name,
                "namespace": "default",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": kind,
            "ports": [{"name": "http", "port": port}],
            "endpoints": [{"addresses": [address], "conditions": {"ready": True}, "targetRef": target}],
        },
    ]


SERVICES: dict[str, list[Object]] = {
    "ExternalName of metadata": [
        service(
            "astray-externalname-of-metadata", type="ExternalName", externalName="metadata.google.internal"
        )
    ],
    "ExternalName of loopback": [
        service("astray-externalname-of-loopback", type="ExternalName", externalName="localhost")
    ],
    "ExternalName of the API server": [
        service(
            "astray-externalname-of-the-api-server",
            type="ExternalName",
            externalName="kubernetes.default.svc",
        )
    ],
    "endpoint at metadata": sliced("astray-endpoint-at-metadata", "169.254.169.254"),
    "endpoint in another namespace": sliced(
        "endpoint-in-another-namespace", OTHER, of="other", namespace="kube-system"
    ),
    "endpoint that says it is in this one": sliced(
        "astray-endpoint-that-says-it-is-in-this-one", OTHER, of="other"
    ),
    "endpoint by name": sliced("astray-endpoint-by-name", "metadata.google.internal", kind="FQDN"),
    "endpoint without a port": sliced("astray-endpoint-without-a-port", GOOD, port=None),
    "clusterIP is loopback": [
        service("astray-clusterip-is-loopback", clusterIP="127.0.0.1", clusterIPs=["127.0.0.1"])
    ],
}

# --- nodes


def node(name: str, *addresses: tuple[str, str]) -> Object:
    found = [{"type": kind, "address": address} for kind, address in addresses]
    return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}, "status": {"addresses": found}}


NODES = {
    "metadata": node("astray-metadata", ("InternalIP", "169.254.169.254")),
    "loopback": node("astray-loopback", ("InternalIP", "127.0.0.1")),
    "a name that may mean anything": node(
        "astray-a-name-that-may-mean-anything", ("Hostname", "rebind.test")
    ),
    "no address": node("astray-no-address"),
}

ALL = [
    *(
        pod(name_of(case), ip=address, phase="Running" if address else "Pending")
        for case, address in PODS.items()
    ),
    *(object for some in SERVICES.values() for object in some),
    *NODES.values(),
    pod("good", ip=GOOD),
    pod("other", namespace="kube-system", ip=OTHER),
    *sliced("good", GOOD),
    node("good", ("InternalIP", GOOD)),
]


@pytest.fixture(scope="module")
def led_astray(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bastion]:
    """Its environment wants everything to go through a proxy and the keys of TLS on disk."""
    folder = tmp_path_factory.mktemp("targets")
    cluster = Cluster(folder, *ALL)
    nowhere = {
        "HTTP_PROXY": "http://127.0.0.1:9",
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "ALL_PROXY": "socks5://127.0.0.1:9",
    }
    environment = (
        nowhere
        | {name.lower(): value for name, value in nowhere.items()}
        | {"SSLKEYLOGFILE": str(folder / "keys")}
    )
    with serving(
        cluster, folder, "--enable-node-proxy", "--kubelet-insecure-skip-tls-verify", environment=environment
    ) as running:
        yield running
        assert not (folder / "keys").exists()


async def nobody_is_asked(bastion: Bastion, path: str) -> Message:
    async with (
        backend(GOOD) as good,
        backend(OTHER) as other,
        backend("127.0.0.1") as loopback,
        backend("127.8.8.8") as eights,
    ):
        answer = await ask(bastion, request(path))
        assert not any(behind.visits for behind in (good, other, loopback, eights))
        return answer


@pytest.mark.parametrize("name", [name_of(case) for case in PODS])
def test_a_pod_that_leads_elsewhere_is_refused(led_astray: Bastion, name: str) -> None:
    assert_status(asyncio.run(nobody_is_asked(led_astray, Place(name, "").path())), 400, "BadRequest")


@pytest.mark.parametrize("name", [some[0]["metadata"]["name"] for some in SERVICES.values()])
def test_a_service_that_leads_elsewhere_is_refused(led_astray: Bastion, name: str) -> None:
    path = Place(name, "", "services").path(port=80, scheme="http")
    assert_status(asyncio.run(nobody_is_asked(led_astray, path)), 503, "ServiceUnavailable")


@pytest.mark.parametrize("name", [name_of(case) for case in NODES])
def test_a_node_that_leads_elsewhere_is_refused(led_astray: Bastion, name: str) -> None:
    answer = asyncio.run(nobody_is_asked(led_astray, f"/api/v1/nodes/{name}:{PORT}/proxy/metrics"))
    assert_status(answer, answer.status)
    assert answer.status in (400, 503)


TWINS = {
    "a pod": Place("good", GOOD).path(),
    "a service": Place("good", GOOD, "services").path(port=80, scheme="http"),
    "a node": f"/api/v1/nodes/good:{PORT}/proxy/",
    "that other pod itself": Place("other", OTHER, namespace="kube-system").path(),
}


@pytest.mark.parametrize("path", TWINS.values(), ids=TWINS)
def test_one_like_it_that_leads_where_it_may_is_reached(led_astray: Bastion, path: str) -> None:
    """Directly, whatever the environment says."""

    async def main() -> None:
        async with backend(GOOD) as good, backend(OTHER) as other:
            assert (await ask(led_astray, request(path))).status == 200
            assert len(good.requests) + len(other.requests) == 1

    asyncio.run(main())


# --- what changes between one request and the next


def moved(name: str, address: str) -> list[Object]:
    return [*objects(), pod(name, ip=address)]


@pytest.fixture(params=["127.0.0.1", "localhost"])
def changing(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[KubeApi, Bastion]]:
    """Where its own sockets and the API server's, by address or by name, are on loopback addresses that may
    be dialled.
    """
    (tmp_path / "api").mkdir()
    with KubeApi(tmp_path / "api") as api:
        port, api_port = free_port(), api.doors[0].port
        itself = pod("itself", ip="127.0.0.1", ports=[("own", port), ("api", api_port)])
        in_its_place = node("api", ("InternalIP", "127.0.0.1"))
        in_its_place["status"]["daemonEndpoints"] = {"kubeletEndpoint": {"Port": api_port}}
        api.show([*objects(), itself, in_its_place])
        flags = (
            "--allow-target-cidr",
            "127.0.0.1/32",
            "--enable-node-proxy",
            "--kubelet-insecure-skip-tls-verify",
        )
        api.kubeconfig.write_text(
            api.kubeconfig.read_text().replace("https://127.0.0.1:", f"https://{request.param}:")
        )
        assert request.param in api.kubeconfig.read_text()
        with serving(
            Cluster(tmp_path), tmp_path, *flags, source=("--kubeconfig", api.kubeconfig), port=port
        ) as running:
            yield api, running


def test_neither_the_bastion_nor_the_api_server_is_a_target(changing: tuple[KubeApi, Bastion]) -> None:
    api, bastion = changing
    own, server = bastion.port, api.doors[0].port
    for case, path in {
        "its own port": Place("itself", "").path(port=own, scheme="https"),
        "its plain port": Place("itself", "").path(port=bastion.plain_port, scheme="http"),
        "the API server": Place("itself", "").path("/api/v1/secrets", port=server, scheme="https"),
        "the API server as a node": f"/api/v1/nodes/api:{server}/proxy/metrics",
    }.items():
        answer = asyncio.run(ask(bastion, request(path)))
        assert_status(answer, 400, "BadRequest")
        assert "not one that this bastion may dial" in answer.json()["message"], case

    async def twin() -> None:
        async with backend("127.0.0.1") as behind:  # the address may be dialled; those two sockets may not
            assert (await ask(bastion, request(Place("itself", "").path()))).status == 200
            assert len(behind.requests) == 1

    asyncio.run(twin())


def test_what_was_right_a_moment_ago_is_not_dialled_any_more(changing: tuple[KubeApi, Bastion]) -> None:
    """Its address becomes one that may not be dialled.  Another pod has its name."""
    api, bastion = changing

    async def main() -> None:
        path = Place("fleeting", "").path()

        async def until(status: int) -> None:
            while (await ask(bastion, request(path))).status != status:
                await asyncio.sleep(0.05)

        async with backend(FLEETING) as old, backend(OTHER) as new, backend("127.8.8.8") as loopback:
            api.show(moved("fleeting", FLEETING))
            await until(200)
            api.show(moved("fleeting", "127.8.8.8"))
            await until(400)
            api.show(moved("fleeting", OTHER))
            await until(200)
            seen = len(old.requests)
            assert (await ask(bastion, request(path))).status == 200
            assert (seen, len(old.requests), loopback.visits) == (seen, seen, [])
            assert len(new.requests) == 2

    asyncio.run(main())
