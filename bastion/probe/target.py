"""· What is to be probed: an id and what follows it, from the text that a caller or an annotation gives.

`pods|services/<namespace>/<[scheme:]name[:port]>[/path][?query]`, `nodes/<[scheme:]name[:port]>…`, or the
proxy path of the same.  Never a URL: a prober that takes one asks anything of anybody.
"""

from __future__ import annotations

import msgspec
from msgspec import structs

from bastion.kube.attributes import Attributes
from bastion.kube.errors import unreadable
from bastion.kube.requestinfo import Proxied, parse_proxied
from bastion.kube.status import quoted
from bastion.kube.target import Target, parse_target

# Method to verb.  OPTIONS asks only; what a PUT writes is the module's, and so the operator's choice.
VERBS = {
    "GET": "get",
    "HEAD": "get",
    "OPTIONS": "get",
    "POST": "create",
    "PUT": "create",
    "PATCH": "patch",
    "DELETE": "delete",
}
LONGEST = 4096
_RESOURCES = ("pods", "services")


class ProbeTarget(msgspec.Struct, frozen=True, gc=False):
    """`rest` is path and query for the backend, empty where none was given."""

    resource: str
    namespace: str
    id: str
    rest: bytes

    @property
    def text(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        return f"{self.resource}/{where}{self.id}{self.rest.decode('latin-1')}"

    @property
    def path(self) -> bytes:
        return self.rest if self.rest[:1] == b"/" else b"/" + self.rest

    @property
    def named(self) -> Target:
        return parse_target(self.resource, self.namespace, self.id)

    def attributes(self, verb: str) -> Attributes:
        return Attributes(verb, "", "v1", self.namespace, self.resource, "proxy", name=self.id)

    def proxied(self) -> Proxied:
        """As the same request through the proxy."""
        return Proxied(self.attributes("get"), b"", self.path, True)


def verb_of(method: str) -> str:
    """As for the same request through the proxy: of a method that it does not know, the empty one, which only
    a rule for `*` grants.  A backend may take `get` for GET: what is written small needs the same right."""
    return VERBS.get(method.upper(), "")


def target_of(raw: bytes) -> ProbeTarget:
    """Raises StatusError 400."""
    shown = quoted(raw.decode("utf-8", "replace")[:200])
    if len(raw) > LONGEST:
        raise unreadable(f"the target has more than {LONGEST} bytes")
    if any(byte <= 0x20 or byte == 0x7F for byte in raw) or b"#" in raw:
        raise unreadable(f"the target {shown} has a blank, a control character or a '#'")
    found = _of_path(raw, shown) if raw[:1] == b"/" else _of_id(raw, shown)
    found.named  # noqa: B018 raises where the id has not the shape
    return found


def _of_path(raw: bytes, shown: str) -> ProbeTarget:
    info = parse_proxied("GET", raw)
    if info is None:
        raise _no_target(shown)
    asked = info.attributes
    return ProbeTarget(asked.resource, asked.namespace, asked.name, info.rest)


def _of_id(raw: bytes, shown: str) -> ProbeTarget:
    resource, _, behind = raw.partition(b"/")
    namespace = b""
    if resource.decode("latin-1") in _RESOURCES:
        namespace, _, behind = behind.partition(b"/")
        if not namespace:
            raise _no_target(shown)
    elif resource != b"nodes":
        raise _no_target(shown)
    end = min((at for at in (behind.find(b"/"), behind.find(b"?")) if at >= 0), default=len(behind))
    try:
        where, id = namespace.decode("ascii"), behind[:end].decode("ascii")
    except UnicodeDecodeError as error:
        raise _no_target(shown) from error
    if not id or "%" in where or where in (".", ".."):
        raise _no_target(shown)
    return ProbeTarget(resource.decode(), where, id, behind[end:])


def _no_target(shown: str) -> Exception:
    return unreadable(
        f"invalid target {shown}: a target is pods|services/<namespace>/<[scheme:]name[:port]>[/path],"
        " nodes/<name[:port]>[/path], or a proxy path; never a URL"
    )


def with_port(target: ProbeTarget, port: str) -> ProbeTarget:
    """The same with this port where it has none."""
    named = target.named
    return target if named.port else structs.replace(target, id=f"{named.scheme}:{named.name}:{port}")
