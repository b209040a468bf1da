"""· Which fields has a kubeconfig, and which of them go together?  clientcmd/v1 and client-go's validation of
it; pure.

Each field of Cluster, AuthInfo and ExecConfig is here: it is honoured, or the file is refused by the field's
name.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec

from bastion.cluster.proxies import wrong

EXEC_API = "client.authentication.k8s.io/"
ADVICE = {  # auth-provider -> what took its place
    "gcp": (
        "kubectl has it no more either: use gke-gcloud-auth-plugin as an exec plugin (gcloud container"
        " clusters get-credentials)"
    ),
    "azure": "kubectl has it no more either: use kubelogin as an exec plugin (kubelogin convert-kubeconfig)",
    "oidc": (
        "use an exec plugin that renews the token (kubectl oidc-login get-token), or a ServiceAccount's token"
    ),
    "openstack": "kubectl has it no more either: use client-keystone-auth as an exec plugin",
}
_OTHER_ADVICE = "use an exec plugin, a client certificate or a ServiceAccount's token"


class Mistake(ValueError):
    """`field: what is wrong with it`, in one line that holds nothing secret."""


class Cluster(msgspec.Struct, frozen=True, rename="kebab", omit_defaults=True):
    server: str = ""
    tls_server_name: str = ""
    insecure_skip_tls_verify: bool = False
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    proxy_url: str = ""
    disable_compression: bool = False  # nothing is asked for in compressed form here
    extensions: Any = None  # one may be for an exec plugin; the others are for other programs


class EnvVar(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class Exec(msgspec.Struct, frozen=True, rename="camel"):
    command: str = ""
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    api_version: str = ""
    install_hint: str = ""
    provide_cluster_info: bool = False
    interactive_mode: str = ""


class AuthProvider(msgspec.Struct, frozen=True):
    name: str = ""
    config: Any = None


class AuthInfo(msgspec.Struct, frozen=True, rename="kebab"):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(default="", name="tokenFile")
    impersonate: str = msgspec.field(default="", name="as")
    impersonate_uid: str = msgspec.field(default="", name="as-uid")
    impersonate_groups: tuple[str, ...] = msgspec.field(default=(), name="as-groups")
    impersonate_extra: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict, name="as-user-extra")
    username: str = ""
    password: str = ""
    auth_provider: AuthProvider | None = None
    exec: Exec | None = None
    extensions: Any = None

    @property
    def has_token(self) -> bool:
        return bool(self.token or self.token_file)

    @property
    def has_password(self) -> bool:
        return bool(self.username)

    @property
    def has_certificate(self) -> bool:
        return bool(self.client_certificate or self.client_certificate_data)


S = TypeVar("S", bound=msgspec.Struct)


def read(kind: type[S], value: Any, path: str) -> S:
    """Raises Mistake."""
    try:
        return msgspec.convert(_without_nulls(value) or {}, type=kind)
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$")
        field = path + re.sub(r"\[\.\.\.\]", "", where.removesuffix("`"))
        raise Mistake(f"{field}: {problem[:1].lower()}{problem[1:]}".replace("`", "")) from None


def unknown(kind: type[msgspec.Struct], value: Any, path: str) -> Iterator[str]:
    """Names that are no fields of `kind`."""
    known = {field.encode_name for field in msgspec.structs.fields(kind)}
    yield from (f"{path}.{name}" for name in value or {} if name not in known)


def _without_nulls(value: Any) -> Any:
    """A null is a field left out."""
    if isinstance(value, dict):
        return {name: _without_nulls(inner) for name, inner in value.items() if inner is not None}
    return [_without_nulls(inner) for inner in value] if isinstance(value, list) else value


def decoded(text: str, field: str) -> bytes:
    """Of base64.  Raises Mistake."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise Mistake(f"{field}: is not base64") from None


# --- what goes together


def check_cluster(cluster: Cluster, path: str) -> None:
    """Raises Mistake."""
    if not cluster.server:
        raise Mistake(f"{path}.server: must be set")
    if cluster.certificate_authority and cluster.certificate_authority_data:
        raise Mistake(f"{path}.certificate-authority: and certificate-authority-data cannot both be set")
    if cluster.insecure_skip_tls_verify and (
        cluster.certificate_authority or cluster.certificate_authority_data
    ):
        raise Mistake(
            f"{path}.insecure-skip-tls-verify: contradicts the certificate-authority beside it: take out one"
            " of them"
        )
    if cluster.proxy_url and (mistake := wrong(cluster.proxy_url)):
        raise Mistake(f"{path}.proxy-url: {mistake}")


