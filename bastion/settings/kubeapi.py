"""· Options of the API server: which one, how often, and how much of it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from bastion.kube.values import quoted
from bastion.settings.kinds import COUNT, TEXT, Kind, named, several
from bastion.settings.option import option

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SERVER = re.compile(r"https?://(?:[-.A-Za-z0-9]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")


def namespace(text: str) -> str:
    if not _NAMESPACE.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not the name of a namespace")
    return text


def server(text: str) -> str:
    """Scheme, host and port, nothing else."""
    if not _SERVER.fullmatch(text):
        raise ValueError(f"{quoted(text)} is not a URL such as https://10.0.0.1:6443")
    return text.rstrip("/")


NAMESPACES = several(Kind("NAME", namespace), last=True)


@dataclass(frozen=True, slots=True)
class KubeApi:
    """`context` empty: the kubeconfig's current one; `servers` empty: the kubeconfig's; `namespaces` empty:
    all; `qps` (calls per second) 0: no limit.
    """

    context: str = option("context", named("NAME", TEXT), "", "of the kubeconfig; without it its current one")
    servers: tuple[str, ...] = option(
        "apiserver",
        several(Kind("URL", server), commas=False),
        (),
        "instead of the kubeconfig's; repeat for failover: a healthy one is used",
    )
    namespaces: tuple[str, ...] = option(
        "namespaces", NAMESPACES, (), "watch and serve these only; without it all"
    )
    qps: float = option(
        "kube-api-qps", COUNT, 200, "calls to the API server per second, shared by all workers"
    )
    burst: float = option(
        "kube-api-burst", COUNT, 400, "calls to the API server at once, shared by all workers"
    )
