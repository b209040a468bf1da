"""What an operator sees, whom --only-user lets in, and what keeps an idle connection alive."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from bastion.localproxy.dial import keep_alive
from tests.fakes import run
from tests.localproxy.ground import Proxy, in_front


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


def test_a_line_per_request_without_its_query(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, "--access-log", "-v=3") as (made, _):
            await made.get("/api?token=secret")
            await made.get("/x", b"Host: evil.test\r\n")

    run(conversation())
    said = capfd.readouterr().err
    assert "secret" not in said
    assert re.search(r"^\S+ 127\.0\.0\.1 GET /api 200 3B [0-9.]+ms$", said, re.MULTILINE)
    assert re.search(r"^\S+ 127\.0\.0\.1 GET /x 403 ", said, re.MULTILINE)
    assert "Filter accepting GET /api localhost\n" in said
    assert "Filter rejecting GET /x evil.test\n" in said


def test_metrics_are_on_an_address_of_their_own(tmp_path: Path) -> None:
    async def conversation() -> None:
        port = free_port()
        async with in_front(tmp_path, f"--metrics-bind-address=127.0.0.1:{port}") as (made, api):
            await made.get("/api")
            there = Proxy(port, made.local)
            text = (await there.get("/metrics")).body.decode()
            assert 'bastion_proxy_requests_total{code="200",method="GET"} 1.0\n' in text
            assert "bastion_proxy_tunnels 0.0\n" in text
            assert (await there.get("/api")).status == 404
            assert (await made.get("/metrics")).body == b"ok\n"  # the API server's own
            assert [sent.line.split()[1] for sent in api.sent] == ["/api", "/metrics"]

    run(conversation())


@pytest.mark.parametrize(("flags", "status"), [(["--only-user"], 403), ([], 200)], ids=str)
def test_another_users_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flags: list[str], status: int
) -> None:
    async def conversation() -> None:
        async with in_front(tmp_path, *flags) as (made, api):
            assert (await made.get("/api")).status == 200
            mine = os.getuid()
            monkeypatch.setattr(os, "getuid", lambda: mine + 1)
            assert (await made.get("/api")).status == status
            assert len(api.sent) == 1 + (status == 200)

    run(conversation())


def test_an_idle_connection_is_kept_alive() -> None:
    with socket.socket() as sock:
        keep_alive(sock, 7)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 7
