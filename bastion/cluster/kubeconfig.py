"""How is the API server reached?

Files, or the pod that this runs in; what they hold is read as kubectl reads it.

Of several files the first that has a setting wins, relative paths begin where their file is, and everything
that the fields name (tokens, certificates, plugins, proxies) is looked up here.  `fields.py` says what may
stand beside what. The official client's loader is used inside a pod only: of a kubeconfig it leaves out `as`,
`tls-server-name` behind a proxy and the environment's proxies, holds other precedences than kubectl, and
leaves keys in temporary files.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bastion.cluster.access import AccessData, ApiAccess, Trust
from bastion.cluster.credentials import NOTHING, Identity, content_of, identity_of
from bastion.cluster.entries import Config, Entry, chosen, config_of
from bastion.cluster.fields import (
    AuthInfo,
    Cluster,
    Mistake,
    base_url,
    check_cluster,
    check_user,
    impersonation,
    read,
    unknown,
)
from bastion.cluster.plugins import Credentials
from bastion.cluster.proxies import Proxies, from_environment
from bastion.runtime.certificates import Certificate, CertificatePair
from bastion.runtime.errors import StartError
from bastion.runtime.trust import client_context, show

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NOWHERE = "no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) and not in a cluster"

_log = logging.getLogger("bastion.cluster")


Choose = Callable[[Sequence[Config]], tuple[Entry, Entry]]


class KubeconfigError(StartError):
    pass


@dataclass(frozen=True, slots=True)
class Source:
    """`files`: those of the kubeconfig that are there, in order; none of them: this runs in a pod."""

    files: tuple[Path, ...]
    context: str
    environ: Mapping[str, str]
    service_account: Path
    choose: Choose | None = None

    @property
    def name(self) -> str:
        if self.files:
            return f"kubeconfig {os.pathsep.join(map(str, self.files))}"
        return NOWHERE if self.choose is None else "without a kubeconfig"


def load_access(
    kubeconfig: Path | None = None,
    context: str = "",
    *,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> ApiAccess:
    """From the given file; else KUBECONFIG (a list of files); else ~/.kube/config; else from inside a pod.

    Raises KubeconfigError.
    """
    source = Source(_files(kubeconfig, environ), context, environ, service_account)
    return ApiAccess(lambda: _load(source))


def access_from_text(kubeconfig: str) -> ApiAccess:
    """From a kubeconfig that this process made itself."""
    return ApiAccess(
        lambda: _access_of(*chosen([config_of(kubeconfig, Path("kubeconfig"))]), Source((), "", {}, Path()))
    )


def load_chosen(
    files: tuple[Path, ...],
    choose: Choose | None,
    environ: Mapping[str, str],
    service_account: Path = SERVICE_ACCOUNT,
) -> AccessData:
    """What the cluster and the user hold that `choose` picks, itself or by raising Mistake; None in a pod.

    Blocking.  Raises KubeconfigError.
    """
    return _load(Source(files, "", environ, service_account, choose))


def read_configs(files: tuple[Path, ...]) -> list[Config]:
    """Raises KubeconfigError."""
    with _one_line(f"kubeconfig {os.pathsep.join(map(str, files))}"):
        return [config_of(path.read_text(encoding="utf-8-sig"), path) for path in files]


def kubeconfig_files(kubeconfig: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The one asked for, else those of KUBECONFIG or the home folder that are there."""
    return _files(kubeconfig, environ)


