"""· Which services and pods ask to be probed, by their annotations?

`bastion.dev/probe: "true"` with `…/probe-path`, `-port`, `-module` and `-interval`; and what many clusters
have already: `prometheus.io/probe` with `path`, `port` and `scheme`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from bastion.kube.metadata import NO_ANNOTATIONS
from bastion.kube.objects import Pod, Service
from bastion.kube.status import StatusError
from bastion.probe.modulefile import DECLARED, DEFAULT
from bastion.probe.target import ProbeTarget, target_of
from bastion.probe.units import seconds

SCHEMES = ("http", "https")
_PORT = re.compile(r"[a-z0-9-]{0,15}")
SHORTEST, LONGEST = 1.0, 86400.0  # seconds between two probes


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """`interval` in seconds, 0 where the annotations do not say; `folk`: asked for by prometheus.io/probe;
    `public`: its status may be shown to everybody."""

    kind: str
    namespace: str
    name: str
    target: ProbeTarget
    module: str
    interval: float = 0.0
    folk: bool = False
    public: bool = False


def all_wanted(services: Iterable[Service], pods: Iterable[Pod]) -> Iterator[Wanted]:
    for service in services:
        if (found := wanted("Service", service)) is not None:
            yield found
    for pod in pods:
        found = wanted("Pod", pod) if not pod.terminal else None
        if found is not None:
            yield found


def wanted(kind: str, of: Service | Pod) -> Wanted | None:
    """None where it does not ask, or what it asks for cannot be read."""
    metadata, said = of.metadata, of.metadata.annotations
    if said is None or said is NO_ANNOTATIONS:
        return None
    folk = not said.probe and said.folk_probe == "true"
    if said.probe != "true" and not folk:
        return None
    path, port, scheme = (
        (said.folk_path, said.folk_port, said.folk_scheme) if folk else (said.path, said.port, "")
    )
    module = DEFAULT if folk else said.module or (DEFAULT if path else DECLARED)
    if not _PORT.fullmatch(port):  # with a colon in it the id would name another service
        return None
    if path and not path.startswith(("/", "?")):
        path = f"/{path}"
    id = f"{metadata.name}:{port}" if port else metadata.name
    if scheme in SCHEMES:
        id = f"{scheme}:{metadata.name}:{port}"
    resource = "services" if kind == "Service" else "pods"
    try:
        target = target_of(f"{resource}/{metadata.namespace}/{id}{path}".encode())
        interval = seconds(said.interval or "0")
    except (StatusError, ValueError):
        return None
    if interval:
        interval = min(max(interval, SHORTEST), LONGEST)
    public = said.status == "public"
    return Wanted(
        kind=kind,
        namespace=metadata.namespace,
        name=metadata.name,
        target=target,
        module=module,
        interval=interval,
        folk=folk,
        public=public,
    )
