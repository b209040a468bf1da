"""Requests that are refused for what they ask, not for how they are written: PT, SS, AU, SP, HI and UP, as
`hostile.py` sends them.

Beside each stands its twin: the same request with the defect repaired, which reaches the backend.  What a
kubelet is not asked is in tests/e2e/test_kubelet.py; upgrades to other protocols are the backend's to refuse.
"""

from __future__ import annotations

import asyncio
import base64

import pytest

from tests.e2e.harness import ALICE, PORT, Bastion, Place
from tests.e2e.wire import backend, client, request
from tests.hostile.test_twins import taking
from tests.tunnel.ends import WEBSOCKET, accepting, echo

LONG = "a" * 300
LONGER = "a" * 70_000


async def status_of(bastion: Bastion, data: bytes) -> int:
    """Negative where the answer is the bastion's own refusal."""
    async with client(bastion) as wire:
        await wire.send(data)
        answer = await wire.answer(data.partition(b" ")[0].decode())
        return -answer.status if answer.all("X-Bastion-Error") else answer.status


def refused_and_repaired(
    bastion: Bastion, pod: Place, defect: bytes, repair: bytes, repaired: int = 200
) -> None:
    async def main() -> None:
        async with backend(pod.address, accepting(echo) if repaired == 101 else taking) as behind:
            assert -500 < await status_of(bastion, defect) <= -400
            assert not behind.visits
            assert await status_of(bastion, repair) == repaired
            assert len(behind.visits) == 1

    asyncio.run(main())


# --- what is asked for: POD is the pod's name, NS its namespace

