"""Who comes with a certificate?  Real handshakes with a running bastion."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bastion.runtime.certificates import CertificatePair
from tests.authn.certificates import SERVER, Issued, issue
from tests.authn.certificates import authority as make_authority
from tests.e2e.certificates import USERS, guarded, pair_of, proxys, seen_by, showing, users
from tests.e2e.harness import ALICE, BOB, Bastion, Cluster, Place, serving
from tests.e2e.wire import GONE, ask, assert_status, backend, client, request

__all__ = ["guarded"]  # a fixture


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def test_a_certificate_is_a_user_with_groups(
    guarded: Bastion, pod: Place, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    erin = showing(guarded, tmp_path, users("erin", "devs"), version=version)
    answer, (seen,) = asyncio.run(seen_by(erin, pod))
    assert answer.status == 200
    assert guarded.line(answer.one("Audit-Id"))["user"] == "erin"
    assert not [name for name in seen.names() if "cert" in name or "remote" in name]


def test_every_request_of_a_connection_is_the_certificates(
    guarded: Bastion, pod: Place, tmp_path: Path
) -> None:
    async def main() -> None:
        async with (
            backend(pod.address) as behind,
            client(showing(guarded, tmp_path, users("erin", "devs"))) as wire,
        ):
            for _ in range(3):
                await wire.send(request(pod.path(), token=""))
                assert (await wire.answer()).status == 200
            assert len(behind.requests) == 3

    asyncio.run(main())


def test_what_a_user_may_is_asked_of_the_cluster(guarded: Bastion, pod: Place, tmp_path: Path) -> None:
    answer, seen = asyncio.run(seen_by(showing(guarded, tmp_path, users("mallory")), pod))
    assert_status(answer, 403, "Forbidden")
    assert 'User "mallory" cannot get resource "pods/proxy"' in answer.json()["message"]
    assert not seen


def test_a_chain_with_an_intermediate_is_verified(cluster: Cluster, tmp_path: Path) -> None:
    """The authority's file has the root alone; the client sends the intermediate."""
    root = make_authority("root", now=time.time())
    middle = make_authority("middle", root, now=time.time())
    (tmp_path / "root.crt").write_bytes(root.pem)
    pod = cluster.pod()
    with serving(cluster, tmp_path, "--client-ca-file", tmp_path / "root.crt") as bastion:
        erin = issue(middle, "erin", "devs", now=time.time())
        answer, _ = asyncio.run(seen_by(showing(bastion, tmp_path, pair_of(erin, middle)), pod))
        assert answer.status == 200
        assert bastion.line(answer.one("Audit-Id"))["user"] == "erin"


ANONYMOUS = 'User "system:anonymous" cannot get'

# one rule for a certificate beside other credentials.
BESIDE: dict[str, tuple[tuple[str, ...], str, int, str]] = {
    "nothing": ((), "", 200, "erin"),
    "another's token: the certificate comes first, as for kube-apiserver": ((), BOB, 200, "erin"),
    "a bad token": ((), "guessed", 200, "erin"),
    "the headers of a front proxy": (
        ("X-Remote-User: root", "X-Remote-Group: system:masters"),
        "",
        200,
        "erin",
    ),
    "X-Bastion-Authorization: nothing else is looked at": (
        (f"X-Bastion-Authorization: Bearer {ALICE}",),
        "",
        200,
        "alice",
    ),
}


@pytest.mark.parametrize(("lines", "token", "code", "user"), BESIDE.values(), ids=BESIDE)
def test_a_certificate_beside(
    guarded: Bastion, pod: Place, tmp_path: Path, lines: tuple[str, ...], token: str, code: int, user: str
) -> None:
    answer, _ = asyncio.run(
        seen_by(showing(guarded, tmp_path, users("erin", "devs")), pod, *lines, token=token)
    )
    assert answer.status == code
    assert guarded.line(answer.one("Audit-Id"))["user"] == user


def test_a_bad_x_bastion_authorization_beside_a_good_certificate_is_401(
    guarded: Bastion, pod: Place, tmp_path: Path
) -> None:
    erin = showing(guarded, tmp_path, users("erin", "devs"))
    answer, seen = asyncio.run(seen_by(erin, pod, "X-Bastion-Authorization: Bearer guessed"))
    assert_status(answer, 401)
    assert not seen


def test_without_a_certificate_all_is_as_before(guarded: Bastion, pod: Place) -> None:
    for token, code in ((ALICE, 200), ("guessed", 401), ("", 403)):
        answer, _ = asyncio.run(seen_by(guarded, pod, token=token))
        assert answer.status == code
    assert ANONYMOUS in answer.json()["message"]


