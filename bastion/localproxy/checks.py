"""· What contradicts itself in a kubeconfig, in kubectl's own words: scripts look for them."""

from __future__ import annotations

import re
from typing import Any

from bastion.cluster.entries import Entry
from bastion.runtime.errors import StartError

_NAME = re.compile(r"\[(.*)\]\.[a-z]+")
_TWICE = "{0}-data and {0} are both specified for {1}. {0}-data will override."
# what is said of -> the fields whose -data must not stand beside them
_FILES = {"client-certificate": "client-cert", "client-key": "client-key"}


def check_words(cluster: Entry, user: Entry) -> None:
    """Raises StartError.  What is wrong in another way is found when the entries are read."""
    place = cluster.value
    if place.get("certificate-authority") and place.get("certificate-authority-data"):
        raise StartError(_TWICE.format("certificate-authority", _name(cluster)))
    _check_certificate(user.value, _name(user))
    _check_methods(user.value, _name(user))


def _check_certificate(said: dict[str, Any], name: str) -> None:
    for field, word in _FILES.items():
        if said.get(field) and said.get(f"{field}-data"):
            raise StartError(_TWICE.format(word, name))
    certificate = said.get("client-certificate") or said.get("client-certificate-data")
    if certificate and not (said.get("client-key") or said.get("client-key-data")):
        raise StartError(
            f"client-key-data or client-key must be specified for {name} to use the clientCert authentication"
            " method."
        )


def _check_methods(said: dict[str, Any], name: str) -> None:
    token = said.get("token") or said.get("tokenFile")
    if token and (said.get("username") or said.get("password")):
        raise StartError(
            f"more than one authentication method found for {name}; found [token basicAuth], only"
            f" one is allowed"
        )
    if not said.get("as") and any(said.get(field) for field in ("as-uid", "as-groups", "as-user-extra")):
        raise StartError(f"requesting uid, groups or user-extra for {name} without impersonating a user")
    provider = said.get("auth-provider")
    if isinstance(provider, dict) and provider.get("name") in ("gcp", "azure"):
        raise StartError(f"The {provider['name']} auth plugin has been removed.")
    plugin = said.get("exec")
    if not isinstance(plugin, dict) or plugin.get("interactiveMode"):
        return
    if str(plugin.get("apiVersion", "")).endswith("/v1"):
        raise StartError(f"interactiveMode must be specified for {name} to use exec authentication plugin")


def _name(entry: Entry) -> str:
    match = _NAME.search(entry.path)
    return match[1] if match is not None else "the flags"
