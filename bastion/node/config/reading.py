"""· From a KubeProxyConfiguration, or from flags, to values: every mistake is told, with its path.

An unknown or doubled field is a warning, as in kube-proxy; a value that does not fit is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from bastion.kube.documents import Document, documents
from bastion.node.config.table import BY_FLAG, BY_PATH, FIELDS, LATER, SECTIONS, ZERO_IS_DEFAULT
from bastion.runtime.errors import ConfigError

API_VERSION, KIND = "kubeproxy.config.k8s.io/v1alpha1", "KubeProxyConfiguration"
OURS = ("bastion.dev/v1alpha1", "BastionConfiguration")  # what is below `node` is the same object
SECTION = "node"


@dataclass(frozen=True, slots=True)
class Read:
    """`values` by path, the defaults included; `named` are the paths that were given."""

    values: Mapping[str, Any]
    named: frozenset[str] = frozenset()
    warnings: tuple[str, ...] = ()


@dataclass(slots=True)
class _Walk:
    values: dict[str, Any] = field(default_factory=dict)
    mistakes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


PORTS = {  # deprecated: the port alone
    "healthz-port": ("healthzBindAddress", "0.0.0.0"),  # noqa: S104
    "metrics-port": ("metricsBindAddress", "127.0.0.1"),
}


def defaults() -> dict[str, Any]:
    return {one.path: one.default for one in FIELDS}


def read_file(text: str) -> Read:
    """Of a KubeProxyConfiguration, or of a BastionConfiguration's section `node`.  Raises ConfigError."""
    try:
        found = [document for document in documents(text) if document.value is not None]
    except ValueError as error:
        raise ConfigError([f"cannot be read: {error}"]) from error
    if len(found) != 1 or not isinstance(found[0].value, dict):
        raise ConfigError(["must hold one object, a KubeProxyConfiguration"])
    return _read(found[0])


def _read(document: Document) -> Read:
    content = dict(document.value)
    version, kind = content.pop("apiVersion", None), content.pop("kind", None)
    if (version, kind) == OURS:
        content = content.get(SECTION) or {}
        if not isinstance(content, dict):
            raise ConfigError([f"{SECTION}: must be an object with the fields of a {KIND}"])
    elif (version, kind) != (API_VERSION, KIND):
        said = f"apiVersion {version!r}, kind {kind!r}"
        wanted = f"apiVersion {API_VERSION} and kind {KIND}, or {OURS[0]} and {OURS[1]}"
        raise ConfigError([f"must be of {wanted}, and is of {said}"])
    walk = _Walk(warnings=[f"{path}: is there twice; the last one counts" for path in document.repeated])
    _walk(content, "", walk)
    if walk.mistakes:
        raise ConfigError(walk.mistakes)
    return Read(defaults() | walk.values, frozenset(walk.values), tuple(walk.warnings))


def _walk(content: Mapping[str, Any], prefix: str, walk: _Walk) -> None:
    for name, value in content.items():
        path = f"{prefix}{name}"
        row = BY_PATH.get(path)
        if row is None and path in SECTIONS:
            if isinstance(value, dict):
                _walk(value, f"{path}.", walk)
            elif value is not None:
                walk.mistakes.append(f"{path}: must be an object")
        elif row is None:
            walk.warnings.append(f"{path}: unknown field, ignored")
        elif value is not None:
            try:
                read = row.kind.read(value)
                if read or path not in ZERO_IS_DEFAULT:
                    walk.values[path] = read
            except ValueError as error:
                walk.mistakes.append(f"{path}: {error}")


def from_flags(flags: Mapping[str, str]) -> Read:
    """`flags` by name without the dashes.  Raises ConfigError."""
    values: dict[str, Any] = {}
    mistakes = []
    for name, text in flags.items():
        if name in PORTS:
            path, host = PORTS[name]
            values.setdefault(path, f"{host}:{text}" if text != "0" else "")
            continue
        row = BY_FLAG[name]
        try:
            values[row.path] = row.kind.parse(text)
        except ValueError as error:
            mistakes.append(f"--{name}: {error}")
            continue
        if name in LATER:  # the flag is for both modes
            values[LATER[name]] = values[row.path]
    if mistakes:
        raise ConfigError(mistakes)
    return Read(defaults() | values, frozenset(values))


def not_honoured(read: Read) -> Iterator[str]:
    """The fields that say something and change nothing here."""
    for path in sorted(read.named):
        row = BY_PATH[path]
        if not row.honoured and read.values[path] != row.default:
            yield path


def written(values: Mapping[str, Any]) -> dict[str, Any]:
    """As an object for YAML, in kube-proxy's order of names."""
    content: dict[str, Any] = {"apiVersion": API_VERSION, "kind": KIND}
    for path in sorted(values, key=str.lower):
        row, value = BY_PATH[path], values[path]
        section, _, name = path.rpartition(".")
        at = content.setdefault(section, {}) if section else content
        at[name] = row.kind.write(value) if value is not None else None
    return content
