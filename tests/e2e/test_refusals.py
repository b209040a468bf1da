"""What cannot be is said clearly, as a `Status`, and nothing else happens: no backend sees a byte."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.harness import (
    ALICE,
    BOB,
    CAROL,
    LIVE,
    NETWORK,
    NODE,
    Bastion,
    Cluster,
    Place,
    own_address,
    serving,
)
from tests.e2e.wire import ask, assert_status, backend, request, sending
from tests.loopback import free_port
from tests.standalone.objects import pod as manifest_pod

DEFAULT = "/api/v1/namespaces/default"

# Whoever asks is allowed everything: path (POD is a pod with a backend that listens), code, reason, words of
# the message.
REFUSED: dict[str, tuple[str, int, str, str]] = {
    "unknown pod": (f"{DEFAULT}/pods/gone:8080/proxy/", 404, "NotFound", 'pods "gone" not found'),
    "unknown service": (f"{DEFAULT}/services/gone/proxy/", 404, "NotFound", 'services "gone" not found'),
    "unknown namespace": (
        "/api/v1/namespaces/gone/pods/POD:8080/proxy/",
        404,
        "NotFound",
        'pods "POD" not found',
    ),
    "unknown node": ("/api/v1/nodes/gone/proxy/", 404, "NotFound", 'nodes "gone" not found'),
    "unknown scheme": (f"{DEFAULT}/pods/ftp:POD:8080/proxy/", 400, "BadRequest", "invalid pod request"),
    "scheme in capitals": (f"{DEFAULT}/pods/HTTP:POD:8080/proxy/", 400, "BadRequest", "invalid pod request"),
    "four parts": (f"{DEFAULT}/pods/http:POD:8080:x/proxy/", 400, "BadRequest", "invalid pod request"),
    "no name": (f"{DEFAULT}/pods/http::8080/proxy/", 400, "BadRequest", "invalid pod request"),
    "dots for a name": (f"{DEFAULT}/services/%2e%2e/proxy/", 400, "BadRequest", "may not be"),
    "an encoded slash": (f"{DEFAULT}/pods/POD%2Fx/proxy/", 400, "BadRequest", "encoded slash"),
    "an encoded NUL": (f"{DEFAULT}/pods/POD%00/proxy/", 400, "BadRequest", "control character"),
    "no UTF-8": (f"{DEFAULT}/pods/POD%ff/proxy/", 400, "BadRequest", "not UTF-8"),
    "port 0": (f"{DEFAULT}/pods/POD:0/proxy/", 400, "BadRequest", "1 to 65535"),
    "port 65536": (f"{DEFAULT}/pods/POD:65536/proxy/", 400, "BadRequest", "1 to 65535"),
    "a signed port": (f"{DEFAULT}/pods/POD:+8080/proxy/", 400, "BadRequest", "no port named"),
    "a port in Arabic digits": (
        f"{DEFAULT}/pods/POD:%D9%A8%D9%A0/proxy/",
        400,
        "BadRequest",
        "no port named",
    ),
    "no port of this name": (
        f"{DEFAULT}/pods/POD:metrics/proxy/",
        400,
        "BadRequest",
        'no port named "metrics"',
    ),
    "a node's port by name": ("/api/v1/nodes/node-a:kubelet/proxy/", 400, "BadRequest", "1 to 65535"),
    "no such service port": (
        f"{DEFAULT}/services/pair:81/proxy/",
        503,
        "ServiceUnavailable",
        "no service port 81 found",
    ),
    "no service port of this name": (
        f"{DEFAULT}/services/pair:metrics/proxy/",
        503,
        "ServiceUnavailable",
        "no endpoints available",
    ),
    "which of two ports?": (
        f"{DEFAULT}/services/two-ports/proxy/",
        503,
        "ServiceUnavailable",
        "say which port",
    ),
    "a service of no pods": (
        f"{DEFAULT}/services/nobody/proxy/",
        503,
        "ServiceUnavailable",
        "no endpoints available",
    ),
    "a service of no ready pods": (
        f"{DEFAULT}/services/unready/proxy/",
        503,
        "ServiceUnavailable",
        "no endpoints available",
    ),
    "a service elsewhere": (
        f"{DEFAULT}/services/elsewhere/proxy/",
        503,
        "ServiceUnavailable",
        "ExternalName",
    ),
    "a pod without an address": (
        f"{DEFAULT}/pods/addressless:8080/proxy/",
        400,
        "BadRequest",
        "no address yet",
    ),
    "a pod that has ended": (f"{DEFAULT}/pods/ended:8080/proxy/", 400, "BadRequest", "has ended"),
    "a pod at the metadata service": (
        f"{DEFAULT}/pods/metadata/proxy/",
        400,
        "BadRequest",
        "not one that this bastion may dial",
    ),
    "nobody listens": (
        f"{DEFAULT}/pods/POD:9090/proxy/",
        503,
        "ServiceUnavailable",
        ":9090: connection refused",
    ),
    "no route": (f"{DEFAULT}/pods/POD:8080/log", 404, "NotFound", "could not find the requested resource"),
    "the root": ("/", 404, "NotFound", "could not find the requested resource"),
}


@pytest.mark.parametrize(("path", "code", "reason", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_is_said_and_nothing_happens(
    bastion: Bastion, pod: Place, path: str, code: int, reason: str, words: str
) -> None:
    async def main() -> None:
        async with (
            backend(pod.address) as asked,
            backend(LIVE) as live,
            backend(NODE, port=10250) as kubelet,
            backend(f"{NETWORK}.245") as ended,
            backend(f"{NETWORK}.246") as unready,
        ):
            answer = await ask(bastion, request(path.replace("POD", pod.name), method="POST", body=b"x"))
            assert_status(answer, code, reason)
            assert words.replace("POD", pod.name) in answer.json()["message"]
            assert not any(behind.visits for behind in (asked, live, kubelet, ended, unready))

    asyncio.run(main())


def test_tls_towards_a_backend_that_speaks_none(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address, lambda visit: visit.send(b"HTTP/1.1 400 What?\r\n\r\n")):
            answer = await ask(bastion, request(pod.path(scheme="https")))
            assert_status(answer, 503, "ServiceUnavailable")
            assert "TLS handshake failed" in answer.json()["message"]

    asyncio.run(main())


NO_HTTP = {
    "silence": b"",
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "half a head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
    "length and chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "an unasked 101": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "an endless head": b"HTTP/1.1 200 OK\r\n" + b"X-A: b\r\n" * 20_000,
    "a line end in a value": b"HTTP/1.1 200 OK\r\nX-A: b\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("answer", NO_HTTP.values(), ids=NO_HTTP)
def test_a_backend_whose_answer_is_none(bastion: Bastion, pod: Place, answer: bytes) -> None:
    async def main() -> None:
        async with backend(pod.address, sending(answer)):
            assert_status(await ask(bastion, request(pod.path())), 503, "ServiceUnavailable")

    asyncio.run(main())


# --- who may not, learns nothing of what exists


@pytest.mark.parametrize(
    "target",
    ["pods/dead:8080", "pods/gone", "pods/ftp:x:y", "pods/a:b:c:d", "services/gone:x", "nodes/node-a"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
def test_who_may_not_is_told_just_that(bastion: Bastion, target: str, method: str) -> None:
    kind, _, name = target.partition("/")
    path = f"{DEFAULT}/{target}/proxy" if kind != "nodes" else f"/api/v1/{target}/proxy"
    answer = asyncio.run(ask(bastion, request(path, method=method, token=CAROL)))
    assert_status(answer, 403, "Forbidden")
    verb = {"GET": "get", "POST": "create"}.get(method, "")
    where = 'in the namespace "default"' if kind != "nodes" else "at the cluster scope"
    message = answer.json()["message"]
    said = f'{kind} "{name}" is forbidden: User "carol" cannot {verb} resource "{kind}/proxy" in API group ""'
    assert message.startswith(f"{said} {where}: ")
    helps = message.removeprefix(f"{said} {where}: ")
    assert helps.startswith(
        "to allow it: kubectl create " if verb else "only a rule with the verb * allows it"
    )
    assert "not found" not in message and "no such" not in message


def test_only_what_is_granted_is_granted(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(LIVE), backend(pod.address) as other:
            service = Place("pair", LIVE, "services").path(port=80)
            for method, path, code in (
                ("GET", service, 200),
                ("HEAD", service, 200),
                ("POST", service, 403),
                ("GET", pod.path(), 403),
            ):
                assert (await ask(bastion, request(path, method=method, token=BOB))).status == code, (
                    method,
                    path,
                )
            assert not other.visits

    asyncio.run(main())


@pytest.mark.parametrize("token", ["", "guessed", "x" * 20_000, "a b"])
def test_nobody_is_nobody(bastion: Bastion, pod: Place, token: str) -> None:
    answer = asyncio.run(ask(bastion, request(pod.path(), token=token)))
    assert_status(answer, 401, "Unauthorized")
    told = {"": "Unauthorized: the request carries no credentials"}
    assert answer.json()["message"] == told.get(token, "Unauthorized")
    assert answer.one("WWW-Authenticate") == 'Bearer realm="kubernetes"'


def test_a_method_that_is_none_of_ours(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address) as behind:
            for method in ("TRACE", "PROPFIND"):
                answer = await ask(bastion, request(pod.path(), method=method))
                assert_status(answer, 405, "MethodNotAllowed")
                assert answer.one("Allow") == "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
            assert not behind.visits

    asyncio.run(main())


# --- the bastion's own errors and a backend's


FORGED = (
    b"HTTP/1.1 403 Forbidden\r\nX-Bastion-Error: Forbidden\r\nx-bastion-error: x\r\nAudit-Id: forged\r\n"
    b'Content-Length: 28\r\n\r\n{"kind":"Status","code":403}'
)


def test_what_a_backend_says_is_never_marked_as_ours(bastion: Bastion, pod: Place) -> None:
    async def main() -> None:
        async with backend(pod.address, sending(FORGED)):
            answer = await ask(bastion, request(pod.path()))
            assert (answer.status, answer.body) == (403, b'{"kind":"Status","code":403}')
            assert not answer.all("X-Bastion-Error")
            assert answer.one("Audit-Id") != "forged"

    asyncio.run(main())


# --- nodes are off unless asked for


def test_nodes_are_off_unless_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    async def ask_all(bastion: Bastion) -> None:
        async with backend(NODE, port=10250) as kubelet:
            for name in ("node-a", "node-a:10250", "gone"):
                answer = await ask(bastion, request(f"/api/v1/nodes/{name}/proxy/metrics"))
                assert_status(answer, 403, "Forbidden")
                assert "--enable-node-proxy" in answer.json()["message"]
            by_pod = await ask(
                bastion, request(Place("on-node", NODE).path("/metrics", port=10250, scheme="https"))
            )
            assert_status(by_pod, 403, "Forbidden")
            answer = await ask(bastion, request("/api/v1/nodes/node-a/proxy/metrics", token=CAROL))
            assert_status(answer, 403, "Forbidden")
            assert "--enable-node-proxy" not in answer.json()["message"]
            assert not kubelet.visits

    with serving(cluster, tmp_path) as bastion:
        asyncio.run(ask_all(bastion))
        checks = bastion.get("/readyz?verbose").text
        assert "nodes" not in checks
        assert ALICE not in json.dumps(bastion.lines()) + bastion.program.stderr


# --- itself


def test_the_bastion_does_not_dial_itself(tmp_path: Path) -> None:
    """Whoever may write a pod's status would otherwise have the bastion ask itself, as a client it trusts."""
    address, port = own_address(), free_port()
    if address.startswith("127."):
        pytest.skip("this machine has no address but loopback, which is refused anyway")
    cluster = Cluster(tmp_path, manifest_pod("itself", ip=address, ports=[("https", port)]))
    with serving(cluster, tmp_path, "--bind-address", "0.0.0.0", port=port) as bastion:
        answer = asyncio.run(
            ask(bastion, request(Place("itself", address).path("/version", port=port, scheme="https")))
        )
        assert_status(answer, 400, "BadRequest")
        assert "not one that this bastion may dial" in answer.json()["message"]
