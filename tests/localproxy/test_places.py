"""Several contexts, applications on hosts of their own, tokens, files, and who is at the other end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bastion.localproxy.owner import owner
from tests.fakes import run
from tests.localproxy.ground import Api, Proxy, Sent, in_front, kubeconfig, proxy


@contextlib.asynccontextmanager
async def east_and_west(folder: Path, *flags: str) -> AsyncIterator[Proxy]:
    def named(name: str) -> Api:
        def answer(sent: Sent) -> bytes:
            body = f"{name} {sent.line.split()[1]}".encode()
            more = b"Location: /api/v1/namespaces/n/services/s/proxy/in\r\nSet-Cookie: a=b; Path=/\r\n"
            return b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n%b" % (more, len(body), body)

        return Api(answer)

    async with named("east").serving() as east, named("west").serving() as west:
        config = kubeconfig(east.url)
        config["clusters"].append({"name": "west", "cluster": {"server": west.url}})
        config["contexts"].append({"name": "west", "context": {"cluster": "west"}})
        async with proxy(config, folder, *flags) as made:
            yield made


PLACES = [
    ("localhost", "/x", "east /x"),
    ("localhost", "/contexts/west/x?a=%2F", "west /x?a=%2F"),
    ("localhost", "/contexts/main/x", "east /x"),
    ("west.localhost:1", "/x", "west /x"),
    ("main.localhost", "/contexts/west/x", "west /x"),
    ("s--n.svc.localhost", "/x", "east /api/v1/namespaces/n/services/s/proxy/x"),
    ("https--s--web--n.svc.localhost", "/", "east /api/v1/namespaces/n/services/https:s:web/proxy/"),
    ("p--8080--n.pod.west.localhost", "/x", "west /api/v1/namespaces/n/pods/p:8080/proxy/x"),
    (
        "s--n.svc.localhost",
        "/api/v1/namespaces/n/services/s/proxy/x",
        "east /api/v1/namespaces/n/services/s/proxy/x",
    ),
]


@pytest.mark.parametrize(("host", "path", "body"), PLACES, ids=str)
def test_which_context_and_which_application(tmp_path: Path, host: str, path: str, body: str) -> None:
    async def conversation() -> None:
        async with east_and_west(tmp_path, "--contexts=main,west", "--rewrite") as made:
            got = await made.get(path, b"Host: %b\r\n" % host.encode())
            assert (got.status, got.body.decode()) == (200, body)

    run(conversation())


REFUSED = [
    ([], "west.localhost", "/x", 403),
    ([], "s--n.svc.localhost", "/x", 403),
    (["--contexts=main"], "west.localhost", "/x", 403),
    (["--contexts=main"], "localhost", "/contexts/west/x", 404),
    (["--rewrite"], "nothing.svc.localhost", "/x", 400),
    (["--rewrite"], "s--n.svc.west.localhost", "/x", 403),
    (["--rewrite"], "evil.test.localhost", "/x", 403),
    (["--rewrite"], "s--n.svc.localhost.evil.test", "/x", 403),
]


@pytest.mark.parametrize(("flags", "host", "path", "status"), REFUSED, ids=str)
def test_only_what_was_asked_for_is_served(
    tmp_path: Path, flags: list[str], host: str, path: str, status: int
) -> None:
    async def conversation() -> None:
        async with east_and_west(tmp_path, *flags) as made:
            assert (await made.get(path, b"Host: %b\r\n" % host.encode())).status == status

    run(conversation())


PROXIED = "/api/v1/namespaces/n/services/s/proxy"
REWRITTEN = [
    ([], "localhost", f"{PROXIED}/x", f"{PROXIED}/in", "a=b; Path=/"),
    (["--rewrite"], "localhost", f"{PROXIED}/x", f"{PROXIED}/in", f"a=b; Path={PROXIED}"),
    (["--rewrite"], "s--n.svc.localhost", "/x", "/in", "a=b; Path=/"),
    (
        ["--rewrite", "--all-contexts"],
        "localhost",
        f"/contexts/west{PROXIED}/x",
        f"/contexts/west{PROXIED}/in",
        f"a=b; Path=/contexts/west{PROXIED}",
    ),
]


@pytest.mark.parametrize(("flags", "host", "path", "location", "cookie"), REWRITTEN, ids=str)
def test_redirects_and_cookies_of_applications(
    tmp_path: Path, flags: list[str], host: str, path: str, location: str, cookie: str
) -> None:
    async def conversation() -> None:
        async with east_and_west(tmp_path, *flags) as made:
            got = await made.get(path, b"Host: %b\r\n" % host.encode())
            assert (got.one("location"), got.one("set-cookie")) == (location, cookie)

    run(conversation())


def test_a_redirect_stays_in_its_context(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with east_and_west(tmp_path, "--all-contexts") as made:
            got = await made.get("/contexts/west//evil.test/x?a=1")
            assert (got.status, got.one("location")) == (307, "/contexts/west/evil.test/x?a=1")

    run(conversation())


@pytest.mark.parametrize("written", ["arn:aws:eks:r:1:cluster/c", "arn%3Aaws:eks:r:1:cluster%2Fc"])
def test_a_context_with_slashes_in_its_name(tmp_path: Path, written: str) -> None:
    async def conversation() -> None:
        async with Api().serving() as api:
            config = kubeconfig(api.url)
            context = {"cluster": "main", "user": "main"}
            config["contexts"].append({"name": "arn:aws:eks:r:1:cluster/c", "context": context})
            async with proxy(config, tmp_path, "--all-contexts") as made:
                assert (await made.get(f"/contexts/{written}/x")).status == 200
                assert api.sent[0].line == "GET /x HTTP/1.1"

    run(conversation())


def test_the_token_is_asked_for_and_stays_here(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, "--auth-token", f"--www={tmp_path}") as (made, api):
            token = made.local.token.encode()
            cookie = b"bastion-proxy-token=%b" % token
            refused = [b"", b"Cookie: bastion-proxy-token=x\r\n", b"Authorization: Bearer x\r\n"]
            refused.append(b"Cookie: %b; %b\r\n" % (cookie, b"bastion-proxy-token=x"))
            for fields in refused:
                assert (await made.get("/x", fields)).status == 401
                assert (await made.get("/static/config", fields)).status == 401
            opened = await made.get(f"/x?a=1&bastion-token={token.decode()}")
            assert (opened.status, opened.one("location")) == (303, "/x?a=1")
            assert opened.one("set-cookie") == f"{cookie.decode()}; Path=/; HttpOnly; SameSite=Strict"
            for fields in (
                b"Cookie: a=b; %b; c=d\r\n" % cookie,
                b"X-Bastion-Token: %b\r\n" % token,
                b"Authorization: Bearer %b\r\n" % token,
            ):
                assert (await made.get("/x", fields)).status == 200
            away = await made.get(f"/\\evil.test?bastion-token={token.decode()}")
            assert away.one("location") == "/%5Cevil.test"
            again = await made.get(f"/x?bastion-token={token.decode()}", b"Cookie: %b\r\n" % cookie)
            assert (again.status, again.one("location")) == (303, "/x")
            assert len(api.sent) == 3
            assert token.decode() not in json.dumps([sent.fields for sent in api.sent])
            assert api.sent[0].one("cookie") == "a=b; c=d"

    run(conversation())


def test_hosts_that_two_contexts_would_share_are_neithers(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with Api().serving() as api:
            config = kubeconfig(api.url)
            for name in ("Main", "a/b", "a/b/c"):
                config["contexts"].append({"name": name, "context": {"cluster": "main"}})
            async with proxy(config, tmp_path, "--all-contexts") as made:
                for host, path, status in (
                    ("main.localhost", "/x", 403),
                    ("localhost", "/contexts/Main/x", 200),
                    ("localhost", "/contexts/a/b/c/x", 200),
                ):
                    assert (await made.get(path, f"Host: {host}\r\n".encode())).status == status
                assert [sent.line for sent in api.sent] == ["GET /x HTTP/1.1"] * 2

    run(conversation())


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX], ids=str)
def test_the_owner_of_the_other_end(family: socket.AddressFamily, tmp_path: Path) -> None:
    address = {socket.AF_INET: ("127.0.0.1", 0), socket.AF_INET6: ("::1", 0)}.get(family, str(tmp_path / "s"))
    with socket.socket(family) as listening, socket.socket(family) as client:
        try:
            listening.bind(address)
        except OSError:
            pytest.skip("no such address here")
        listening.listen()
        client.connect(listening.getsockname())
        accepted, _ = listening.accept()
        with accepted:
            assert owner(accepted) == os.getuid()


def test_an_owner_that_cannot_be_told_is_nobody(tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert owner(accepted, proc=tmp_path) is None


def test_a_socket_that_its_owner_has_closed_is_nobodys(tmp_path: Path) -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    with listening, socket.create_connection(listening.getsockname()) as client:
        accepted, _ = listening.accept()
        with accepted:
            client.close()
            assert owner(accepted) is None


def test_connections_are_kept_and_pipelines_answered(tmp_path: Path) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path) as (made, api):
            reader, writer = await made.connect()
            writer.write(
                b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\nGET /b HTTP/1.1\r\nHost: localhost\r\n\r\n"
            )
            for _ in range(2):
                assert b"200" in await asyncio.wait_for(reader.readuntil(b"ok\n"), 5)
            assert [sent.line.split()[1] for sent in api.sent] == ["/a", "/b"]
            writer.close()

    run(conversation())
