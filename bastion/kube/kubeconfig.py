"""· A kubeconfig with a context for each token."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
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
    """The user's name, with a number after it where another context has that name."""
    used, name, number = set(taken), user, 1
    while name in used:
        number += 1
        name = f"{user}-{number}"
    return name
