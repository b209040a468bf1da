"""Whom does a front proxy speak for?

Real handshakes with a running bastion; and the files of authorities, while it runs.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bastion.runtime.certificates import Authority
from tests.e2e.certificates import PROXIES, USERS, guarded, proxys, seen_by, showing
from tests.e2e.harness import ALICE, ROOT, Bastion, Cluster, Place, serving
from tests.e2e.wire import GONE, assert_status

__all__ = ["guarded"]  # a fixture

# of the headers that are configured
NAMES = ("X-Remote-User", "X-Remote-Group", "Who", "Team", "Number", "More-Scope")


ERIN = ("X-Remote-User: erin", "X-Remote-Group: others", "Team: devs", "Number: 7", "More-Scope: all")


def test_a_front_proxy_speaks_for_its_users(guarded: Bastion, pod: Place, tmp_path: Path) -> None:
    answer, (seen,) = asyncio.run(seen_by(showing(guarded, tmp_path, proxys()), pod, *ERIN, "X-Own: kept"))
    assert answer.status == 200
    assert guarded.line(answer.one("Audit-Id"))["user"] == "erin"
    assert not {name.lower() for name in NAMES} & seen.names()
    assert seen.one("X-Own") == "kept"


def test_the_first_header_that_is_not_empty_names_the_user(
    guarded: Bastion, pod: Place, tmp_path: Path
) -> None:
    answer, _ = asyncio.run(
        seen_by(
            showing(guarded, tmp_path, proxys("other")), pod, "X-Remote-User:", "Who: frank", "Team: devs"
        )
    )
    assert (answer.status, guarded.line(answer.one("Audit-Id"))["user"]) == (200, "frank")


def test_a_front_proxys_user_acts_as_others_by_his_own_right(
    guarded: Bastion, pod: Place, tmp_path: Path
) -> None:
    proxy = showing(guarded, tmp_path, proxys())
    as_alice = ("Impersonate-User: alice", "Impersonate-Group: devs")
    for user, code in (("dave", 200), ("erin", 403)):
        answer, _ = asyncio.run(seen_by(proxy, pod, f"X-Remote-User: {user}", *as_alice))
        assert answer.status == code


def test_one_who_is_not_on_the_list_is_no_front_proxy(guarded: Bastion, pod: Place, tmp_path: Path) -> None:
    answer, seen = asyncio.run(seen_by(showing(guarded, tmp_path, proxys("frontend")), pod, *ERIN))
    assert_status(answer, 401)
    assert not seen


def test_configured_headers_reach_no_backend_whoever_sends_them(guarded: Bastion, pod: Place) -> None:
    """Also where a token authenticated the request, and where Connection names them."""
    connection = "Connection: Who, X-Remote-User"
    for lines in (ERIN, (*ERIN, connection)):
        answer, (seen,) = asyncio.run(seen_by(guarded, pod, *lines, "Who: x", "Whose: mine", token=ALICE))
        assert answer.status == 200
        assert guarded.line(answer.one("Audit-Id"))["user"] == "alice"
        assert not {name.lower() for name in NAMES} & seen.names()
        assert seen.one("Whose") == "mine"


# --- files


def test_a_renewed_authority_counts_without_a_restart(cluster: Cluster, tmp_path: Path) -> None:
    old, new, file, pod = Authority("old"), Authority("new"), tmp_path / "ca.crt", cluster.pod()
    file.write_bytes(old.pem)
    connections = {}
    with serving(cluster, tmp_path, "--client-ca-file", file) as bastion:
        for name, one in (("old", old), ("new", new)):
            (tmp_path / name).mkdir()
            connections[name] = showing(
                bastion,
                tmp_path / name,
                one.issue([], common_name="erin", organizations=["devs"], client=True),
            )

        def status(name: str) -> int:
            try:
                return asyncio.run(seen_by(connections[name], pod))[0].status
            except GONE:
                return 0

        assert (status("old"), status("new")) == (200, 0)
        file.write_bytes(old.pem + new.pem)
        bastion.program.until(lambda: status("new") == 200)
        assert status("old") == 200
        file.write_bytes(b"broken")
        bastion.program.until(lambda: "cannot be used" in bastion.program.stderr)
        assert (status("old"), status("new")) == (200, 200)
        file.write_bytes(new.pem)
        bastion.program.until(lambda: status("old") == 0)
        assert status("new") == 200


def refused(*flags: object) -> tuple[int, str]:
    """(exit status, what it says) of a bastion that cannot start."""
    command = [
        sys.executable,
        "-m",
        "bastion",
        "serve",
        "--manifests",
        os.devnull,
        "--port",
        "0",
        *map(str, flags),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    "content", [b"", b"nonsense", PROXIES.issue([], client=True).key], ids=["empty", "no PEM", "a key"]
)
@pytest.mark.parametrize("flag", ["--client-ca-file", "--requestheader-client-ca-file"])
def test_with_an_authority_that_cannot_be_used_it_does_not_listen(
    tmp_path: Path, flag: str, content: bytes
) -> None:
    """CVE-2026-27586: a proxy that asks for no certificate then, and lets everybody in."""
    file = tmp_path / "ca.crt"
    file.write_bytes(content)
    flags = ("--requestheader-username-headers", "X-Remote-User") if "header" in flag else ()
    status, said = refused(flag, file, *flags)
    assert status == 1
    assert str(file) in said
    assert "Traceback" not in said


@pytest.mark.parametrize("workers", [1, 2])
def test_everybody_with_a_certificate_would_be_a_front_proxy(tmp_path: Path, workers: int) -> None:
    for name, pem in (("users.crt", USERS.pem), ("both.crt", PROXIES.pem + USERS.pem)):
        (tmp_path / name).write_bytes(pem)
    flags = (
        "--client-ca-file",
        tmp_path / "users.crt",
        "--requestheader-client-ca-file",
        tmp_path / "both.crt",
    )
    status, said = refused(*flags, "--requestheader-username-headers", "X-Remote-User", "--workers", workers)
    assert status == 1
    assert "--requestheader-allowed-names" in said
    assert said.count("\n") == 1


# --- in a browser, whose cookie at the front proxy is as ambient as ours

EVIL = (
    "Origin: https://evil.test",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Mode: navigate",
    "Sec-Fetch-Dest: document",
)


@pytest.mark.parametrize("who", ["front proxy", "certificate"])
def test_what_a_browser_shows_unasked_is_sandboxed_and_does_not_count_elsewhere(
    guarded: Bastion, pod: Place, tmp_path: Path, who: str
) -> None:
    pair = (
        proxys()
        if who == "front proxy"
        else USERS.issue([], common_name="erin", organizations=["devs"], client=True)
    )
    connection, lines = showing(guarded, tmp_path, pair), ERIN if who == "front proxy" else ()
    for method in ("GET", "POST"):
        answer, seen = asyncio.run(seen_by(connection, pod, *lines, method=method))
        assert (answer.status, len(seen)) == (200, 1), "a program, which says nothing of where it is"
        assert answer.one("Content-Security-Policy").startswith("sandbox allow-scripts ")
        answer, seen = asyncio.run(seen_by(connection, pod, *lines, *EVIL, method=method))
        assert_status(answer, 403)  # nobody in particular, whom this bastion lets in, may not
        assert 'User "system:anonymous" cannot' in answer.json()["message"]
        assert answer.one("Content-Security-Policy").startswith("default-src 'none'; ")
        assert not seen


def test_what_a_token_asked_for_is_not_sandboxed(guarded: Bastion, pod: Place) -> None:
    answer, _ = asyncio.run(seen_by(guarded, pod, token=ALICE))
    assert (answer.status, answer.all("Content-Security-Policy")) == (200, [])
