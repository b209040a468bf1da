"""Which credentials does an exec plugin give?

One run of a program, asked and understood as client-go does.
"""

from __future__ import annotations

import base64
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from bastion.cluster.fields import Cluster, Exec, extension
from bastion.runtime.trust import not_after

FOR_PLUGINS = "client.authentication.k8s.io/exec"  # the extension of a cluster that a plugin gets
PATIENCE = 60.0  # seconds, where there is no terminal to type at
MOST_TOLD = 300  # characters of a plugin's output, or of its hint


class PluginError(Exception):
    """In one line, without what the plugin put out."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """`expires` in seconds of the epoch; None where the plugin did not say and there is no certificate that
    does.
    """

    token: str = ""
    certificate: bytes = b""
    key: bytes = b""
    expires: float | None = None


def run(
    plugin: Exec, command: str, cluster: Cluster, authorities: bytes | None, environ: Mapping[str, str]
) -> Credentials:
    """`command`: where the file is that the plugin names.  Raises PluginError."""
    interactive = plugin.interactive_mode != "Never" and sys.stdin is not None and sys.stdin.isatty()
    if plugin.interactive_mode == "Always" and not interactive:
        raise PluginError("interactiveMode: Always, but there is no terminal to ask at")
    info = {"apiVersion": plugin.api_version, "kind": "ExecCredential", "spec": {"interactive": interactive}}
    if plugin.provide_cluster_info:
        info["spec"]["cluster"] = _told(cluster, authorities)  # type: ignore[index]
    variables = {variable.name: variable.value for variable in plugin.env}
    program = shutil.which(command, path=environ.get("PATH", os.defpath))
    if program is None:
        hint = f": {_one_line(plugin.install_hint)}" if plugin.install_hint else ""
        raise PluginError(f"is not installed, or is not executable{hint}")
    try:
        done = subprocess.run(  # noqa: S603 that is what a plugin is
            [command, *plugin.args],
            executable=program,
            env={**environ, **variables, "KUBERNETES_EXEC_INFO": json.dumps(info, separators=(",", ":"))},
            stdin=None if interactive else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=None if interactive else subprocess.PIPE,
            timeout=None if interactive else PATIENCE,
            check=False,
        )
    except OSError as error:
        raise PluginError(f"cannot be run: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise PluginError(f"gave no answer within {PATIENCE:g} s") from error
    if done.returncode:
        reason = _one_line((done.stderr or b"").decode(errors="replace"))
        raise PluginError(f"ended with status {done.returncode}" + (f": {reason}" if reason else ""))
    return _given(done.stdout, plugin.api_version)


def _told(cluster: Cluster, authorities: bytes | None) -> dict[str, Any]:
    """The authority is always passed as the content of its file."""
    told: dict[str, Any] = msgspec.to_builtins(cluster)
    for name in ("certificate-authority", "extensions"):
        told.pop(name, None)
    if authorities is not None:
        told["certificate-authority-data"] = base64.b64encode(authorities).decode()
    return told | ({"config": config} if (config := extension(cluster, FOR_PLUGINS)) is not None else {})


class _Status(msgspec.Struct, rename="camel"):
    token: str | None = None
    client_certificate_data: str | None = None
    client_key_data: str | None = None
    expiration_timestamp: datetime.datetime | None = None


class _ExecCredential(msgspec.Struct, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status | None = None


def _given(output: bytes, api_version: str) -> Credentials:
    try:
        said = msgspec.json.decode(output, type=_ExecCredential)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise PluginError("put out no ExecCredential") from None  # and what it put out may be secret
    if said.kind != "ExecCredential" or said.api_version != api_version:
        raise PluginError(
            f"put out a {said.api_version} {said.kind} and no {api_version} ExecCredential"[:MOST_TOLD]
        )
    status = said.status or _Status()
    certificate, key = (
        (status.client_certificate_data or "").encode(),
        (status.client_key_data or "").encode(),
    )
    if bool(certificate) != bool(key):
        raise PluginError("gave a certificate or a key, but not both")
    if not status.token and not certificate:
        raise PluginError("gave no credentials")
    if not re.fullmatch(r"[\x20-\x7e]*", status.token or ""):
        raise PluginError("gave a token with characters that no token has")
    # A certificate that has ended is refused by a broken handshake, not by a 401: it has to be renewed
    # before.
    end = (
        status.expiration_timestamp.timestamp()
        if status.expiration_timestamp is not None
        else not_after(certificate)
    )
    return Credentials(status.token or "", certificate, key, end)


def _one_line(text: str) -> str:
    return " ".join(re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text).split())[:MOST_TOLD]
