"""· Which path that is served is nearest to one that is not?  Only what the client wrote is told back."""

from __future__ import annotations

from urllib.parse import unquote

from bastion.kube.errors import ROUTE_NOT_FOUND, error_of
from bastion.kube.errorwords import NOT_A_PROXY_PATH
from bastion.kube.status import StatusError

# What is written for a resource: kubectl's short names, and the singular.
_RESOURCES = {
    **dict.fromkeys(("pods", "pod", "po"), "pods"),
    **dict.fromkeys(("services", "service", "svc"), "services"),
    **dict.fromkeys(("nodes", "node", "no"), "nodes"),
}
_NAMESPACES = ("namespaces", "namespace", "ns")
_VERSION = ("api", "apis", "v1")
MAX_PATH = 1024
SERVED = (
    "this is a bastion: only /api/v1/namespaces/<namespace>/{services|pods}/<[scheme:]name[:port]>/proxy/…"
    " and /api/v1/nodes/<name>/proxy/… are served here; with --pass-through everything else is passed on"
)


def not_proxied(target: bytes) -> StatusError:
    """404 for a path that is none that is served."""
    near = nearest(target.partition(b"?")[0].decode("utf-8", "replace")) if len(target) <= MAX_PATH else ""
    sentence = f"did you mean {near}?" if near else SERVED
    return error_of(NOT_A_PROXY_PATH, ROUTE_NOT_FOUND, sentence, details={})


def nearest(path: str) -> str:
    """Empty where nothing is near."""
    segments = [segment for segment in path.split("/") if segment]
    while segments and segments[0] in _VERSION:
        segments.pop(0)
    if segments[:1] == ["proxy"]:  # as before Kubernetes 1.10
        segments = segments[1:]
    namespace = ""
    if segments[:1] and segments[0] in _NAMESPACES and len(segments) > 1:
        namespace, segments = segments[1], segments[2:]
    resource = _RESOURCES.get(segments[0].lower(), "") if segments else ""
    if not resource or len(segments) < 2 or not all(map(_printable, segments)):
        return ""
    name, rest = segments[1], segments[2:]
    if rest[:1] == ["proxy"]:
        rest = rest[1:]
    where = "" if resource == "nodes" else f"namespaces/{namespace or '<namespace>'}/"
    end = "/" if path.endswith("/") and rest else ""
    return f"/api/v1/{where}{resource}/{name}/proxy/{'/'.join(rest)}{end}"


def _printable(segment: str) -> bool:
    return unquote(segment).isprintable()
