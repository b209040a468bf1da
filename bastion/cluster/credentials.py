"""The credentials of a kubeconfig's user: tokens, passwords and certificates, or those of a plugin."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from bastion.cluster.entries import Entry
from bastion.cluster.fields import AuthInfo, Cluster, Exec, Mistake, decoded
from bastion.cluster.plugins import Credentials, PluginError, run

NOTHING = Credentials()


@dataclass(frozen=True, slots=True)
class Identity:
    """`credentials` is empty but for a client certificate, and for when a plugin has to be asked again."""

    authorization: str | None = None
    credentials: Credentials = NOTHING
    files: tuple[Path, ...] = ()


def identity_of(
    by: Entry, user: AuthInfo, cluster: Cluster, authorities: bytes | None, environ: Mapping[str, str]
) -> Identity:
    """A plugin is asked only where nothing else is there; a certificate and a token go together."""
    if user.exec is not None and not (user.has_token or user.has_password or user.has_certificate):
        credentials = _of_plugin(by, user.exec, cluster, authorities, environ)
        return Identity(
            f"Bearer {credentials.token}" if credentials.token else None, replace(credentials, token="")
        )
    certificate, files = content_of(
        by, "client-certificate", user.client_certificate, user.client_certificate_data
    )
    key, key_files = (
        content_of(by, "client-key", user.client_key, user.client_key_data) if certificate else (None, ())
    )
    credentials = Credentials(certificate=certificate or b"", key=key or b"")
    if user.has_token:
        token, token_files = _token(by, user)
        return Identity(f"Bearer {token}", credentials, (*files, *key_files, *token_files))
    if user.has_password:
        pair = base64.b64encode(f"{user.username}:{user.password}".encode()).decode()
        return Identity(f"Basic {pair}", credentials, (*files, *key_files))
    return Identity(None, credentials, (*files, *key_files))


def _token(by: Entry, user: AuthInfo) -> tuple[str, tuple[Path, ...]]:
    """The file's comes first; the other one is for when the file cannot be read."""
    if not user.token_file:
        return user.token, ()
    file = by.file(user.token_file)
    try:
        token = file.read_text(encoding="ascii").strip()
        if token:
            return token, (file,)
    except UnicodeDecodeError:
        raise Mistake(f"{by.path}.tokenFile: {file} holds no token") from None
    except OSError as error:
        if not user.token:
            raise Mistake(f"{by.path}.tokenFile: {file} cannot be read: {error.strerror}") from None
    if not user.token:
        raise Mistake(f"{by.path}.tokenFile: {file} is empty")
    return user.token, (file,)


def _of_plugin(
    by: Entry, plugin: Exec, cluster: Cluster, authorities: bytes | None, environ: Mapping[str, str]
) -> Credentials:
    """Raises Mistake.  A command with a slash in it begins where its file is, one without is searched for."""
    command = str(by.file(plugin.command)) if "/" in plugin.command else plugin.command
    try:
        return run(plugin, command, cluster, authorities, environ)
    except PluginError as error:
        raise Mistake(f"{by.path}.exec: the plugin {plugin.command!r} {error}") from None


def content_of(of: Entry, field: str, name: str, data: str) -> tuple[bytes | None, tuple[Path, ...]]:
    """(what a file, or the field itself, holds; the file)."""
    if data:
        return decoded(data, f"{of.path}.{field}-data"), ()
    if not name:
        return None, ()
    try:
        return of.file(name).read_bytes(), (of.file(name),)
    except OSError as error:
        raise Mistake(f"{of.path}.{field}: {of.file(name)} cannot be read: {error.strerror}") from None
