"""· Which services and pods ask to be probed, by their annotations?

`bastion.dev/probe: "true"` with `…/probe-path`, `-port`, `-module` and `-interval`; and what many clusters
have already: `prometheus.io/probe` with `path`, `port` and `scheme`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from bastion.kube.annotation import DOMAIN, read
from bastion.kube.annotations import Card, ProbeWish
from bastion.kube.annotationvalues import Maintenance
from bastion.kube.objects import Pod, Service
from bastion.kube.status import StatusError
from bastion.probe.modulefile import DECLARED, DEFAULT
from bastion.probe.target import ProbeTarget, target_of

PROBE = f"{DOMAIN}/probe"
SCHEMES = ("http", "https")
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
    maintenance: Maintenance | None = None

    def counts(self, now: float) -> bool:
        """Whether a probe now is for or against its uptime."""
        window = self.maintenance
        return window is None or not window.begin <= now < window.end


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
    metadata = of.metadata
    if metadata.annotations is None:
        return None
    said = read(ProbeWish, metadata.annotations)
    folk = not metadata.annotations.get(PROBE) and said.folk_probe == "true"
    if not said.probe and not folk:
        return None
    path, port, scheme = (
        (said.folk_path, said.folk_port, said.folk_scheme) if folk else (said.path, said.port, "")
    )
    module = DEFAULT if folk else said.module or (DEFAULT if path else DECLARED)
    if path and not path.startswith(("/", "?")):
        path = f"/{path}"
    id = f"{metadata.name}:{port}" if port else metadata.name
    if scheme in SCHEMES:
        id = f"{scheme}:{metadata.name}:{port}"
    resource = "services" if kind == "Service" else "pods"
    try:
        target = target_of(f"{resource}/{metadata.namespace}/{id}{path}".encode())
    except StatusError:
        return None
    interval = min(max(said.interval, SHORTEST), LONGEST) if said.interval else 0.0
    card = read(Card, metadata.annotations)
    return Wanted(
        kind=kind,
        namespace=metadata.namespace,
        name=metadata.name,
        target=target,
        module=module,
        interval=interval,
        folk=folk,
        public=card.status == "public",
        maintenance=card.maintenance,
    )