PATHS = {
    "HI-021 CRLF in the namespace": "/api/v1/namespaces/NS%0d%0aX-Injected:1/pods/POD:PORT/proxy/",
    "PT-038 dots before the object": "/api/v1/namespaces/NS/../NS/pods/POD:PORT/proxy/",
    "PT-040 the namespace is a dot": "/api/v1/namespaces/./pods/POD:PORT/proxy/",
    "PT-042 encoded slashes form the prefix": "/api/v1/namespaces/NS%2fpods%2fPOD:PORT%2fproxy/",
    "PT-044 encoded traversal": "/api/v1/namespaces/kube-system%2f..%2fNS/pods/POD:PORT/proxy/",
    "PT-045 two slashes": "/api//v1/namespaces/NS/pods/POD:PORT/proxy/",
    "PT-047 a leading dot segment": "/./api/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "PT-048 case": "/API/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "PT-049 an upper-case namespace": "/api/v1/namespaces/Default/pods/POD:PORT/proxy/",
    "PT-050 an upper-case name": "/api/v1/namespaces/NS/pods/P-1:PORT/proxy/",
    "PT-053 a suffix": "/api/v1/namespaces/NS/pods/POD:PORT/proxyX/",
    "PT-054 a parameter of the subresource": "/api/v1/namespaces/NS/pods/POD:PORT/proxy;x/",
    "PT-055 a parameter of the namespace": "/api/v1/namespaces/NS;x/pods/POD:PORT/proxy/",
    "PT-056 NUL in the name": "/api/v1/namespaces/NS/pods/POD%00:PORT/proxy/",
    "PT-057 a blank in the name": "/api/v1/namespaces/NS/pods/POD%20:PORT/proxy/",
    "PT-059 a long namespace": f"/api/v1/namespaces/{LONG}/pods/POD:PORT/proxy/",
    "PT-060 a long name": f"/api/v1/namespaces/NS/pods/{LONG}/proxy/",
    "PT-063 another scheme": "/api/v1/namespaces/NS/pods/ftp:POD:PORT/proxy/",
    "PT-064 an upper-case scheme": "/api/v1/namespaces/NS/pods/HTTP:POD:PORT/proxy/",
    "PT-066 another subresource": "/api/v1/namespaces/NS/pods/POD/exec?command=id",
    "PT-067 a confused subresource": "/api/v1/namespaces/NS/pods/POD:PORT/proxy%2f..%2fexec",
    "PT-069 watch": "/api/v1/watch/namespaces/NS/pods/POD:PORT/proxy/",
    "PT-070 another group": "/apis/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "PT-072 a node of dots": "/api/v1/nodes/../namespaces/NS/pods/POD:PORT/proxy/",
    "PT-074 no namespace": "/api/v1/pods/POD:PORT/proxy/",
    "PT-075 nobody's name": "/api/v1/namespaces/NS/pods/xn--e1afmkfd:PORT/proxy/",
    "PT-076 a letter that folds to another": "/api/v1/namespaces/NS/pods/w%c4%b1b:PORT/proxy/",
    "PT-077 70 kB": f"/api/v1/namespaces/NS/pods/POD:PORT/proxy/{LONGER}",
    "SS-022 an address as a name": f"/api/v1/namespaces/NS/pods/127.0.0.1:{PORT}/proxy/",
    "SS-023 an address without a port": "/api/v1/namespaces/NS/pods/10.0.0.1/proxy/",
    "SS-025 localhost": "/api/v1/namespaces/NS/pods/localhost:22/proxy/",
    "SS-026 a name with a domain": "/api/v1/namespaces/NS/pods/POD.NS:PORT/proxy/",
    "SS-027 port 0": "/api/v1/namespaces/NS/pods/http:POD:0/proxy/",
    "SS-034 a port in the notation of floats": "/api/v1/namespaces/NS/pods/http:POD:8e1/proxy/",
    "SS-035 a port with a slash": "/api/v1/namespaces/NS/pods/http:POD:PORT%2F/proxy/",
    "SS-037 a blank before the port": "/api/v1/namespaces/NS/pods/http:POD: PORT/proxy/",
    "SS-038 an encoded blank before the port": "/api/v1/namespaces/NS/pods/http:POD:%20PORT/proxy/",
    "SS-042 a port beyond all numbers": "/api/v1/namespaces/NS/pods/http:POD:99999999999999999999/proxy/",
    "SS-043 no port's name": "/api/v1/namespaces/NS/pods/http:POD:no-such-port-name/proxy/",
    "SS-044 an upper-case port": "/api/v1/namespaces/NS/pods/http:POD:HTTP/proxy/",
} | {
    f"{case} {name}": f"/api/v1/namespaces/NS/services/{name}/proxy/"
    for case, name in (
        ("SS-001", "169.254.169.254"),
        ("SS-004", "http:metadata.google.internal:80"),
        ("SS-005", "localhost"),
        ("SS-007", "127.0.0.1"),
        ("SS-008", "2130706433"),
        ("SS-010", "0177.0.0.1"),
        ("SS-012", "0"),
        ("SS-013", "[::1]"),
        ("SS-014", "http:[::1]:80"),
        ("SS-015", "%5B%3A%3A1%5D"),
        ("SS-016", "kubernetes.default.svc"),
        ("SS-017", "pair.NS.svc.cluster.local"),
        ("SS-018", "pair.other"),
        ("SS-019", "evil@127.0.0.1"),
        ("SS-020", "127.0.0.1%23"),
        ("SS-021", "127.0.0.1%252f"),
    )
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
def test_what_is_no_object_reaches_nobody_and_the_object_its_backend(
    bastion: Bastion, pod: Place, path: str
) -> None:
    asked = path.replace("POD", pod.name).replace("PORT", str(PORT)).replace("NS", pod.namespace)
    refused_and_repaired(bastion, pod, request(asked), request(pod.path()))


# --- who asks

BEARER = f"Authorization: Bearer {ALICE}"
CREDENTIALS = {
    "AU-001 none": (),
    "AU-002 an empty value": ("Authorization: ",),
    "AU-003 a scheme alone": ("Authorization: Bearer",),
    "AU-004 an empty token": ("Authorization: Bearer ",),
    "AU-005 two blanks": (f"Authorization: Bearer  {ALICE}",),
    "AU-007 one more word": (f"{BEARER} x",),
    "AU-011 quoted": (f'Authorization: Bearer "{ALICE}"',),
    "AU-012 NUL": (f"{BEARER}\x00",),
    "AU-013 not ASCII": ("Authorization: Bearer \xff\xfe",),
    "AU-015 two in one line": (f"Authorization: Bearer a.b.c, Bearer {ALICE}",),
    "AU-016 a path": ("Authorization: Bearer ../../etc/passwd",),
    "AU-017 70 kB": (f"Authorization: Bearer {LONGER}",),
    "AU-019 percent": ("Authorization: Bearer %00",),
    "AU-022 two lines": ("Authorization: Bearer garbage", BEARER),
    "AU-026 look-alikes": (
        f"Proxy-Authorization: Bearer {ALICE}",
        f"X-Authorization: Bearer {ALICE}",
        f"X-Access-Token: {ALICE}",
    ),
    "SP-008 somebody else": (BEARER, "Impersonate-User: admin"),
    "SP-010 another UID": (BEARER, "Impersonate-Uid: 0"),
    "SP-011 another extra": (BEARER, "Impersonate-Extra-Foo: bar"),
    "HI-023 an escape": (BEARER, "User-Agent: \x1b[2Jfoo"),
    "RE-008 a field of 70 kB": (BEARER, f"X: {LONGER}"),
    "RE-011 101 fields": (BEARER, *["X: a"] * 101),
}


@pytest.mark.parametrize("lines", CREDENTIALS.values(), ids=CREDENTIALS)
def test_who_is_nobody_or_somebody_else_reaches_nobody_and_alice_the_backend(
    bastion: Bastion, pod: Place, lines: tuple[str, ...]
) -> None:
    refused_and_repaired(
        bastion, pod, request(pod.path("/"), *lines, token=""), request(pod.path("/"), BEARER, token="")
    )


@pytest.mark.parametrize("name", ["access_token", "token"], ids=["AU-023", "AU-024"])
def test_a_token_in_a_query_is_none(bastion: Bastion, pod: Place, name: str) -> None:
    path = pod.path(f"/?{name}={ALICE}")
    refused_and_repaired(bastion, pod, request(path, token=""), request(path))


@pytest.mark.parametrize("method", ["PURGE", "PROPFIND"], ids=["SP-056", "SP-057"])
def test_a_method_that_no_verb_stands_for_is_refused(bastion: Bastion, pod: Place, method: str) -> None:
    refused_and_repaired(bastion, pod, request(pod.path("/"), method=method), request(pod.path("/")))


# --- upgrades

KEY = tuple(line for line in WEBSOCKET if line.startswith("Sec-WebSocket"))
TOKEN = base64.urlsafe_b64encode(ALICE.encode()).decode().rstrip("=")
SUBPROTOCOL = f"base64url.bearer.authorization.k8s.io.{TOKEN}"
UPGRADES = {
    "UP-019 a control byte": ("Connection: Upgrade", "Upgrade: websocket\x0b", *KEY),
    "UP-024 a chunked body": (*WEBSOCKET, "Transfer-Encoding: chunked"),
    "UP-025 Expect": (*WEBSOCKET, "Expect: 100-continue"),
}


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_that_makes_no_sense_is_refused(
    bastion: Bastion, pod: Place, lines: tuple[str, ...]
) -> None:
    refused_and_repaired(
        bastion, pod, request(pod.path("/ws"), *lines), request(pod.path("/ws"), *WEBSOCKET), 101
    )


def test_an_upgrade_by_post_is_refused(bastion: Bastion, pod: Place) -> None:
    """UP-027."""
    refused_and_repaired(
        bastion,
        pod,
        request(pod.path("/ws"), *WEBSOCKET, method="POST"),
        request(pod.path("/ws"), *WEBSOCKET),
        101,
    )


SUBPROTOCOLS = {
    "AU-081 alone": SUBPROTOCOL,
    "AU-082 twice": f"{SUBPROTOCOL}, {SUBPROTOCOL}, v4.channel.k8s.io",
    "AU-083 no base64": "base64url.bearer.authorization.k8s.io.!!!, v4.channel.k8s.io",
}


@pytest.mark.parametrize("offered", SUBPROTOCOLS.values(), ids=SUBPROTOCOLS)
def test_a_token_by_subprotocol_that_is_none_reaches_nobody(
    bastion: Bastion, pod: Place, offered: str
) -> None:
    defect = request(pod.path("/ws"), *WEBSOCKET, f"Sec-WebSocket-Protocol: {offered}", token="")
    repair = request(
        pod.path("/ws"), *WEBSOCKET, f"Sec-WebSocket-Protocol: {SUBPROTOCOL}, v4.channel.k8s.io", token=""
    )
    refused_and_repaired(bastion, pod, defect, repair, 101)
