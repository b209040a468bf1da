"""How does the program end where it cannot begin?

As a user sees it: an exit status, one line on stderr, never a traceback.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bastion import __version__
from bastion.runtime.certificates import Authority

ROOT = Path(__file__).parents[2]


@pytest.fixture
def bastion(tmp_path: Path) -> Any:
    """Runs `python -m bastion` in an empty home, away from any cluster; returns (status, stdout, lines of
    stderr).
    """

    def call(*arguments: Any) -> Any:
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "bastion", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert "Traceback" not in done.stderr
        return done.returncode, done.stdout, done.stderr.splitlines()

    return call


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The flags of a certificate that is a good one."""
    folder = tmp_path_factory.mktemp("pair")
    issued = Authority().issue(["localhost"])
    (folder / "tls.crt").write_bytes(issued.certificate)
    (folder / "tls.key").write_bytes(issued.key)
    return [f"--tls-cert-file={folder / 'tls.crt'}", f"--tls-private-key-file={folder / 'tls.key'}"]


def test_it_says_its_version(bastion: Any) -> None:
    assert bastion("version") == (0, f"bastion v{__version__}\n", [])


def test_it_helps(bastion: Any) -> None:
    status, out, err = bastion("serve", "--help")
    assert (status, err) == (0, [])
    assert "--kubeconfig PATH" in out


USAGE = [
    pytest.param([], "bastion: a command is required", id="no-command"),
    pytest.param(["sing"], "bastion: sing: unknown command", id="unknown-command"),
    pytest.param(
        ["serve", "--xyzzy-quux"], "bastion serve: --xyzzy-quux: unknown flag (see --help)", id="unknown-flag"
    ),
    pytest.param(
        ["serve", "--por=1"],
        "bastion serve: --por: unknown flag (did you mean --port?)",
        id="abbreviated-flag",
    ),
    pytest.param(
        ["serve", "--port=http"],
        "bastion serve: --port: http is not a port number (1 to 65535)",
        id="bad-value",
    ),
    pytest.param(
        ["serve", "--manifests=none"], "bastion serve: --manifests: none: no such file", id="missing-file"
    ),
    pytest.param(
        ["serve", "--tls-cert-file=/dev/null"],
        "bastion serve: --tls-cert-file and --tls-private-key-file belong",
        id="contradiction",
    ),
]


@pytest.mark.parametrize(("arguments", "line"), USAGE)
def test_a_mistake_in_the_usage_is_one_line_and_status_2(bastion: Any, arguments: Any, line: Any) -> None:
    status, out, err = bastion(*arguments)
    assert (status, out) == (2, "")
    assert len(err) == 1
    assert err[0].startswith(line)


def test_several_mistakes_are_a_line_each(bastion: Any) -> None:
    status, _, err = bastion("serve", "--manifests=none", "--kubeconfig=none", "--insecure-port=8443")
    assert status == 2
    assert len(err) == 4
    assert all(line.startswith("bastion serve: --") for line in err)


def fails(bastion: Any, *arguments: Any) -> Any:
    """The one line of a start that failed."""
    status, out, err = bastion(*arguments)
    assert (status, out) == (1, "")
    assert len(err) == 1, err
    return err[0]


def test_a_port_in_use(bastion: Any, pair: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails(bastion, "serve", f"--port={port}", *pair)
    assert line == f"bastion serve: cannot listen on 127.0.0.1:{port}: address already in use"


def test_a_certificate_that_is_none(bastion: Any, tmp_path: Path) -> None:
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).write_text("hunter2")
    line = fails(bastion, "serve", "--port=0", "--tls-cert-file=tls.crt", "--tls-private-key-file=tls.key")
    assert line.startswith("bastion serve: cannot use the certificate tls.crt with the key tls.key: ")
    assert "hunter2" not in line


def test_a_key_of_another_certificate(bastion: Any, pair: Any, tmp_path: Path) -> None:
    (tmp_path / "tls.key").write_bytes(Authority().issue(["localhost"]).key)
    line = fails(bastion, "serve", "--port=0", pair[0], "--tls-private-key-file=tls.key")
    assert line.endswith("with the key tls.key: key values mismatch")


