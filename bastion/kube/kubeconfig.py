"""· Kubeconfigs: one with a context for each token, or one that is there with an entry more."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
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


def with_plugin(
    known: Any, name: str, url: str, ca: bytes, command: Sequence[str], *, use: bool
) -> dict[str, Any]:
    """`known` with a cluster, a user and a context of this name; all else stays.  `ca` empty: the system's.

    It becomes the current context where there is none, or to `use` it was asked for.  Raises ValueError where
    `known` is no kubeconfig.
    """
    if not isinstance(known, dict) or known.get("kind", "Config") != "Config":
        raise ValueError("is no kubeconfig")
    cluster = {"server": url}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": command[0],
        "args": [*command[1:]],
        "interactiveMode": "IfAvailable",
        "provideClusterInfo": False,
        "installHint": "bastion is not on the path: install it, or run `bastion kubeconfig` again.",
    }
    entries = {
        "clusters": {"name": name, "cluster": cluster},
        "users": {"name": name, "user": {"exec": plugin}},
        "contexts": {"name": name, "context": {"cluster": name, "user": name}},
    }
    changed = {"apiVersion": "v1", "kind": "Config", **known}
    for kind, entry in entries.items():
        changed[kind] = _replaced(known.get(kind), entry)
    if use or not known.get("current-context"):
        changed["current-context"] = name
    return changed


def _replaced(entries: Any, entry: dict[str, Any]) -> list[Any]:
    """In its place, where there is one of that name."""
    if entries is None:
        return [entry]
    if not isinstance(entries, list) or not all(isinstance(one, dict) for one in entries):
        raise ValueError("is no kubeconfig")
    names = [one.get("name") for one in entries]
    if entry["name"] not in names:
        return [*entries, entry]
    return [entry if one.get("name") == entry["name"] else one for one in entries]
