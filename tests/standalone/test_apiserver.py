"""The embedded API as a server: starting, certificates, strangers, stopping."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvloop
import yaml

from bastion.standalone.apiserver import ApiServer
from bastion.standalone.manifests import ManifestError
from bastion.standalone.tokens import TokenFileError
from tests.standalone.api import (
    BOT,
    CLUSTER,
    TOKEN_REVIEWS,
    TOKENS,
    client,
    eventually,
    get,
    names,
    post,
    replace,
    serving,
    told,
    trust,
    watching,
)
from tests.standalone.objects import write


def test_what_keeps_it_from_starting(tmp_path: Path) -> None:
    manifests, tokens = write(tmp_path / "cluster.yaml", CLUSTER), write(tmp_path / "tokens.csv", TOKENS)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]

    async def start(server: ApiServer) -> None:
        async with server:
            raise AssertionError("it started")

    with taken:
        with pytest.raises(ManifestError, match=r"gone\.yaml: no such file or folder"):
            asyncio.run(start(ApiServer([tmp_path / "gone.yaml"], tokens)))
        with pytest.raises(TokenFileError, match=r"gone\.csv: No such file or directory"):
            asyncio.run(start(ApiServer([manifests], tmp_path / "gone.csv")))
        with pytest.raises(OSError, match=f"cannot listen at 127.0.0.1 port {port}: Address already in use"):
            asyncio.run(start(ApiServer([manifests], tokens, port=port)))
        with pytest.raises(OSError, match=r"cannot listen at no\.such\.host\.invalid"):
            asyncio.run(start(ApiServer([manifests], tokens, address="no.such.host.invalid")))


def test_kubeconfig_has_the_internal_identity_first_and_a_context_per_user(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path, extra_tokens={"bot-token": BOT}) as server:
            replace(tmp_path, TOKENS + "another-token,bastion,9\nnewer-token,alice,2\n", "tokens.csv")
            await eventually(lambda: "newer-token" in server.kubeconfig())
            config = yaml.safe_load(server.kubeconfig())
            assert config["current-context"] == "bastion"
            assert [context["name"] for context in config["contexts"]] == [
                "bastion",
                "admin",
                "alice",
                "bob",
                "delegate",
                "bastion-2",
            ]
            tokens = {user["name"]: user["user"]["token"] for user in config["users"]}
            assert tokens["alice"] == "newer-token"
            assert tokens["bastion-2"] == "another-token"
            (cluster,) = config["clusters"]
            assert cluster["cluster"]["server"] == server.url
            review = await post(
                server, TOKEN_REVIEWS, {"spec": {"token": tokens["bastion"]}}, tokens["bastion"]
            )
            assert review.json()["status"]["user"]["username"] == "system:bastion"
            # may ask for anything
            assert (await get(server, "/metrics", tokens["bastion"])).status_code == 404

    asyncio.run(main())


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_certificate_is_for_this_machine_and_of_this_authority(tmp_path: Path, host: str) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            port = server.url.rpartition(":")[2]
            assert server.url == f"https://127.0.0.1:{port}"
            async with httpx.AsyncClient(verify=trust(server), trust_env=False) as http:
                assert (await http.get(f"https://{host}:{port}/livez")).text == "ok"
            async with httpx.AsyncClient(trust_env=False) as http:
                with pytest.raises(httpx.ConnectError):
                    await http.get(f"https://{host}:{port}/livez")

    asyncio.run(main())


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_clients_that_speak_no_tls_or_leave_are_no_news(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, new_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    said: list[dict[str, Any]] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        async with serving(tmp_path) as server:
            port = int(server.url.rpartition(":")[2])
            for junk in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00" + b"x" * 600, b"", b"\x16\x03"):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(junk)
                if junk[:1] == b"G":
                    await reader.read()  # refused
                writer.transport.abort()
            with pytest.raises(ssl.SSLError):
                await asyncio.open_connection("127.0.0.1", port, ssl=ssl.create_default_context())
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trust(server))
            writer.write(
                b"GET /api/v1/pods?watch=1 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer admin-token\r\n\r\n"
            )
            await reader.readuntil(b"ADDED")
            writer.transport.abort()
            assert (await get(server, "/livez")).text == "ok"

    with caplog.at_level(logging.WARNING), asyncio.Runner(debug=False, loop_factory=new_loop) as runner:
        runner.run(main())
    assert said == []
    assert "Traceback" not in caplog.text


def test_stopping_ends_open_watches_and_frees_the_port(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server:
            port = int(server.url.rpartition(":")[2])
            http = client(server)
            response = await http.send(http.build_request("GET", "/api/v1/pods?watch=true"), stream=True)
            lines = response.aiter_lines()
            await anext(lines)
            silent = await asyncio.open_connection("127.0.0.1", port)
        assert len([line async for line in lines]) == 1  # the other pod, then a proper end
        await http.aclose()
        silent[1].transport.abort()
        async with serving(tmp_path, port=port) as again:
            assert (await get(again, "/livez")).text == "ok"

    asyncio.run(main())


def test_it_leaves_signals_and_the_loop_alone(tmp_path: Path) -> None:
    async def main() -> None:
        before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
        async with serving(tmp_path):
            assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
        assert [task.get_name() for task in asyncio.all_tasks() if "standalone" in task.get_name()] == []

    asyncio.run(main())


def test_it_runs_on_uvloop_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with serving(tmp_path) as server, watching(server, "/api/v1/pods") as events:
            assert told(await anext(events)) == ("ADDED", "other")
            await anext(events)
            replace(tmp_path, CLUSTER.replace("name: other", "name: another"))
            assert told(await anext(events)) == ("ADDED", "another")

    uvloop.run(main())


def test_two_at_once_share_a_loop(tmp_path: Path) -> None:
    async def main() -> None:
        async with (
            serving(tmp_path / "one") as one,
            serving(tmp_path / "two", CLUSTER.replace("node-a", "node-b")) as two,
        ):
            assert names(await get(one, "/api/v1/nodes")) == ["node-a"]
            assert names(await get(two, "/api/v1/nodes")) == ["node-b"]
            with pytest.raises(httpx.ConnectError):
                async with httpx.AsyncClient(verify=trust(one), trust_env=False) as http:
                    await http.get(f"{two.url}/livez")

    asyncio.run(main())
