"""Programs of others through a tunnel: a database, a cache, Python's usual HTTP library, SOCKS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import requests

from tests.debian import lacks
from tests.e2e.harness import ALICE, PORT, Bastion, Place, Program
from tests.e2e.wire import backend
from tests.loopback import free_port
from tests.tunnel.test_connect import awaited, proxy, say  # noqa: F401
from tests.tunnel.test_listener import tunnel

PATIENCE = 60.0  # seconds for a server to listen


@contextlib.asynccontextmanager
async def listening(command: list[str], address: str, port: int) -> AsyncIterator[None]:
    """A server, from when it listens on."""
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(PATIENCE):
            while True:
                assert process.returncode is None, f"{command[0]} ended with {process.returncode}"
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(address, port)
                    writer.close()
                    break
                await asyncio.sleep(0.05)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


@contextlib.asynccontextmanager
async def forwarded(bastion: Bastion, folder: Path, *words: str) -> AsyncIterator[int]:
    """The local port of `bastion tunnel`."""
    program: Program = tunnel(bastion, folder, *words)
    try:
        found = await asyncio.to_thread(
            program.until, lambda: re.search(r"(?:from|on) 127\.0\.0\.1:(\d+)", program.stdout)
        )
        yield int(found[1])
    finally:
        program.end()


async def ran(*words: str, **more: str) -> str:
    done = await asyncio.to_thread(
        subprocess.run, words, capture_output=True, text=True, timeout=PATIENCE, env=os.environ | more
    )
    return f"{done.stdout}{done.stderr}"


def installed(program: str, *packages: str) -> None:
    if shutil.which(program) is None and (missing := lacks(*packages)):
        pytest.skip(missing)


@pytest.fixture
def database() -> Iterator[tuple[Path, Path]]:
    """(the folder of PostgreSQL's programs, that of a database), which belongs to the user postgres."""
    if os.geteuid() != 0:
        pytest.skip("needs root: PostgreSQL runs as a user of its own")
    installed("psql", "postgresql")
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not programs:
        pytest.skip("there is psql, but no PostgreSQL")
    folder = Path(tempfile.mkdtemp())
    shutil.chown(folder, "postgres")
    as_itself = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"]
    command = [
        *as_itself,
        str(programs[-1] / "initdb"),
        "-A",
        "trust",
        "--no-sync",
        "-D",
        str(folder / "data"),
    ]
    made = subprocess.run(command, capture_output=True, text=True, cwd="/")
    assert made.returncode == 0, made.stderr
    yield programs[-1], folder
    shutil.rmtree(folder)


@awaited
async def test_psql_and_postgresql(
    proxy: Bastion,  # noqa: F811
    pod: Place,
    database: tuple[Path, Path],
    tmp_path: Path,
) -> None:
    programs, folder = database
    command = [
        "setpriv",
        "--reuid=postgres",
        "--regid=postgres",
        "--clear-groups",
        str(programs / "postgres"),
    ]
    command += ["-D", str(folder / "data"), "-p", "5432", "-c", f"listen_addresses={pod.address}"]
    command += ["-c", f"unix_socket_directories={folder}", "-c", "fsync=off"]
    async with listening(command, pod.address, 5432), forwarded(proxy, tmp_path, pod.name, ":5432") as port:
        sql = "select sum(x) from generate_series(1, 100000) x; select repeat('x', 1000000)"
        words = ("psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-Atc", sql)
        said = await ran(*words, PGCONNECT_TIMEOUT="30")
    assert said == "5000050000\n" + "x" * 1000000 + "\n", said[:2000]


@awaited
async def test_redis_cli_and_redis(proxy: Bastion, pod: Place, tmp_path: Path) -> None:  # noqa: F811
    installed("redis-server", "redis-server", "redis-tools")
    command = ["redis-server", "--bind", pod.address, "--port", "6379", "--save", "", "--dir", str(tmp_path)]
    command += ["--protected-mode", "no"]
    async with listening(command, pod.address, 6379), forwarded(proxy, tmp_path, pod.name, ":6379") as port:
        words = ("redis-cli", "-h", "127.0.0.1", "-p", str(port))
        assert await ran(*words, "set", "k", "v") == "OK\n"
        assert await ran(*words, "get", "k") == "v\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@awaited
async def test_curl_over_socks(proxy: Bastion, pod: Place, tmp_path: Path) -> None:  # noqa: F811
    async with backend(pod.address, say), forwarded(proxy, tmp_path, "--socks", str(free_port())) as port:
        url = f"http://{pod.name}.default.pod:{PORT}/x"
        assert await ran("curl", "-sS", "--socks5-hostname", f"127.0.0.1:{port}", url) == "GET /x"


# of a proxy it verifies nothing where the URL is http
@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
@awaited
async def test_requests_asks_for_a_url(proxy: Bastion, pod: Place) -> None:  # noqa: F811
    to = proxy.url.replace("https://", f"https://x:{ALICE}@")

    def ask() -> str:
        with requests.Session() as session:
            session.trust_env = False
            session.verify = str(proxy.cluster.ca)
            url = f"http://{pod.name}.default.pod:{PORT}/a?b"
            return session.get(url, proxies={"http": to}, timeout=PATIENCE).text

    async with backend(pod.address, say):
        assert await asyncio.to_thread(ask) == "GET /a?b"
