"""Which cluster and which user, after what the flags say?  Entries of a kubeconfig in, entries out.

As client-go's DirectClientConfig has it, with one difference: what is missing is named, never replaced by
http://localhost:8080.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bastion.cluster.entries import Config, Entry
from bastion.cluster.fields import AuthInfo, check_user, read
from bastion.localproxy.checks import check_words
from bastion.localproxy.options import Connection
from bastion.localproxy.server import Server, parse_server
from bastion.runtime.errors import StartError


@dataclass(frozen=True, slots=True)
class Selection:
    """`cluster` and `user` are ready to be loaded; `has_plugin`: the credentials are an exec plugin's."""

    cluster: Entry
    user: Entry
    server: Server
    has_plugin: bool


def context_names(configs: Sequence[Config]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for config in configs for name in config.contexts))


def current_context(configs: Sequence[Config], asked: Connection) -> str:
    """Empty where none is chosen."""
    return asked.context or next((c.current_context for c in configs if c.current_context), "")


def select(configs: Sequence[Config], asked: Connection, context: str) -> Selection:
    """Raises StartError."""
    found = _context(configs, asked, context)
    cluster = _cluster(configs, asked, found)
    user = _user(configs, asked, found, cluster.folder)
    return _checked(cluster, user, context or "flags")


def _context(configs: Sequence[Config], asked: Connection, context: str) -> dict[str, Any]:
    if context:
        entry = _named(configs, "contexts", context, f'context "{context}" does not exist')
        return entry.value if isinstance(entry.value, dict) else {}
    if asked.cluster or asked.server:
        return {}
    names = ", ".join(context_names(configs))
    raise StartError(
        "no current context is set: choose one with --context" + (f" ({names})" if names else "")
    )


def _cluster(configs: Sequence[Config], asked: Connection, context: dict[str, Any]) -> Entry:
    name = asked.cluster or context.get("cluster")
    if name:
        entry = _named(configs, "clusters", str(name), f'cluster "{name}" does not exist')
    elif asked.server:
        entry = Entry({}, Path.cwd(), "flags")
    else:
        raise StartError("the context names no cluster")
    value = dict(entry.value) if isinstance(entry.value, dict) else {}
    if asked.insecure_skip_tls_verify:
        value.pop("certificate-authority", None)
        value.pop("certificate-authority-data", None)
        value["insecure-skip-tls-verify"] = True
    if asked.certificate_authority:
        value.pop("certificate-authority-data", None)
        value["certificate-authority"] = os.path.abspath(asked.certificate_authority)  # noqa: PTH100
    if asked.server:
        value["server"] = asked.server
        value.pop("tls-server-name", None)
    for field, said in (("tls-server-name", asked.tls_server_name), ("proxy-url", asked.proxy_url)):
        if said:
            value[field] = said
    return replace(entry, value=value)


def _user(configs: Sequence[Config], asked: Connection, context: dict[str, Any], folder: Path) -> Entry:
    name = asked.user or context.get("user")
    if name:
        entry = _named(configs, "users", str(name), f'auth info "{name}" does not exist')
    else:
        entry = Entry({}, folder, "users[].user")
    value = dict(entry.value) if isinstance(entry.value, dict) else {}
    if asked.token:
        value.pop("tokenFile", None)
    for flag, field in (("client_certificate", "client-certificate"), ("client_key", "client-key")):
        if path := getattr(asked, flag):
            value.pop(f"{field}-data", None)
            value[field] = os.path.abspath(path)  # noqa: PTH100 a link's own folder, as kubectl has it
    said = {
        "token": asked.token,
        "username": asked.username,
        "password": asked.password,
        "as": asked.as_user,
        "as-uid": asked.as_uid,
        "as-groups": list(asked.as_groups),
    }
    value.update({field: text for field, text in said.items() if text})
    return replace(entry, value=value)


def _checked(cluster: Entry, user: Entry, context: str) -> Selection:
    check_words(cluster, user)
    text = cluster.value.get("server")
    if not isinstance(text, str) or not text:
        raise StartError(f"{cluster.path}.server: must be set (context {context})")
    info = read(AuthInfo, user.value, user.path)
    check_user(info, user.path)
    secret = info.has_token or info.has_password or info.has_certificate or info.exec is not None
    server = parse_server(text, secret=secret or "certificate-authority" in " ".join(cluster.value))
    plugin = info.exec is not None and not (info.has_token or info.has_password or info.has_certificate)
    return Selection(
        replace(cluster, value={**cluster.value, "server": f"{server.scheme}://{server.authority}"}),
        user,
        server,
        plugin and server.tls,
    )


def _named(configs: Sequence[Config], kind: str, name: str, missing: str) -> Entry:
    for config in configs:
        entry: Entry | None = getattr(config, kind).get(name)
        if entry is not None:
            return entry
    raise StartError(missing)
