"""From start to end: listening, workers, and stopping so that nobody notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.e2e.harness import ALICE, Bastion, Cluster, Program, serving
from tests.e2e.wire import Visit, ask, backend, client, request


async def until(program: Program, condition) -> None:  # type: ignore[no-untyped-def]
    await asyncio.to_thread(program.until, condition)


def refused(port: int, address: str = "127.0.0.1") -> bool:
    try:
        socket.create_connection((address, port)).close()
    except ConnectionRefusedError:
        return True
    return False


# --- SIGTERM


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopping_lets_everybody_finish(cluster: Cluster, tmp_path: Path, number: signal.Signals) -> None:
    pod = cluster.pod()

    async def main(bastion: Bastion) -> None:
        end = asyncio.Event()

        async def serve(visit: Visit) -> None:
            while True:
                message = await visit.message()
                if message.target == "/slow":
                    await visit.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    await visit.send_chunk(b"begun")
                    await end.wait()
                    await visit.send_chunk(b"ended")
                    await visit.send(b"0\r\n\r\n")
                else:
                    await visit.answer(b"quick")

        async with backend(pod.address, serve), client(bastion) as slow, client(bastion) as idle:
            await slow.send(request(pod.path("/slow")))
            assert (await slow.head()).status == 200
            assert await slow.chunk() == b"begun"
            await idle.send(request(pod.path()))
            assert (await idle.answer()).body == b"quick"
            assert bastion.passes("/readyz")

            bastion.program.signal(number)
            await until(bastion.program, lambda: not bastion.passes("/readyz"))
            readiness = await ask(bastion, request("/readyz?verbose", token=""))
            assert b"[-]shutdown failed: shutting down" in readiness.body
            assert (await ask(bastion, request("/livez", token=""))).status == 200
            assert (await ask(bastion, request(pod.path()))).body == b"quick"

            await until(bastion.program, lambda: refused(bastion.port))
            assert await idle.ended() == b""  # a connection without a request is closed
            assert await asyncio.to_thread(_running, bastion.program)
            end.set()
            assert [chunk async for chunk in slow.chunks()] == [b"ended"]
            assert await slow.ended() == b""
            assert await asyncio.to_thread(bastion.program.wait) == 0
            assert [line["path"] for line in bastion.lines()].count(pod.path("/slow")) == 1

    with serving(cluster, tmp_path, "--shutdown-delay-duration", "2s") as bastion:
        asyncio.run(main(bastion))


def _running(program: Program) -> bool:
    return program.process.poll() is None


def test_a_second_signal_ends_at_once(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.pod()

    async def main(bastion: Bastion) -> None:
        async with backend(pod.address, lambda visit: _ignore(visit)), client(bastion) as wire:
            await wire.send(request(pod.path()))
            bastion.program.signal(signal.SIGTERM)
            await until(bastion.program, lambda: not bastion.passes("/readyz"))
            bastion.program.signal(signal.SIGTERM)
            assert await asyncio.to_thread(bastion.program.wait) != 0
            assert await wire.ended() == b""

    async def _ignore(visit: Visit) -> None:
        await visit.ended()

    with serving(cluster, tmp_path, "--shutdown-delay-duration", "1h") as bastion:
        asyncio.run(main(bastion))


@pytest.mark.parametrize("workers", [1, 2])
def test_a_stop_during_the_start_ends_at_once(tmp_path: Path, workers: int) -> None:
    """Here it waits for a program that gives it credentials."""
    begun = tmp_path / "begun"
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": "sh",
        "args": ["-c", f"touch {begun}; exec sleep 60"],
    }
    plugin["interactiveMode"] = "Never"
    parts = {
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {"exec": plugin}}],
    }
    config = {
        "kind": "Config",
        "apiVersion": "v1",
        "current-context": "x",
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (tmp_path / "config").write_text(json.dumps({**config, **parts}))
    program = Program(
        tmp_path, "serve", "--kubeconfig", tmp_path / "config", "--port", 0, "--workers", workers
    )
    try:
        program.until(begun.exists)
        told = time.monotonic()
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
        assert time.monotonic() - told < 5
        assert "Traceback" not in program.stderr
    finally:
        program.end()


# --- workers


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    """What has ended, and was not waited for by anybody, has no command line any more."""
    try:
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_workers_share_a_port_and_are_replaced(cluster: Cluster, tmp_path: Path) -> None:
    pod = cluster.pod()

    async def main(bastion: Bastion) -> None:
        program = bastion.program
        workers = children(program.process.pid)
        assert len(workers) == 2

        async def answered_while_stopped(stopped: int) -> None:
            """A process that stands still accepts nothing: the other one answers."""
            os.kill(stopped, signal.SIGSTOP)
            try:
                assert (await ask(bastion, request(pod.path()))).status == 200
                async with client(bastion, plain=True) as wire:
                    await wire.send(request("/livez"))
                    assert (await wire.answer()).status == 200
            finally:
                os.kill(stopped, signal.SIGCONT)

        async with backend(pod.address):
            await until(program, lambda: program.stderr.count("serving https://") == 2)
            # of what is the same in all of them one tells
            await until(program, lambda: program.stderr.count('"ready: ') == 1)
            for worker in workers:
                await answered_while_stopped(worker)

            os.kill(workers[0], signal.SIGKILL)
            while workers[0] in (now := children(program.process.pid)) or len(now) < 2:
                assert (await ask(bastion, request(pod.path()))).status == 200
                await asyncio.sleep(0.02)
            await until(program, lambda: program.stderr.count("serving https://") == 3)
            await answered_while_stopped(workers[1])  # the newcomer answers

            now = children(program.process.pid)
            program.signal(signal.SIGTERM)
            assert await asyncio.to_thread(program.wait) == 0
            assert not [pid for pid in now if Path(f"/proc/{pid}").exists()]
            assert refused(bastion.port)

    with serving(cluster, tmp_path, "--workers", 2) as bastion:
        asyncio.run(main(bastion))


def test_workers_end_with_their_supervisor_however_it_ends(cluster: Cluster, tmp_path: Path) -> None:
    with serving(cluster, tmp_path, "--workers", 2) as bastion:
        program = bastion.program
        asyncio.run(until(program, lambda: program.stderr.count("serving https://") == 2))
        workers = children(program.process.pid)
        program.process.kill()
        program.process.wait()
        while any(map(alive, workers)):  # the time limit of the test ends this
            time.sleep(0.02)
        assert refused(bastion.port)


# --- listening


def test_plain_http_is_for_loopback_only(cluster: Cluster, tmp_path: Path) -> None:
    """Even where HTTPS is for everybody; and a certificate that was made here is said to be, once."""
    with serving(cluster, tmp_path, "--bind-address", "0.0.0.0", certificate=False) as bastion:
        plain = httpx.get(f"http://127.0.0.1:{bastion.plain_port}/version", trust_env=False)
        assert plain.status_code == 200
        assert refused(bastion.plain_port, "127.0.0.2")
        assert not refused(bastion.port, "127.0.0.2")
        pod = cluster.pod()
        asyncio.run(_plain_is_as_good(bastion, pod.path(), pod.address))

        said = [line for line in bastion.log() if "certificate" in line["msg"]]
        assert len(said) == 1
        assert said[0]["level"] == "warning"
        assert "--tls-cert-file" in said[0]["msg"]


async def _plain_is_as_good(bastion: Bastion, path: str, address: str) -> None:
    async with backend(address) as behind, client(bastion, plain=True) as wire:
        for token, code in ((ALICE, 200), ("", 401)):
            await wire.send(request(path, token=token))
            assert (await wire.answer()).status == code
        assert behind.requests[0].one("X-Forwarded-Proto") == "http"


def test_a_port_that_is_taken_is_said_in_a_line(cluster: Cluster, tmp_path: Path) -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        program = Program(tmp_path, "serve", "--manifests", cluster.manifests, "--port", port)
        assert program.wait() == 1
        assert program.stderr == f"bastion serve: cannot listen on 127.0.0.1:{port}: address already in use\n"
        assert program.stdout == ""