def _files(kubeconfig: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    if kubeconfig is not None:
        return (kubeconfig,)
    named = [Path(name).expanduser() for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return tuple(
        path for path in named or [Path(environ.get("HOME", "/"), ".kube", "config")] if path.exists()
    )


def _load(source: Source) -> AccessData:
    """Raises KubeconfigError in one line that names the files, never what is secret in them."""
    with _one_line(source.name):
        if not source.files and source.choose is None:
            return _of_pod(source)
        configs = read_configs(source.files)
        choose = source.choose or (lambda configs: chosen(configs, source.context))
        return _access_of(*choose(configs), source)


@contextlib.contextmanager
def _one_line(name: str) -> Iterator[None]:
    try:
        yield
    except UnicodeDecodeError as error:
        raise KubeconfigError(f"{name}: is not UTF-8") from error
    except (Mistake, ValueError) as error:
        raise KubeconfigError(f"{name}: {error}") from error
    except OSError as error:
        raise KubeconfigError(
            f"{name}: {error.filename} cannot be read: {error.strerror or error}"
        ) from error


# --- what it says


def _access_of(at: Entry, by: Entry, source: Source) -> AccessData:
    cluster, user = read(Cluster, at.value, at.path), read(AuthInfo, by.value, by.path)
    for field in (*unknown(Cluster, at.value, at.path), *unknown(AuthInfo, by.value, by.path)):
        _log.warning("%s: %s is not a field of a kubeconfig; it is ignored", source.name, field)
    check_cluster(cluster, at.path)
    check_user(user, by.path)
    credentials = user.has_token or user.has_password or user.has_certificate or user.exec is not None
    server = base_url(cluster, at.path, credentials=credentials)
    authorities, followed = content_of(
        at, "certificate-authority", cluster.certificate_authority, cluster.certificate_authority_data
    )
    if server.startswith("https:"):
        identity = identity_of(by, user, cluster, authorities, source.environ)
    else:
        identity = Identity()
        if credentials:
            _log.warning(
                "%s: the API server is reached over plain HTTP, so no credentials of %s are sent",
                source.name,
                by.path,
            )
    proxies = Proxies(cluster.proxy_url) if cluster.proxy_url else from_environment(source.environ)
    # httpcore leaves out the brackets
    if server.startswith("https://[") and proxies.of(server).startswith("http"):
        raise Mistake(
            f"{at.path}.server: an HTTP proxy cannot be asked for an IPv6 address: write a name, or use a"
            " socks5 proxy"
        )
    return AccessData(
        server=server,
        trust=_trust(at, by, cluster, authorities, identity.credentials, proxies),
        authorization=identity.authorization,
        files=(*source.files, *followed, *identity.files),
        impersonation=impersonation(user),
        expires=identity.credentials.expires,
        certificates=_renewed(at, by, user, authorities, identity.credentials),
    )


def _renewed(
    at: Entry, by: Entry, user: AuthInfo, authorities: bytes | None, credentials: Credentials
) -> tuple[Certificate, ...]:
    """Those that an operator renews: a plugin's are short-lived on purpose."""
    found = (
        [Certificate("kubeconfig-ca", f"{at.path}.certificate-authority", authorities)] if authorities else []
    )
    if credentials.certificate and user.has_certificate:
        found.append(
            Certificate("kubeconfig-client", f"{by.path}.client-certificate", credentials.certificate)
        )
    return tuple(found)


def _trust(
    at: Entry,
    by: Entry,
    cluster: Cluster,
    authorities: bytes | None,
    credentials: Credentials,
    proxies: Proxies,
) -> Trust:
    verify = not cluster.insecure_skip_tls_verify
    plain = partial(client_context, authorities, verify=verify, server_name=cluster.tls_server_name)
    try:
        context = plain()
    except ValueError as error:
        raise Mistake(f"{at.path}.certificate-authority: {error}") from None
    try:
        if credentials.certificate:
            show(context, credentials.certificate, credentials.key)
    except ValueError as error:
        raise Mistake(f"{by.path}.client-certificate: {error}") from None
    material = hashlib.sha256(
        b"\0".join((authorities or b"", credentials.certificate, credentials.key))
    ).digest()
    return Trust(
        (verify, cluster.tls_server_name, authorities is None, material, proxies),
        context,
        proxies,
        # kubectl wants a proxy's certificate to be of the cluster's authority, which hardly any is: the
        # system's will do, too.
        client_context(authorities, verify=verify, and_system=True) if proxies.over_tls else None,
        plain,
        CertificatePair(credentials.certificate, credentials.key) if credentials.certificate else None,
    )


# --- inside a pod


def _of_pod(source: Source) -> AccessData:
    """Raises KubeconfigError, OSError, ValueError."""
    from kubernetes.client import Configuration  # 25 MiB and a fifth of a second: not before it is needed
    from kubernetes.config import ConfigException
    from kubernetes.config.incluster_config import InClusterConfigLoader

    token, ca = source.service_account / "token", source.service_account / "ca.crt"
    loader: Any = InClusterConfigLoader(str(token), str(ca), environ=source.environ)
    configuration = Configuration()
    try:
        loader.load_and_set(configuration)
    except ConfigException as error:
        raise KubeconfigError(f"{source.name}: {error}") from error
    at, by = Entry({}, Path(), f"{ca}"), Entry({}, Path(), f"{token}")
    return AccessData(
        server=configuration.host,
        trust=_trust(at, by, Cluster(), ca.read_bytes(), NOTHING, from_environment(source.environ)),
        # the loader keeps the line's end of a file
        authorization=" ".join(configuration.api_key["BearerToken"].split()),
        files=(token, ca),
    )
