"""`bastion probe` against a running bastion: its table, and what its exit status says."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
import yaml

from bastion.cli.main import main
from tests.conformance.processes import serving
from tests.probe.world import NETWORK, OPEN, address, backend, may, pod, response, service

OBJECTS = [
    service("web"),
    *(pod(f"web-{n}", 60 + n) for n in range(2)),
    service("half"),
    *(pod(f"half-{n}", 62 + n) for n in range(2)),
    service("none"),
    *may("all", ["get"], OPEN),
]
LIVE = (60, 61, 62)  # all but half-1


@pytest.fixture(scope="module")
def backends() -> Iterator[None]:
    loop, over = asyncio.new_event_loop(), asyncio.Event()
    ready = threading.Event()

    async def serve() -> None:
        async with contextlib.AsyncExitStack() as stack:
            for number in LIVE:
                await stack.enter_async_context(backend(number, says={b"/": response()}))
            ready.set()
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert ready.wait(20)
    yield
    loop.call_soon_threadsafe(over.set)
    thread.join()
    loop.close()


@pytest.fixture(scope="module")
def server(backends: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("terminal")
    (folder / "cluster.yaml").write_text(yaml.safe_dump_all(OBJECTS))
    (folder / "tokens.csv").write_text("all,all,all\nnone,none,none\n")
    flags = ["--manifests", str(folder / "cluster.yaml"), "--token-auth-file", str(folder / "tokens.csv")]
    with serving(*flags, "--allow-target-cidr", f"{NETWORK}.0/24", log=folder / "log") as port:
        yield f"https://127.0.0.1:{port}"


def asked(server: str, target: str, *, token: str = "all", module: str = "http_2xx") -> list[str]:
    flags = ["--server", server, "--insecure-skip-tls-verify", "--token", token, "--module", module]
    return ["probe", target, *flags]


@pytest.mark.parametrize(
    ("target", "token", "status", "up", "says"),
    [
        ("services/shop/web:http", "all", 0, 2, ""),
        ("services/shop/half:http", "all", 1, 1, ""),
        ("services/shop/none:http", "all", 1, 0, ""),
        ("pods/shop/web-0:8080", "all", 0, 1, ""),
        ("services/shop/web:http", "none", 2, 0, "cannot get resource"),
        ("services/shop/absent", "all", 2, 0, "not found"),
        ("http://web.shop/", "all", 2, 0, "http://web.shop/"),
    ],
    ids=["healthy", "one is not", "no endpoint", "a pod", "may not", "not there", "no target"],
)
def test_the_exit_status(
    server: str,
    target: str,
    token: str,
    status: int,
    up: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(asked(server, target, token=token)) == status
    out, err = capsys.readouterr()
    assert sum(" up " in line for line in out.splitlines()) == up
    assert says in err
    if target.startswith("services/shop/half"):
        assert any(address(63) in line and " down" in line for line in out.splitlines())


def test_it_is_shown_anew_until_interrupted(server: str) -> None:
    command = [sys.executable, "-m", "bastion", *asked(server, "services/shop/web:http"), "--watch"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as shown:
        assert shown.stdout is not None
        lines = [shown.stdout.readline() for _ in range(6)]  # two tables of a heading and two endpoints
        shown.send_signal(signal.SIGINT)
        _, err = shown.communicate(timeout=60)
    assert lines[0] == lines[3]
    assert sum(" up " in line for line in lines) == 4
    assert "Traceback" not in err