def test_an_authority_of_kubelets_that_is_none(bastion: Any, pair: Any, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("none")
    (tmp_path / "web.yaml").write_text("{kind: Pod, apiVersion: v1, metadata: {name: a}}")
    line = fails(
        bastion, "serve", "--port=0", "--kubelet-certificate-authority=ca.crt", "--manifests=web.yaml", *pair
    )
    assert line.startswith("bastion serve: ")
    assert "ca.crt" in line, "which file it was"


MANIFESTS = [
    pytest.param("standalone", "a: [", "bad.yaml: document 1: line", id="no-yaml"),
    pytest.param(
        "serve",
        "{kind: Pod, apiVersion: v1, metadata: {name: a}, spec: {containers: 3}}",
        "bad.yaml: document 1: spec.containers",
        id="no-pod",
    ),
]


@pytest.mark.parametrize(("command", "text", "place"), MANIFESTS)
def test_manifests_that_are_wrong(
    bastion: Any, pair: Any, tmp_path: Path, command: Any, text: Any, place: Any
) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    line = fails(bastion, command, "--port=0", "--manifests=bad.yaml", *(pair if command == "serve" else []))
    assert line.startswith(f"bastion {command}: {place}")


def test_a_token_file_that_is_wrong_is_told_without_its_tokens(
    bastion: Any, pair: Any, tmp_path: Path
) -> None:
    (tmp_path / "tokens.csv").write_text("hunter2\n")
    (tmp_path / "web.yaml").write_text("{kind: Pod, apiVersion: v1, metadata: {name: a}}")
    line = fails(bastion, "serve", "--port=0", "--manifests=web.yaml", "--token-auth-file=tokens.csv", *pair)
    assert "tokens.csv: line 1: " in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    "text", ["a: [", "{kind: Config, current-context: x}"], ids=["no-yaml", "no-context"]
)
def test_a_kubeconfig_that_is_none(bastion: Any, pair: Any, tmp_path: Path, text: Any) -> None:
    (tmp_path / "config").write_text(text)
    assert fails(bastion, "serve", "--port=0", "--kubeconfig=config", *pair).startswith(
        "bastion serve: kubeconfig config: "
    )


def test_no_cluster_at_all(bastion: Any, pair: Any) -> None:
    line = fails(bastion, "serve", "--port=0", *pair)
    assert line.startswith(
        "bastion serve: no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) and not in a cluster"
    )


# --- --check, and what a start tells


MANIFEST = "{kind: Pod, apiVersion: v1, metadata: {name: a, namespace: default}}"


def test_a_check_says_what_a_start_would_say_and_ends(bastion: Any, pair: Any, tmp_path: Path) -> None:
    (tmp_path / "web.yaml").write_text(MANIFEST)
    status, out, err = bastion("serve", "--check", "--port=0", "--manifests=web.yaml", *pair)
    assert (status, err) == (0, [])
    assert re.match(
        r"ready: 0 services, 1 pods, [0-9.]+ s; watching as system:bastion at https://127\.0\.0\.1:[0-9]+\n",
        out,
    )
    assert "rights: 10 of 10\n" in out
    assert "certificate: serving until " in out


def test_a_check_without_an_api_server_fails_with_one_line(bastion: Any, pair: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        server = f"https://127.0.0.1:{sock.getsockname()[1]}"
    cluster = {"name": "c", "cluster": {"server": server}}
    context = {"name": "x", "context": {"cluster": "c", "user": "u"}}
    parts = {"clusters": [cluster], "users": [{"name": "u", "user": {"token": "t"}}], "contexts": [context]}
    (tmp_path / "config").write_text(
        json.dumps({"kind": "Config", "apiVersion": "v1", "current-context": "x", **parts})
    )
    status, out, err = bastion("serve", "--check", "--port=0", "--kubeconfig=config", *pair)
    assert status == 1
    assert out.startswith(f"not ready: watching at {server}\n")
    assert len(err) == 1, err
    assert err[0].startswith(f"bastion serve: {server} does not answer: ")
    assert "connection refused" in err[0].lower()
    assert "cannot list endpointslices, pods, services; nothing listens there" in err[0]


def test_more_workers_than_the_machine_carries(bastion: Any, pair: Any) -> None:
    line = fails(bastion, "serve", "--port=0", "--workers=100000", *pair)
    assert line.startswith("bastion serve: --workers 100000: this machine carries ")


def test_a_mistake_in_a_file_is_one_line_with_workers_too(bastion: Any, pair: Any, tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a: [")
    assert fails(bastion, "serve", "--port=0", "--workers=2", "--kubeconfig=config", *pair).startswith(
        "bastion serve: kubeconfig config: "
    )
