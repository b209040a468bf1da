"""· Which services and pods ask to be probed, by their annotations?

`bastion.dev/probe: "true"` with `…/probe-path`, `-port`, `-module` and `-interval`; and what many clusters
have already: `prometheus.io/probe` with `path`, `port` and `scheme`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bastion.kube.objects import Pod, Service
from bastion.kube.status import StatusError
from bastion.probe.modulefile import DECLARED, DEFAULT
from bastion.probe.target import ProbeTarget, target_of
from bastion.probe.units import seconds

OWN, FOLK = "bastion.dev/probe", "prometheus.io/probe"
STATUS = "bastion.dev/status"
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
        if (found := wanted("Service", service.metadata.annotations, service)) is not None:
            yield found
    for pod in pods:
        found = wanted("Pod", pod.metadata.annotations, pod) if not pod.terminal else None
        if found is not None:
            yield found


def wanted(kind: str, annotations: Mapping[str, str] | None, of: Service | Pod) -> Wanted | None:
    """None where it does not ask, or what it asks for cannot be read."""
    if not annotations:
        return None
    own = annotations.get(OWN)
    folk = own is None and annotations.get(FOLK) == "true"
    if own != "true" and not folk:
        return None
    path, port, module, scheme = _said(annotations, folk=folk)
    if module is None:
        module = DEFAULT if folk or path else DECLARED
    metadata = of.metadata
    id = (
        f"{scheme}:{metadata.name}:{port}" if scheme else f"{metadata.name}:{port}" if port else metadata.name
    )
    resource = "services" if kind == "Service" else "pods"
    if path and not path.startswith(("/", "?")):
        path = f"/{path}"
    try:
        target = target_of(f"{resource}/{metadata.namespace}/{id}{path}".encode())
        interval = seconds(annotations.get(f"{OWN}-interval", "0"))
    except (StatusError, ValueError):
        return None
    if interval:
        interval = min(max(interval, SHORTEST), LONGEST)
    public = annotations.get(STATUS) == "public"
    return Wanted(kind, metadata.namespace, metadata.name, target, module, interval, folk, public)


def _said(annotations: Mapping[str, str], *, folk: bool) -> tuple[str, str, str | None, str]:
    """Path, port, module and scheme."""
    if not folk:
        return (
            annotations.get(f"{OWN}-path", ""),
            annotations.get(f"{OWN}-port", ""),
            annotations.get(f"{OWN}-module"),
            "",
        )
    scheme = annotations.get("prometheus.io/scheme", "")
    return (
        annotations.get("prometheus.io/path", ""),
        annotations.get("prometheus.io/port", ""),
        None,
        scheme if scheme in ("http", "https") else "",
    )
