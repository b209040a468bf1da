"""Good credentials of every form, at the most verbose level: none is in a log, a metric or an error, or at a
backend.

Bad ones are in tests/e2e/test_credentials.py.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.authn.provider import CLIENT_ID, Provider, Web, rsa_key
from tests.e2e.browser import Browser
from tests.e2e.certificates import PROXIES, USERS, proxys, showing, users
from tests.e2e.harness import ALICE, KUBELET_PORT, NODE, ROOT, TOKENS, Bastion, Cluster, Place, serving
from tests.e2e.wire import ask, backend, client, request
from tests.tunnel.ends import WEBSOCKET, accepting, echo

SUFFIX = "apps.localhost"
SUBPROTOCOL = "base64url.bearer.authorization.k8s.io."
SEALING = "s34ling-k3y-of-32-bytes-0r-more-s34ling"


@dataclass(frozen=True, slots=True)
class Setting:
    bastion: Bastion
    issuer: Provider
    folder: Path


@pytest.fixture(scope="module")
def talkative(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """Everything by which somebody may prove who he is, and a front for browsers."""
    folder = tmp_path_factory.mktemp("secrets")
    (folder / "users.crt").write_bytes(USERS.pem)
    (folder / "proxies.crt").write_bytes(PROXIES.pem)
    (folder / "session.key").write_text(SEALING)
    certificate, key = cluster.pair("kubelet-client", client=True)
    with Web() as web:
        issuer = Provider(f"{web.url}/main", time.time(), rsa_key("good"))
        issuer.publish(web)
        one = {
            "issuer": {"url": issuer.url, "audiences": [CLIENT_ID]},
            "claimMappings": {"username": {"claim": "sub", "prefix": "oidc:"}, "groups": {"claim": "groups"}},
        }
        document = {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AuthenticationConfiguration",
            "jwt": [one],
        }
        (folder / "authentication.yaml").write_text(json.dumps(document))
        flags = (
            *(
                "--client-ca-file",
                folder / "users.crt",
                "--requestheader-client-ca-file",
                folder / "proxies.crt",
            ),
            *(
                "--requestheader-username-headers",
                "X-Remote-User",
                "--authentication-config",
                folder / "authentication.yaml",
            ),
            *("--enable-node-proxy", "--kubelet-certificate-authority", cluster.ca),
            *("--kubelet-client-certificate", certificate, "--kubelet-client-key", key),
            *("--session-key-file", folder / "session.key", "--proxy-host-suffix", SUFFIX),
            *("--public-url", "https://bastion.localhost", "-v", 9),
        )
        with serving(cluster, folder, *flags) as bastion:
            yield Setting(bastion, issuer, folder)


def keys(folder: Path) -> list[str]:
    """A line of each private key on disk: whatever a log shows of a key shows one of these."""
    return [
        path.read_text().splitlines()[len(path.read_text().splitlines()) // 2]
        for path in folder.glob("*.key")
    ]


def test_no_good_credential_is_written_down_or_handed_on(
    talkative: Setting, cluster: Cluster, pod: Place, tmp_path: Path
) -> None:
    bastion, path = talkative.bastion, pod.path()
    issued = talkative.issuer.token(groups=["devs"])
    coded = base64.urlsafe_b64encode(ALICE.encode()).decode().rstrip("=")
    (tmp_path / "user").mkdir()
    (tmp_path / "proxy").mkdir()
    user, proxy = (
        showing(bastion, tmp_path / "user", users("erin", "devs")),
        showing(bastion, tmp_path / "proxy", proxys()),
    )
    browser = Browser(bastion.trust)
    secrets = [
        *(row.split(",")[0] for row in TOKENS.split()),
        issued,
        issued.rsplit(".", 1)[1],
        coded,
        SEALING,
    ]
    secrets += [
        *keys(cluster.folder),
        *keys(talkative.folder),
        *keys(tmp_path / "user"),
        *keys(tmp_path / "proxy"),
    ]

    async def by_every_form() -> bytes:
        """What the backends saw of it all."""
        async with (
            backend(pod.address) as behind,
            backend(NODE, port=KUBELET_PORT, ssl=cluster.backend_tls(NODE)),
        ):
            for status, whose, data in (
                (200, bastion, request(path)),
                (200, bastion, request(path, token=issued)),
                (200, bastion, request(path, f"X-Bastion-Authorization: Bearer {ALICE}", token="")),
                (200, user, request(path, token="")),
                (403, proxy, request(path, "X-Remote-User: alice", token="")),
                (200, bastion, request("/api/v1/nodes/node-a/proxy/metrics")),
                (401, bastion, request(f"{path}?token={ALICE}&access_token={issued}", token="")),
            ):
                assert (await ask(whose, data)).status == status, data
            assert (await asyncio.to_thread(browser.visit, f"{bastion.url}/login")).status_code == 200
            assert (await asyncio.to_thread(browser.sign_in, ALICE)).status_code in (200, 404)
            assert (await asyncio.to_thread(browser.visit, bastion.url + path)).status_code == 200
            seen = b"".join(message.head for message in behind.requests)
        async with backend(pod.address, accepting(echo)) as behind, client(bastion) as wire:
            await wire.send(
                request(
                    path,
                    *WEBSOCKET,
                    f"Sec-WebSocket-Protocol: {SUBPROTOCOL}{coded}, v4.channel.k8s.io",
                    token="",
                )
            )
            assert (await wire.head()).status == 101
        metrics = await asyncio.to_thread(lambda: bastion.get("/metrics").content)
        return seen + metrics

    seen = asyncio.run(by_every_form())
    cookies = [value for jar in browser.cookies.values() for value in jar.values() if len(value) > 20]
    assert cookies, "nobody signed in"
    last = bastion.get("/nowhere")
    bastion.line(last.headers["audit-id"])  # lines are written in order: all are there
    written = bastion.program.stdout + bastion.program.stderr
    assert '"debug"' in written or "HTTP Request" in written, "this is not as talkative as it gets"
    for place, text in (
        ("a log", written),
        ("a metric or a backend", seen.decode("latin-1")),
        ("an error", last.text),
    ):
        assert not [secret for secret in (*secrets, *cookies) if secret in text], place


_HEADERS = re.compile(r"(?:repr\(|!r\}|%r).{0,40}(?:fields|headers|head\b)|(?:fields|headers|head)!r")


IN_A_QUERY, IN_A_FIELD = "s3cr3t-in-the-query", "s3cr3t-in-a-field"
GUESS = f"Bearer {IN_A_FIELD}"
WS = (
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key:"
    " dGhlIHNhbXBsZSBub25jZQ=="
)

# lines of a head, QUERY and TARGET put in; what it is refused with
REFUSED: dict[str, tuple[str, int]] = {
    "no Host": ("GET TARGET HTTP/1.1", 400),
    "two hosts": ("GET TARGET HTTP/1.1\r\nHost: a\r\nHost: b", 400),
    "a list of hosts": (f"GET TARGET HTTP/1.1\r\nHost: a,{IN_A_FIELD}", 400),
    "userinfo": (f"GET http://u:{IN_A_FIELD}@bastion.test/?{IN_A_QUERY} HTTP/1.1\r\nHost: bastion.test", 400),
    "another authority": (f"GET http://other/?{IN_A_QUERY} HTTP/1.1\r\nHost: bastion.test", 400),
    "no such version": ("GET TARGET HTTP/3.1\r\nHost: bastion.test", 505),
    "a name that is none": (f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nAuthorization : {GUESS}", 400),
    "a folded line": (f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nX: a\r\n {IN_A_FIELD}", 400),
    "a bare LF": (f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nX: a\n{IN_A_FIELD}", 400),
    "two lengths": (
        "GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nContent-Length: 1\r\nContent-Length: 2",
        400,
    ),
    "too many fields": (
        f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nCookie: a={IN_A_FIELD}" + "\r\nX: y" * 101,
        431,
    ),
    "a bad token": (f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nAuthorization: {GUESS}", 401),
    "two tokens": (
        f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nAuthorization: {GUESS}\r\nAuthorization: {GUESS}",
        400,
    ),
    "two of our own": (
        (
            "GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nX-Bastion-Authorization:"
            f" {GUESS}\r\nX-Bastion-Authorization: x"
        ),
        400,
    ),
    "a bad subprotocol": (
        (
            f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\n{WS}\r\nSec-WebSocket-Protocol:"
            f" {SUBPROTOCOL}{IN_A_FIELD}!"
        ),
        401,
    ),
    "a password": (f"GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nAuthorization: Basic {IN_A_FIELD}", 401),
    "no route": (
        f"GET /nowhere?{IN_A_QUERY} HTTP/1.1\r\nHost: bastion.test\r\nAuthorization: Bearer {ALICE}",
        404,
    ),
    "no such pod": (
        (
            f"GET /api/v1/namespaces/default/pods/gone/proxy/?{IN_A_QUERY} HTTP/1.1\r\nHost:"
            f" bastion.test\r\nAuthorization: Bearer {ALICE}"
        ),
        404,
    ),
    "no such host": (
        f"GET /?{IN_A_QUERY} HTTP/1.1\r\nHost: a.b.c.svc.{SUFFIX}\r\nAuthorization: Bearer {ALICE}",
        400,
    ),
    "a kubelet's log query": (
        (
            f"GET /api/v1/nodes/node-a/proxy/logs?{IN_A_QUERY} HTTP/1.1\r\nHost:"
            f" bastion.test\r\nAuthorization: Bearer {ALICE}"
        ),
        403,
    ),
    "an unknown method": (
        f"BREW TARGET HTTP/1.1\r\nHost: bastion.test\r\nAuthorization: Bearer {ALICE}",
        405,
    ),
    "an expectation": ("GET TARGET HTTP/1.1\r\nHost: bastion.test\r\nExpect: more", 417),
}


@pytest.mark.parametrize(("head", "code"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_leaves_no_secret_behind(
    talkative: Setting, pod: Place, head: str, code: int
) -> None:
    bastion = talkative.bastion
    data = head.replace("TARGET", f"{pod.path()}?access_token={IN_A_QUERY}").encode() + b"\r\n\r\n"
    answer = asyncio.run(ask(bastion, data))
    assert answer.status == code, answer
    bastion.line(answer.one("Audit-Id"))
    written = bastion.program.stdout + bastion.program.stderr
    for secret in (IN_A_QUERY, IN_A_FIELD):
        assert not [line for line in written.splitlines() if secret in line]
        assert secret not in answer.body.decode()


def test_nothing_prints_headers() -> None:
    """A `repr` of headers in a message would hold credentials, and in a form that redaction may not know."""
    with contextlib.chdir(ROOT):
        found = [
            f"{path}: {line.strip()}"
            for path in Path("bastion").rglob("*.py")
            for line in path.read_text().splitlines()
            if _HEADERS.search(line)
        ]
    assert not found
