"""The bastion: one process, over manifests of its own or an API server's, that authenticates and authorizes
every request.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.fixture import Service, manifests, token_file
from bench.ground import Ground


def over_manifests(
    ground: Ground,
    port: int,
    services: Sequence[Service],
    *,
    insecure_port: int = 0,
    tree: Path | None = None,
) -> list[str]:
    """The command; the embedded API runs in the same process and its work is counted, too.

    `tree`: the working tree whose bastion it is, this one where it is None.
    """
    objects, tokens = written(ground, services)
    return [
        *(of_tree(tree) if tree is not None else ()),
        *_serve(ground, port, insecure_port),
        "--manifests",
        str(objects),
        "--token-auth-file",
        str(tokens),
    ]


def of_tree(tree: Path) -> list[str]:
    """What runs a Python command in another working tree."""
    return ["env", "-C", str(tree), f"PYTHONPATH={tree}"]


def over_kubeconfig(ground: Ground, port: int, kubeconfig: Path) -> list[str]:
    return [*_serve(ground, port, 0), "--kubeconfig", str(kubeconfig)]


def written(ground: Ground, services: Sequence[Service]) -> tuple[Path, Path]:
    """The manifests, and the token file."""
    return ground.file("cluster.yaml", manifests(services)), ground.file(
        "tokens.csv", token_file(ground.users)
    )


def _serve(ground: Ground, port: int, insecure_port: int) -> list[str]:
    command = [sys.executable, "-m", "bastion", "serve", "--port", str(port)]
    command += ["--allow-target-cidr", f"{ground.network}.0/24"]
    command += ["--tls-cert-file", str(ground.certificate), "--tls-private-key-file", str(ground.key)]
    return [*command, "--insecure-port", str(insecure_port)] if insecure_port else command
