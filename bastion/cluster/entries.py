"""Which cluster and which user do the files of a kubeconfig name?  Texts in, two entries out; pure.

Of several files the first that has something by a name wins; what is not chosen is not looked into.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bastion.cluster.fields import Mistake
from bastion.kube.documents import documents


@dataclass(frozen=True, slots=True)
class Entry:
    """What a file holds under a name; `folder` is where its relative paths begin, `path` what it is called in
    messages.
    """

    value: Any
    folder: Path
    path: str

    def file(self, name: str) -> Path:
        return Path(os.path.normpath(self.folder / name))


@dataclass(frozen=True, slots=True)
class Config:
    """A file; the entries by name."""

    clusters: dict[str, Entry]
    users: dict[str, Entry]
    contexts: dict[str, Entry]
    current_context: str = ""


KINDS = {"clusters": "cluster", "users": "user", "contexts": "context"}


def config_of(text: str, file: Path) -> Config:
    """Raises Mistake."""
    try:
        document = next(documents(text), None)
    except ValueError as error:
        raise Mistake(f"{file} is not a kubeconfig: {error}") from None
    content = {} if document is None or document.value is None else document.value
    if (
        not isinstance(content, dict)
        or content.get("kind") not in (None, "", "Config")
        or content.get("apiVersion") not in (None, "", "v1")
    ):
        raise Mistake(f"{file} is not a kubeconfig: it must be an object of kind Config and apiVersion v1")
    current = content.get("current-context") or ""
    if not isinstance(current, str):
        raise Mistake("current-context: must be a string")
    folder = Path(os.path.abspath(file)).parent  # noqa: PTH100 a link's own folder, as kubectl has it
    return Config(**{kind: dict(_entries(content, kind, folder)) for kind in KINDS}, current_context=current)


def _entries(content: dict[str, Any], kind: str, folder: Path) -> Iterator[tuple[str, Entry]]:
    names: set[str] = set()
    listed = content.get(kind) or []
    if not isinstance(listed, list):
        raise Mistake(f"{kind}: must be a list")
    for index, node in enumerate(listed):
        name = node.get("name") if isinstance(node, dict) else None
        if not isinstance(name, str):
            raise Mistake(f"{kind}[{index}].name: must be a string")
        if name in names:
            raise Mistake(f"{kind}[{index}].name: {name} is there twice")
        names.add(name)
        yield name, Entry(node.get(KINDS[kind]), folder, f"{kind}[{name}].{KINDS[kind]}")


def _first(configs: Sequence[Config], kind: str, name: str, asked_by: str) -> Entry:
    for config in configs:
        if name in getattr(config, kind):
            entry: Entry = getattr(config, kind)[name]
            return entry
    raise Mistake(f"{asked_by}: there is no {KINDS[kind]} with name {name}")


def chosen(configs: Sequence[Config], asked_for: str = "") -> tuple[Entry, Entry]:
    """The cluster and the user of a context, or of the current one.  Raises Mistake."""
    context = asked_for or next(filter(None, (config.current_context for config in configs)), "")
    if not context:
        known = sorted({name for config in configs for name in config.contexts})
        raise Mistake(
            "it names no current-context: choose one with --context"
            + (f" ({', '.join(known)})" if known else "")
        )
    found = _first(configs, "contexts", context, "--context" if asked_for else "current-context")
    named = found.value if isinstance(found.value, dict) else {}
    if not named.get("cluster"):
        raise Mistake(f"{found.path}.cluster: must be set")
    cluster = _first(configs, "clusters", str(named["cluster"]), f"{found.path}.cluster")
    if not named.get("user"):
        return cluster, Entry({}, cluster.folder, "users[].user")  # anonymous, as with kubectl
    return cluster, _first(configs, "users", str(named["user"]), f"{found.path}.user")