def test_a_certificate_takes_a_websocket(guarded: Bastion, pod: Place, tmp_path: Path) -> None:
    async def main() -> None:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = (
            "Connection: Upgrade",
            "Upgrade: websocket",
            "Sec-WebSocket-Version: 13",
            f"Sec-WebSocket-Key: {key}",
        )
        for pair, code in ((users("erin", "devs"), 503), (users("mallory"), 403)):
            answer = await ask(showing(guarded, tmp_path, pair), request(pod.path("/ws"), *lines, token=""))
            assert answer.status == code  # 503: allowed, and nobody listens at the pod

    asyncio.run(main())


# --- certificates that are none here

NOW = time.time()
STRANGERS = make_authority("strangers", now=NOW)
OURS = Issued(USERS._certificate, USERS._key)  # to issue what an authority would not
BAD: dict[str, Callable[[], CertificatePair]] = {
    "of another authority": lambda: pair_of(issue(STRANGERS, "erin", "devs", now=NOW)),
    "of another authority, which is sent along": lambda: pair_of(
        issue(STRANGERS, "erin", "devs", now=NOW), STRANGERS
    ),
    "signed by itself": lambda: pair_of(issue(None, "erin", "devs", now=NOW)),
    "of a server": lambda: pair_of(issue(OURS, "erin", "devs", usage=[SERVER], now=NOW)),
    "expired": lambda: pair_of(issue(OURS, "erin", "devs", ends=-60, now=NOW)),
    "not yet valid": lambda: pair_of(issue(OURS, "erin", "devs", begins=600, now=NOW)),
}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
def test_a_bad_certificate_fails_the_handshake(
    guarded: Bastion, pod: Place, tmp_path: Path, bad: Callable[[], CertificatePair], version: ssl.TLSVersion
) -> None:
    """Also with a good token beside it: what is shown is meant."""

    async def main() -> None:
        async with backend(pod.address) as behind:
            with pytest.raises(GONE):
                await ask(showing(guarded, tmp_path, bad(), version=version), request(pod.path()))
            assert not behind.visits

    asyncio.run(main())


NOBODYS: dict[str, Callable[[], CertificatePair]] = {
    "without a name": lambda: pair_of(issue(OURS, None, "devs", now=NOW)),
    "with a NUL in the name": lambda: pair_of(issue(OURS, "erin\0", "devs", now=NOW)),
    "with two UIDs": lambda: pair_of(issue(OURS, "erin", "devs", uids=["1", "2"], now=NOW)),
    "of a front proxy that names nobody": proxys,
}


@pytest.mark.parametrize("pair", NOBODYS.values(), ids=NOBODYS)
def test_a_good_certificate_that_names_nobody_is_never_anonymous(
    guarded: Bastion, pod: Place, tmp_path: Path, pair: Callable[[], CertificatePair]
) -> None:
    bastion = showing(guarded, tmp_path, pair())
    answer, seen = asyncio.run(seen_by(bastion, pod))
    assert_status(answer, 401)
    assert not seen
    answer, seen = asyncio.run(seen_by(bastion, pod, token=ALICE))  # a token beside it still counts
    assert (answer.status, len(seen)) == (200, 1)


def test_no_session_is_resumed_into_an_identity(guarded: Bastion, tmp_path: Path) -> None:
    """Under TLS 1.3 nothing is resumed, so who shows no certificate has none, whatever he showed
    before.
    """
    context = showing(guarded, tmp_path, users("erin", "devs")).trust
    session = None
    for _ in range(2):
        with _connected(guarded.port, context, session) as sock:
            sock.sendall(request("/version", "Connection: close", token=""))
            while sock.recv(65536):
                pass
            assert not sock.session_reused
            session = sock.session
            assert session is None or not session.has_ticket


def _connected(port: int, context: ssl.SSLContext, session: ssl.SSLSession | None) -> ssl.SSLSocket:
    return context.wrap_socket(
        socket.create_connection(("127.0.0.1", port)), server_hostname="127.0.0.1", session=session
    )


def test_a_plain_connection_has_no_certificate_and_its_headers_are_nothing(
    guarded: Bastion, pod: Place
) -> None:
    async def main() -> None:
        async with client(guarded, plain=True) as wire:
            await wire.send(request(pod.path(), "X-Remote-User: erin", "X-Remote-Group: devs", token=""))
            answer = await wire.answer()
            assert_status(answer, 403)
            assert ANONYMOUS in answer.json()["message"]

    asyncio.run(main())
