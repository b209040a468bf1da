"""How is the API server reached?  The one place for the official client: kubeconfig, contexts, exec plugins, in-cluster.

Only its configuration is used: models and watch of the official client are far too slow for fifty thousand pods.
Where it differs from kubectl, kubectl is followed: of several files the first that names a current context wins, an
empty KUBECONFIG is none, proxies come from the kubeconfig alone, and a token file is read again when it changes.
"""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from bastion.cluster.access import ApiAccess, Loaded, Trust
from bastion.config import StartError

if TYPE_CHECKING:
    from kubernetes.client import Configuration
    from kubernetes.config.kube_config import KubeConfigLoader

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
NOWHERE = "no kubeconfig (--kubeconfig, KUBECONFIG, ~/.kube/config) and not in a cluster"


class KubeconfigError(StartError):
    pass


@dataclass(frozen=True, slots=True)
class Source:
    """`files`: those of the kubeconfig that are there, in order; none of them: this runs in a pod."""

    files: tuple[Path, ...]
    context: str
    environ: Mapping[str, str]
    service_account: Path

    @property
    def name(self) -> str:
        return f"kubeconfig {os.pathsep.join(map(str, self.files))}" if self.files else NOWHERE


def load_access(
    kubeconfig: Path | None = None,
    context: str = "",
    *,
    environ: Mapping[str, str] = os.environ,
    service_account: Path = SERVICE_ACCOUNT,
) -> ApiAccess:
    """From the file given; else KUBECONFIG (a list of files); else ~/.kube/config; else from inside a pod.  Raises KubeconfigError."""
    source = Source(_files(kubeconfig, environ), context, environ, service_account)
    return ApiAccess(lambda: _load(source))


def access_from_text(kubeconfig: str) -> ApiAccess:
    """From a kubeconfig that this process made itself."""
    content = yaml.safe_load(kubeconfig)
    return ApiAccess(lambda: _of_files(content, None, (), "kubeconfig"))


def _files(kubeconfig: Path | None, environ: Mapping[str, str]) -> tuple[Path, ...]:
    if kubeconfig is not None:
        return (kubeconfig,)
    named = [Path(name).expanduser() for name in environ.get("KUBECONFIG", "").split(os.pathsep) if name]
    return tuple(path for path in named or [Path(environ.get("HOME", "/"), ".kube", "config")] if path.exists())


def _load(source: Source) -> Loaded:
    """Raises KubeconfigError in one line that names the files, never what is secret in them."""
    from kubernetes.config import ConfigException  # 25 MiB and a fifth of a second: not before it is needed

    try:
        return _of_kubeconfig(source) if source.files else _of_pod(source)
    except KubeconfigError:
        raise
    except ConfigException as error:
        raise KubeconfigError(f"{source.name}: {_one_line(error)}") from error
    except OSError as error:
        raise KubeconfigError(f"{source.name}: {error.filename or 'its certificates'} cannot be read: {_cause(error)}") from error
    except Exception as error:  # the loader raises whatever YAML and base64 do
        raise KubeconfigError(f"{source.name}: not a kubeconfig ({type(error).__name__})") from error


def _of_kubeconfig(source: Source) -> Loaded:
    from kubernetes.config.kube_config import KubeConfigMerger

    merger: Any = KubeConfigMerger(os.pathsep.join(map(str, source.files)))  # type: ignore[no-untyped-call]
    if merger.config is None:
        raise KubeconfigError(f"{source.name}: holds nothing")
    named = (content.get("current-context") for content in merger.config_files.values())
    context = source.context or next(filter(None, named), "")
    if not context:
        raise KubeconfigError(f"{source.name}: it names no current-context (see --context)")
    return _of_files(merger.config, context, source.files, source.name, merger.save_changes)


def _of_files(content: Any, context: str | None, files: tuple[Path, ...], name: str, persist: Any = None) -> Loaded:
    from kubernetes.client import Configuration
    from kubernetes.config.kube_config import KubeConfigLoader

    loader: Any = KubeConfigLoader(content, context, config_base_path=None, config_persister=persist)  # type: ignore[no-untyped-call]
    configuration = Configuration()
    loader.load_and_set(configuration)
    if not getattr(loader, "host", ""):
        raise KubeconfigError(f"{name}: the cluster of the context has no server")
    user, base = _user(loader, content)
    if "exec" in user and not configuration.api_key and not configuration.cert_file:
        raise KubeconfigError(f"{name}: the exec plugin {user['exec'].get('command')!r} gave no credentials")
    token_file = Path(os.path.normpath(base / user["tokenFile"])) if user.get("tokenFile") else None
    if token_file is not None and not configuration.api_key:
        raise KubeconfigError(f"{name}: the token file {token_file} is empty")
    expiry: datetime.datetime | None = getattr(loader, "expiry", None)
    return _loaded(
        configuration,
        (*files, *([token_file] if token_file else ())),
        expires=expiry.timestamp() if expiry is not None else None,
        proxy=getattr(loader, "proxy", "") or "",  # the configuration's own may come from the environment
    )


def _user(loader: KubeConfigLoader, content: Any) -> tuple[dict[str, Any], Path]:
    """The user of the context, empty where there is none, and the directory its relative paths begin in."""
    name = loader.current_context["context"].get("user")
    users = content.value.get("users") if hasattr(content, "value") else content.get("users")
    for node in users or ():
        entry = getattr(node, "value", node)
        if entry["name"] == name:
            return entry.get("user") or {}, Path(getattr(node, "path", None) or ".").parent
    return {}, Path()


def _of_pod(source: Source) -> Loaded:
    from kubernetes.client import Configuration
    from kubernetes.config.incluster_config import InClusterConfigLoader

    token, ca = source.service_account / "token", source.service_account / "ca.crt"
    loader: Any = InClusterConfigLoader(str(token), str(ca), environ=source.environ)  # type: ignore[no-untyped-call]
    configuration = Configuration()
    loader.load_and_set(configuration)
    return _loaded(configuration, (token,))


def _loaded(configuration: Configuration, files: tuple[Path, ...], *, expires: float | None = None, proxy: str = "") -> Loaded:
    """Raises OSError where a certificate cannot be read."""
    material = [configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file]
    followed = [Path(name) for name in material if name]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in followed)).digest()
    key = str(configuration.api_key.get("BearerToken") or "")
    return Loaded(
        server=configuration.host.rstrip("/"),
        server_name=configuration.tls_server_name or "",
        proxy=proxy,
        trust=Trust((bool(configuration.verify_ssl), *material, digest), _context(configuration)),
        authorization=" ".join(key.split()) or None,  # the loader keeps the line's end of a file
        expires=expires,
        files=(*files, *followed),
        certificate=Path(configuration.cert_file) if configuration.cert_file else None,
    )


def _context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert or None)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def _cause(error: OSError) -> str:
    return (error.reason or "not PEM").lower().replace("_", " ") if isinstance(error, ssl.SSLError) else (error.strerror or str(error))


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
