"""· What was asked for about the API server: which one, as whom, how often, and how much of it."""

from __future__ import annotations

import argparse
import math
import re
from dataclasses import dataclass

_NAMESPACE = re.compile(r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?")
_SERVER = re.compile(r"https?://(?:[-.A-Za-z0-9]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?/?")


@dataclass(frozen=True, slots=True)
class KubeApi:
    """`context` empty: the kubeconfig's current one; `servers` empty: the kubeconfig's; `namespaces` empty:
    all; `qps` (calls per second) 0: no limit.
    """

    context: str = ""
    servers: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    qps: float = 200.0
    burst: float = 400.0


def of_flags(flags: argparse.Namespace) -> KubeApi:
    """Each worker takes its part of the calls."""
    qps, burst = flags.kube_api_qps / flags.workers, math.ceil(flags.kube_api_burst / flags.workers)
    return KubeApi(flags.context, tuple(flags.apiserver), flags.namespaces, qps, burst)


def contradictions(flags: argparse.Namespace) -> list[str]:
    if flags.manifests and (flags.context or flags.apiserver):
        return ["--manifests needs no cluster: --context and --apiserver have no meaning beside it"]
    return []


# --- what a flag's value may be; each raises ArgumentTypeError


def namespaces(text: str) -> tuple[str, ...]:
    """Names with commas between them; empty for all."""
    found = tuple(filter(None, text.split(",")))
    for name in found:
        if not _NAMESPACE.fullmatch(name):
            raise argparse.ArgumentTypeError(f"{name!r} is no namespace's name")
    return tuple(dict.fromkeys(found))


def server(text: str) -> str:
    """Scheme, host and port, nothing else."""
    if not _SERVER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no URL such as https://10.0.0.1:6443")
    return text.rstrip("/")
