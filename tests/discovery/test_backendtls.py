"""Which TLS is a target's: by flags, annotations and BackendTLSPolicies?"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from msgspec import structs

from bastion.cluster.errors import ApiError
from bastion.discovery.backendpolicies import EVERY, PATH, BackendPolicies, policies_in
from bastion.discovery.backendtls import IDENTITY, BackendTrust, Flags
from bastion.discovery.bundles import FRESH, Bundles
from bastion.discovery.resolver import Resolver
from bastion.discovery.zone import zone_of
from bastion.kube.endpoint import BACKENDS, HTTP1, SYSTEM, TLSProfile, config_maps
from bastion.kube.target import parse_target
from bastion.network.addresses import DialPolicy
from bastion.runtime.turns import Asker
from tests.fakes import catalog_of, endpoints, pod, service

NAME, OWN = "web.ns.svc", config_maps("ns", "own")
ANNOTATED = {"bastion.dev/ca-configmap": "own"}
NAMED = {"bastion.dev/tls-server-name": "web.example.test"}
UNSAFE = {"bastion.dev/tls-verify": "false"}
FLAG = Flags(authority=True)

ROWS: list[tuple[str, Flags, dict[str, str], str, TLSProfile | None]] = [
    ("plain", FLAG, ANNOTATED, "web:80", None),
    ("not verified", Flags(), {}, "https:web:80", TLSProfile()),
    ("not verified, with a name", Flags(), NAMED, "https:web:80", TLSProfile(server_name="web.example.test")),
    ("by the flag", FLAG, {}, "https:web:80", TLSProfile(BACKENDS, "", NAME)),
    ("by the port's name", FLAG, {}, "web:secure", TLSProfile(BACKENDS, "", NAME)),
    ("by the annotation", Flags(), ANNOTATED, "https:web:80", TLSProfile(OWN, "", NAME)),
    ("the annotation before the flag", FLAG, ANNOTATED, "https:web:80", TLSProfile(OWN, "", NAME)),
    ("another name", FLAG, NAMED, "https:web:80", TLSProfile(BACKENDS, "", "web.example.test")),
    ("nobody may say no", FLAG, UNSAFE, "https:web:80", TLSProfile(BACKENDS, "", NAME)),
    ("who may say no", Flags(authority=True, insecure=True), UNSAFE, "https:web:80", TLSProfile()),
    ("a certificate", Flags(True, True), {}, "https:web:80", TLSProfile(BACKENDS, IDENTITY, NAME)),
    ("no certificate to the others", Flags(False, True), {}, "https:web:80", TLSProfile()),
]


def resolver(flags: Flags, annotations: dict[str, str]) -> tuple[Resolver, BackendTrust]:
    one = {"addresses": ["10.0.0.1"], "targetRef": {"kind": "Pod", "name": "web-0"}}
    ports = {"port": 80, "name": "http"}, {"port": 444, "name": "secure", "appProtocol": "https"}
    raw = pod("web-0", "10.0.0.1")
    raw["metadata"]["annotations"] = annotations
    catalog = catalog_of(
        services=[service("web", *ports, annotations=annotations)],
        endpointslices=[endpoints("web", {"http": 8080, "secure": 8443}, one)],
        pods=[raw],
    )
    trust = BackendTrust(catalog, flags)
    return Resolver(catalog, DialPolicy(), nodes=False, trust=trust), trust


def profile(of: Resolver, id: str, resource: str = "services") -> TLSProfile | None:
    """Without what is spoken over it."""
    tls = of.resolve(parse_target(resource, "ns", id)).endpoints[0].tls
    return structs.replace(tls, alpn=HTTP1) if tls is not None else None


@pytest.mark.parametrize(
    ("flags", "annotations", "id", "tls"), [r[1:] for r in ROWS], ids=[r[0] for r in ROWS]
)
def test_of_a_service(flags: Flags, annotations: dict[str, str], id: str, tls: TLSProfile | None) -> None:
    assert profile(resolver(flags, annotations)[0], id) == tls


def test_a_pod_is_verified_by_its_address_or_as_it_says() -> None:
    assert profile(resolver(FLAG, {})[0], "https:web-0:8443", "pods") == TLSProfile(BACKENDS)
    said = profile(resolver(FLAG, ANNOTATED | NAMED)[0], "https:web-0:8443", "pods")
    assert said == TLSProfile(OWN, "", "web.example.test")


def policy(name: str = "p", section: str = "", made: str = "2026-01-01", **validation: Any) -> dict[str, Any]:
    target = {"group": "", "kind": "Service", "name": "web", "sectionName": section}
    metadata = {"name": name, "namespace": "ns", "creationTimestamp": made}
    whole = {"hostname": "web.test", "wellKnownCACertificates": "System"} | validation
    return {"metadata": metadata, "spec": {"targetRefs": [target], "validation": whole}}


def ref(name: str, kind: str = "ConfigMap") -> dict[str, str]:
    return {"group": "", "kind": kind, "name": name}


def listed(*items: dict[str, Any]) -> bytes:
    return json.dumps({"items": items}).encode()


UNUSABLE = config_maps("ns")
POLICIES: list[tuple[str, list[dict[str, Any]], str, str]] = [
    ("the system's", [policy()], SYSTEM, "web.test"),
    (
        "of ConfigMaps",
        [policy(caCertificateRefs=[ref("a"), ref("b")])],
        config_maps("ns", "a", "b"),
        "web.test",
    ),
    (
        "of a kind that is not known",
        [policy(wellKnownCACertificates=None, caCertificateRefs=[ref("a", "X")])],
        UNUSABLE,
        "web.test",
    ),
    (
        "other names than the host's",
        [policy(subjectAltNames=[{"type": "URI", "uri": "x"}])],
        UNUSABLE,
        "web.test",
    ),
    (
        "the host's name",
        [policy(subjectAltNames=[{"type": "Hostname", "hostname": "web.test"}])],
        SYSTEM,
        "web.test",
    ),
    ("the oldest", [policy("b", made="2026-02-01", hostname="new.test"), policy("a")], SYSTEM, "web.test"),
    (
        "of the port before that of all",
        [policy("a"), policy("b", "http", hostname="port.test")],
        SYSTEM,
        "port.test",
    ),
    (
        "of another port",
        [policy("a", "secure", hostname="port.test"), policy("b", made="2027")],
        SYSTEM,
        "web.test",
    ),
]


@pytest.mark.parametrize(
    ("items", "authority", "name"), [row[1:] for row in POLICIES], ids=[row[0] for row in POLICIES]
)
def test_a_policy_decides_first_and_is_for_tls(
    items: list[dict[str, Any]], authority: str, name: str
) -> None:
    of, trust = resolver(FLAG, ANNOTATED)
    assert profile(of, "web:80") is None
    trust.replace(policies_in(listed(*items)))
    assert profile(of, "web:80") == TLSProfile(authority, "", name)
    assert profile(of, "http:web:80") is None, "the id says so"
    trust.replace({})
    assert profile(of, "web:80") is None


class Api:
    """An API server that says this, by path; an int is a status."""

    def __init__(self, **says: Any) -> None:
        self.says: Any = says
        self.asked: list[str] = []

    async def get(self, path: str, query: dict[str, str], asker: Asker) -> bytes:
        self.asked.append(path)
        said = self.says["body"]
        if isinstance(said, int):
            raise ApiError("no", status=said)
        assert isinstance(said, bytes)
        return said


def test_policies_are_read_where_they_are_there_and_kept_while_the_api_server_is_away() -> None:
    async def main() -> None:
        of, trust = resolver(FLAG, {})
        api = Api(body=listed(policy()))
        policies = BackendPolicies(api, trust)
        for said, there, secured in ((api.says["body"], True, True), (500, True, True), (404, False, False)):
            api.says["body"] = said
            assert (await policies.look(), profile(of, "web:80") is not None) == (there, secured)
        assert api.asked == [PATH] * 3
        assert EVERY == 30.0

    asyncio.run(main())


def config_map(data: Any) -> bytes:
    return json.dumps({"data": data}).encode()


def test_a_bundle_is_read_once_and_again_after_a_while() -> None:
    async def main() -> None:
        api = Api(body=config_map({"ca.crt": "one"}))
        bundles = Bundles(api)
        clock = [0.0]
        bundles._now = lambda: clock[0]
        both = await asyncio.gather(bundles.bundle("ns", "ca"), bundles.bundle("ns", "ca"))
        assert ([*both], api.asked) == ([b"one", b"one"], ["/api/v1/namespaces/ns/configmaps/ca"])
        api.says["body"] = config_map({"service-ca.crt": "two"})
        assert await bundles.bundle("ns", "ca") == b"one"
        clock[0] += FRESH
        assert await bundles.bundle("ns", "ca") == b"two"
        for said, why in (
            (503, ""),
            (404, "not there"),
            (403, "may not read"),
            (config_map({}), "none of the keys"),
        ):
            clock[0] += FRESH
            api.says["body"] = said
            if not why:
                assert await bundles.bundle("ns", "ca") == b"two", "while the API server is away"
                continue
            with pytest.raises(ValueError, match=f"ConfigMap ns/ca.*{why}"):
                await bundles.bundle("ns", "ca")

    asyncio.run(main())


@pytest.mark.parametrize(
    ("node", "said", "zone"),
    [
        ("", b"", ""),
        ("n", json.dumps({"metadata": {"labels": {"topology.kubernetes.io/zone": "a"}}}).encode(), "a"),
        ("n", b'{"metadata": {}}', ""),
        ("n", 403, ""),
    ],
)
def test_the_zone_of_the_node(node: str, said: Any, zone: str) -> None:
    assert asyncio.run(zone_of(Api(body=said), node)) == zone
