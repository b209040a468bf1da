"""How does a client reach this API?  A kubeconfig with a context per user; pure but for writing it."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bastion.kube.documents import yaml_of

CLUSTER = "bastion"


def kubeconfig(url: str, ca: bytes, tokens: Mapping[str, str]) -> str:
    """YAML.  `tokens`: context -> token, the first is the current one."""
    data = {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": CLUSTER, "cluster": data}],
        "contexts": [{"name": name, "context": {"cluster": CLUSTER, "user": name}} for name in tokens],
        "users": [{"name": name, "user": {"token": token}} for name, token in tokens.items()],
        "current-context": next(iter(tokens)),
    }
    return yaml_of(config)


def context_name(user: str, taken: Iterable[str]) -> str:
    """The user's name, or with a number behind it where another context has it."""
    used, name, number = set(taken), user, 1
    while name in used:
        number += 1
        name = f"{user}-{number}"
    return name


def write_private(path: Path, text: str) -> None:
    """Readable by the owner only, and never half there: written beside and renamed.  Raises OSError."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(
            os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8"
        ) as file:
            file.write(text)
        beside.replace(path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
