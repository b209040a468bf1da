"""· `[scheme:]name[:port]`: the id by which a pod, a service or a node is named in a proxy path.

Source: apimachinery `util/net/port_split.go`.
"""

from __future__ import annotations

import msgspec

from bastion.kube.errors import error_of
from bastion.kube.errorwords import BAD_TARGET
from bastion.kube.status import StatusError, quoted

SCHEMES = ("", "http", "https")


class Target(msgspec.Struct, frozen=True, gc=False):
    """`resource` is pods, services or nodes; `scheme` and `port` are empty where the id has none; `id` is the
    id as written.
    """

    resource: str
    namespace: str
    name: str
    scheme: str
    port: str
    id: str


def parse_target(resource: str, namespace: str, id: str) -> Target:
    """Raises StatusError 400 for any other shape."""
    parts = id.split(":")
    if len(parts) == 1:
        scheme, name, port = "", parts[0], ""
    elif len(parts) == 2:
        scheme, name, port = "", parts[0], parts[1]
    elif len(parts) == 3:
        scheme, name, port = parts
    else:
        raise _invalid(resource, id)
    if not name or scheme not in SCHEMES:
        raise _invalid(resource, id)
    if name in (".", "..") or "/" in name or "%" in name:
        raise error_of(
            BAD_TARGET,
            f"Name parameter invalid: {quoted(name)}",
            "may not be '.', '..' or contain '/' or '%'",
        )
    return Target(resource, namespace, name, scheme, port, id)


def _invalid(resource: str, id: str) -> StatusError:
    return error_of(
        BAD_TARGET,
        f"invalid {resource.removesuffix('s')} request {quoted(id)}",
        "an id is [scheme:]name[:port], the scheme http or https",
    )