def check_user(user: AuthInfo, path: str) -> None:
    """Raises Mistake."""
    if user.auth_provider is not None:
        name = user.auth_provider.name
        raise Mistake(f"{path}.auth-provider: {name!r} is not supported; {ADVICE.get(name, _OTHER_ADVICE)}")
    if (user.has_token and user.has_password) or (user.token and user.password):
        raise Mistake(f"{path}.username: contradicts the token beside it: there may be one way to log in")
    for name in ("certificate", "key") if user.has_certificate else ():
        if getattr(user, f"client_{name}") and getattr(user, f"client_{name}_data"):
            raise Mistake(f"{path}.client-{name}: and client-{name}-data cannot both be set")
    if user.has_certificate and not (user.client_key or user.client_key_data):
        raise Mistake(f"{path}.client-key: or client-key-data must be set beside a client certificate")
    if (user.impersonate_uid or user.impersonate_groups or user.impersonate_extra) and not user.impersonate:
        raise Mistake(f"{path}.as: must be set where as-uid, as-groups or as-user-extra are")
    for name, said in _header_values(user):
        if re.search(r"[\x00-\x1f\x7f]", said):
            raise Mistake(f"{path}.{name}: holds a control character")
    if user.exec is not None:
        check_exec(user.exec, f"{path}.exec")


def _header_values(user: AuthInfo) -> Iterator[tuple[str, str]]:
    yield "token", user.token
    yield "as", user.impersonate
    yield "as-uid", user.impersonate_uid
    yield from (("as-groups", group) for group in user.impersonate_groups)
    yield from (("as-user-extra", value) for values in user.impersonate_extra.values() for value in values)


def check_exec(plugin: Exec, path: str) -> None:
    if not plugin.command:
        raise Mistake(f"{path}.command: must be set")
    version = plugin.api_version.removeprefix(EXEC_API)
    if version == "v1alpha1":
        raise Mistake(
            f"{path}.apiVersion: {EXEC_API}v1alpha1 was removed from Kubernetes 1.24: renew the file with the"
            " tool that wrote it"
        )
    if version not in ("v1", "v1beta1"):
        raise Mistake(f"{path}.apiVersion: must be {EXEC_API}v1 or {EXEC_API}v1beta1")
    if not all(variable.name for variable in plugin.env):
        raise Mistake(f"{path}.env: each variable must have a name")
    if plugin.interactive_mode not in ("Never", "IfAvailable", "Always") and (
        plugin.interactive_mode or version == "v1"
    ):
        raise Mistake(f"{path}.interactiveMode: must be Never, IfAvailable or Always")


def base_url(cluster: Cluster, path: str, *, credentials: bool) -> str:
    """Of the API server, as client-go makes it of `server`: without a scheme it is http, to which nothing
    secret is sent.

    That is refused where something secret stands beside it: kubectl leaves it out without a word.  Raises
    Mistake.
    """
    text = cluster.server
    try:
        parts = urlsplit(text)
        if not parts.scheme or not parts.netloc:
            if credentials or cluster.certificate_authority or cluster.certificate_authority_data:
                raise Mistake(f"{path}.server: {text!r} has no scheme: write https://{text}")
            parts = urlsplit(f"http://{text}")
        host, _ = parts.hostname, parts.port
    except Mistake:
        raise
    except ValueError:
        raise Mistake(f"{path}.server: is not a URL such as https://10.0.0.1:6443") from None
    if parts.scheme.lower() not in ("http", "https") or not host:
        raise Mistake(f"{path}.server: is not a URL such as https://10.0.0.1:6443")
    if parts.username is not None:
        raise Mistake(f"{path}.server: must not hold a user name or password: set them for the user")
    return f"{parts.scheme.lower()}://{parts.netloc}{parts.path}".rstrip("/")


# --- impersonation

_LEGAL = frozenset(b"!#$&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")


def impersonation(user: AuthInfo) -> tuple[tuple[bytes, bytes], ...]:
    """The headers that every call has."""
    said = [("Impersonate-User", user.impersonate), ("Impersonate-Uid", user.impersonate_uid)]
    said += [("Impersonate-Group", group) for group in user.impersonate_groups]
    said += [
        (f"Impersonate-Extra-{_escaped(key)}", value)
        for key, values in sorted(user.impersonate_extra.items())
        for value in values
    ]
    return tuple((name.encode(), value.encode()) for name, value in said if value) if user.impersonate else ()


def _escaped(key: str) -> str:
    return "".join(chr(byte) if byte in _LEGAL else f"%{byte:02X}" for byte in key.encode())


def extension(cluster: Cluster, name: str) -> Any:
    """The extension of this name, None where there is none."""
    named = cluster.extensions if isinstance(cluster.extensions, list) else ()
    return next(
        (one.get("extension") for one in named if isinstance(one, Mapping) and one.get("name") == name), None
    )
