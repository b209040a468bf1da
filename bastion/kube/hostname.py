"""· The application that a host name addresses.

`[https--]<name>[--<port>]--<namespace>.svc.<suffix>`, or `.pod.`.

Each application gets an origin of its own, so that absolute paths work and browsers keep applications apart.
Target and authorization are those of the same application under a path.
"""

from __future__ import annotations

import re

import msgspec

from bastion.kube.errors import error_of
from bastion.kube.errorwords import HOST_NAME_UNCLEAR
from bastion.kube.status import StatusError, quoted
from bastion.kube.target import SCHEMES

RESOURCES = {"svc": "services", "pod": "pods"}
MAX_LABEL = 63  # RFC 1035, 2.3.4
# One part of the label: a DNS label without `--`, which stands between the parts.
_PART = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_DNS_NAME = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


class Application(msgspec.Struct, frozen=True, gc=False):
    """`id` is `[scheme:]name[:port]`, as in a path."""

    resource: str
    namespace: str
    id: str


class HostNames:
    """The host names under `suffix` (lower case, no dot at either end)."""

    def __init__(self, suffix: str) -> None:
        self.suffix = suffix
        self._ending = b"." + suffix.encode()

    def covers(self, host: bytes) -> bool:
        """Whether this Host is under the suffix, valid or not."""
        return _without_port(host.lower()).endswith(self._ending)

    def application(self, host: bytes) -> Application | None:
        """None for a Host that is not under the suffix.

        Raises StatusError 400 for one that is, but is not valid.
        """
        name = _without_port(host.lower())
        if not name.endswith(self._ending):
            return None
        text = name.decode("ascii", "replace")
        label, _, kind = text[: -len(self._ending)].partition(".")
        resource = RESOURCES.get(kind)
        parts = label.split("--")
        if resource is None or len(label) > MAX_LABEL or not all(map(_PART.fullmatch, parts)):
            raise self._unfit(text)
        scheme = parts.pop(0) if len(parts) > 2 and parts[0] in SCHEMES else ""
        if len(parts) not in (2, 3):
            raise self._unfit(text)
        service, port, namespace = parts[0], parts[1] if len(parts) == 3 else "", parts[-1]
        return Application(resource, namespace, _id(scheme, service, port))

    def host_of(self, application: Application) -> str | None:
        """None where it does not fit into a host name."""
        kind = next((kind for kind, resource in RESOURCES.items() if resource == application.resource), "")
        named = application.id.replace(":", "--").removesuffix("--")
        host = f"{named}--{application.namespace}.{kind}.{self.suffix}"
        try:
            return host if self.application(host.encode()) == application else None
        except StatusError:
            return None

    def _unfit(self, host: str) -> StatusError:
        return error_of(
            HOST_NAME_UNCLEAR,
            f"the host name {quoted(host)} means no application: it is"
            f" [https--]<name>[--<port>]--<namespace>.svc.{self.suffix} (or .pod.), the first label of at"
            f" most {MAX_LABEL} characters and no part of it with '--' or '.'; what does not fit is reached"
            " by its path, /api/v1/namespaces/<namespace>/services/<[scheme:]name[:port]>/proxy/",
        )


def host_name(host: bytes) -> str:
    """Without the port, in lower case: what a cookie of that host is bound to."""
    return _without_port(host.lower()).decode("ascii", "replace")


def is_dns_name(text: str) -> bool:
    """Lower case, without a dot at either end."""
    return len(text) <= 253 and _DNS_NAME.fullmatch(text) is not None


def _id(scheme: str, name: str, port: str) -> str:
    if scheme:
        return f"{scheme}:{name}:{port}"
    return f"{name}:{port}" if port else name


def _without_port(host: bytes) -> bytes:
    name, colon, port = host.rpartition(b":")
    name = name if colon and (port.isdigit() or not port) else host
    return name.removesuffix(b".")
