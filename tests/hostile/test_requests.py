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
    "CRLF in the namespace": "/api/v1/namespaces/NS%0d%0aX-Injected:1/pods/POD:PORT/proxy/",
    "dots before the object": "/api/v1/namespaces/NS/../NS/pods/POD:PORT/proxy/",
    "the namespace is a dot": "/api/v1/namespaces/./pods/POD:PORT/proxy/",
    "encoded slashes form the prefix": "/api/v1/namespaces/NS%2fpods%2fPOD:PORT%2fproxy/",
    "encoded traversal": "/api/v1/namespaces/kube-system%2f..%2fNS/pods/POD:PORT/proxy/",
    "two slashes": "/api//v1/namespaces/NS/pods/POD:PORT/proxy/",
    "a leading dot segment": "/./api/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "case": "/API/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "an upper-case namespace": "/api/v1/namespaces/Default/pods/POD:PORT/proxy/",
    "an upper-case name": "/api/v1/namespaces/NS/pods/P-1:PORT/proxy/",
    "a suffix": "/api/v1/namespaces/NS/pods/POD:PORT/proxyX/",
    "a parameter of the subresource": "/api/v1/namespaces/NS/pods/POD:PORT/proxy;x/",
    "a parameter of the namespace": "/api/v1/namespaces/NS;x/pods/POD:PORT/proxy/",
    "NUL in the name": "/api/v1/namespaces/NS/pods/POD%00:PORT/proxy/",
    "a blank in the name": "/api/v1/namespaces/NS/pods/POD%20:PORT/proxy/",
    "a long namespace": f"/api/v1/namespaces/{LONG}/pods/POD:PORT/proxy/",
    "a long name": f"/api/v1/namespaces/NS/pods/{LONG}/proxy/",
    "another scheme": "/api/v1/namespaces/NS/pods/ftp:POD:PORT/proxy/",
    "an upper-case scheme": "/api/v1/namespaces/NS/pods/HTTP:POD:PORT/proxy/",
    "another subresource": "/api/v1/namespaces/NS/pods/POD/exec?command=id",
    "a confused subresource": "/api/v1/namespaces/NS/pods/POD:PORT/proxy%2f..%2fexec",
    "watch": "/api/v1/watch/namespaces/NS/pods/POD:PORT/proxy/",
    "another group": "/apis/v1/namespaces/NS/pods/POD:PORT/proxy/",
    "a node of dots": "/api/v1/nodes/../namespaces/NS/pods/POD:PORT/proxy/",
    "no namespace": "/api/v1/pods/POD:PORT/proxy/",
    "nobody's name": "/api/v1/namespaces/NS/pods/xn--e1afmkfd:PORT/proxy/",
    "a letter that folds to another": "/api/v1/namespaces/NS/pods/w%c4%b1b:PORT/proxy/",
    "70 kB": f"/api/v1/namespaces/NS/pods/POD:PORT/proxy/{LONGER}",
    "an address as a name": f"/api/v1/namespaces/NS/pods/127.0.0.1:{PORT}/proxy/",
    "an address without a port": "/api/v1/namespaces/NS/pods/10.0.0.1/proxy/",
    "localhost": "/api/v1/namespaces/NS/pods/localhost:22/proxy/",
    "a name with a domain": "/api/v1/namespaces/NS/pods/POD.NS:PORT/proxy/",
    "port 0": "/api/v1/namespaces/NS/pods/http:POD:0/proxy/",
    "a port in the notation of floats": "/api/v1/namespaces/NS/pods/http:POD:8e1/proxy/",
    "a port with a slash": "/api/v1/namespaces/NS/pods/http:POD:PORT%2F/proxy/",
    "a blank before the port": "/api/v1/namespaces/NS/pods/http:POD: PORT/proxy/",
    "an encoded blank before the port": "/api/v1/namespaces/NS/pods/http:POD:%20PORT/proxy/",
    "a port beyond all numbers": "/api/v1/namespaces/NS/pods/http:POD:99999999999999999999/proxy/",
    "no port's name": "/api/v1/namespaces/NS/pods/http:POD:no-such-port-name/proxy/",
    "an upper-case port": "/api/v1/namespaces/NS/pods/http:POD:HTTP/proxy/",
} | {
    f"a service named {name}": f"/api/v1/namespaces/NS/services/{name}/proxy/"
    for name in (
        "169.254.169.254",
        "http:metadata.google.internal:80",
        "localhost",
        "127.0.0.1",
        "2130706433",
        "0177.0.0.1",
        "0",
        "[::1]",
        "http:[::1]:80",
        "%5B%3A%3A1%5D",
        "kubernetes.default.svc",
        "pair.NS.svc.cluster.local",
        "pair.other",
        "evil@127.0.0.1",
        "127.0.0.1%23",
        "127.0.0.1%252f",
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
    "none": (),
    "an empty value": ("Authorization: ",),
    "a scheme alone": ("Authorization: Bearer",),
    "an empty token": ("Authorization: Bearer ",),
    "two blanks": (f"Authorization: Bearer  {ALICE}",),
    "one more word": (f"{BEARER} x",),
    "quoted": (f'Authorization: Bearer "{ALICE}"',),
    "NUL": (f"{BEARER}\x00",),
    "not ASCII": ("Authorization: Bearer \xff\xfe",),
    "two in one line": (f"Authorization: Bearer a.b.c, Bearer {ALICE}",),
    "a path": ("Authorization: Bearer ../../etc/passwd",),
    "70 kB": (f"Authorization: Bearer {LONGER}",),
    "percent": ("Authorization: Bearer %00",),
    "two lines": ("Authorization: Bearer garbage", BEARER),
    "look-alikes": (
        f"Proxy-Authorization: Bearer {ALICE}",
        f"X-Authorization: Bearer {ALICE}",
        f"X-Access-Token: {ALICE}",
    ),
    "somebody else": (BEARER, "Impersonate-User: admin"),
    "another UID": (BEARER, "Impersonate-Uid: 0"),
    "another extra": (BEARER, "Impersonate-Extra-Foo: bar"),
    "an escape": (BEARER, "User-Agent: \x1b[2Jfoo"),
    "a field of 70 kB": (BEARER, f"X: {LONGER}"),
    "101 fields": (BEARER, *["X: a"] * 101),
}


@pytest.mark.parametrize("lines", CREDENTIALS.values(), ids=CREDENTIALS)
def test_who_is_nobody_or_somebody_else_reaches_nobody_and_alice_the_backend(
    bastion: Bastion, pod: Place, lines: tuple[str, ...]
) -> None:
    refused_and_repaired(
        bastion, pod, request(pod.path("/"), *lines, token=""), request(pod.path("/"), BEARER, token="")
    )


@pytest.mark.parametrize("name", ["access_token", "token"])
def test_a_token_in_a_query_is_none(bastion: Bastion, pod: Place, name: str) -> None:
    path = pod.path(f"/?{name}={ALICE}")
    refused_and_repaired(bastion, pod, request(path, token=""), request(path))


@pytest.mark.parametrize("method", ["PURGE", "PROPFIND"])
def test_a_method_that_no_verb_stands_for_is_refused(bastion: Bastion, pod: Place, method: str) -> None:
    refused_and_repaired(bastion, pod, request(pod.path("/"), method=method), request(pod.path("/")))


# --- upgrades

KEY = tuple(line for line in WEBSOCKET if line.startswith("Sec-WebSocket"))
TOKEN = base64.urlsafe_b64encode(ALICE.encode()).decode().rstrip("=")
SUBPROTOCOL = f"base64url.bearer.authorization.k8s.io.{TOKEN}"
UPGRADES = {
    "a control byte": ("Connection: Upgrade", "Upgrade: websocket\x0b", *KEY),
    "a chunked body": (*WEBSOCKET, "Transfer-Encoding: chunked"),
    "Expect": (*WEBSOCKET, "Expect: 100-continue"),
}


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES)
def test_an_upgrade_that_makes_no_sense_is_refused(
    bastion: Bastion, pod: Place, lines: tuple[str, ...]
) -> None:
    refused_and_repaired(
        bastion, pod, request(pod.path("/ws"), *lines), request(pod.path("/ws"), *WEBSOCKET), 101
    )


def test_an_upgrade_by_post_is_refused(bastion: Bastion, pod: Place) -> None:
    refused_and_repaired(
        bastion,
        pod,
        request(pod.path("/ws"), *WEBSOCKET, method="POST"),
        request(pod.path("/ws"), *WEBSOCKET),
        101,
    )


SUBPROTOCOLS = {
    "alone": SUBPROTOCOL,
    "twice": f"{SUBPROTOCOL}, {SUBPROTOCOL}, v4.channel.k8s.io",
    "no base64": "base64url.bearer.authorization.k8s.io.!!!, v4.channel.k8s.io",
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
