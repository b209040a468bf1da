"""What may follow on a command line, as kubectl asks for its plugin."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from bastion.cli.completion import commands
from bastion.cli.offering import FILES, NO_FILES, NO_SPACE, main, offered

KNOWN = commands()
TARGETS = ["svc/shop/web", "svc/shop/db", "pod/shop/web-0"]


def names(flags: Sequence[str]) -> list[str]:
    return [name for name in TARGETS if "-n" not in flags or "pod" in name]


ROWS: list[tuple[str, set[str], int]] = [
    ("", {"serve", "tunnel", "why"}, NO_FILES),
    ("tun", {"tunnel"}, NO_FILES),
    ("get ", {*TARGETS}, NO_FILES | NO_SPACE),
    ("get svc/", {"svc/shop/web", "svc/shop/db"}, NO_FILES | NO_SPACE),
    ("get -n shop ", {"pod/shop/web-0"}, NO_FILES | NO_SPACE),
    ("get n", {"node/"}, NO_FILES | NO_SPACE),
    ("tunnel pod", {"pod/shop/web-0"}, NO_FILES),
    ("why bob get svc/shop/w", {"svc/shop/web"}, NO_FILES | NO_SPACE),
    ("why bob ", set(), NO_FILES),
    ("get svc/shop/web -", {"--output", "--context", "--help"}, NO_FILES),
    ("get svc/shop/web -o ", {"wide", "json", "yaml", "name"}, NO_FILES),
    ("get --output=y", {"--output=yaml"}, NO_FILES),
    ("get --kubeconfig ", set(), FILES),
    ("targets --insecure-skip-tls-verify --out", {"--output"}, NO_FILES),
    ("curl svc/shop/web -- -", set(), FILES),
    ("completion z", {"zsh"}, NO_FILES),
    ("nothing ", set(), FILES),
]


@pytest.mark.parametrize(("line", "words", "directive"), ROWS)
def test_what_may_follow(line: str, words: set[str], directive: int) -> None:
    offers, said = offered(KNOWN, line.split(" "), names)
    found = {word for word, _ in offers}
    assert words <= found if words else not found
    assert said == directive


def test_a_bastion_that_does_not_answer_offers_the_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["get", "--server=https://127.0.0.1:9", "--token=x", "s"]) == 0
    assert capsys.readouterr().out == "svc/\n:6\n"


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_kubectl_asks_it(tmp_path: Path) -> None:
    for name, code in (("kubectl-bastion", "main"), ("kubectl_complete-bastion", "offering")):
        file = tmp_path / name
        file.write_text(
            f"#!{sys.executable}\nimport sys\nfrom bastion.cli.{code} import main\nsys.exit(main())\n"
        )
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    environment = {"PATH": path, "HOME": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run(
        ["kubectl", "__complete", "bastion", "tun"], env=environment, capture_output=True, text=True
    )
    assert ran.stdout.splitlines()[0].startswith("tunnel\t"), ran.stderr
