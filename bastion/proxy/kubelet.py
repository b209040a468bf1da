"""· What may be asked of a kubelet through this proxy?

`get nodes/proxy` is as good as root on the node wherever the kubelet's exec endpoints are in reach
(kubernetes#136550), so these are refused, and so is any spelling of a path that the kubelet might read
differently than we do.
"""

from __future__ import annotations

from bastion.kube.errors import error_of, refused
from bastion.kube.errorwords import KUBELET_PATH_REFUSED
from bastion.kube.status import StatusError

REFUSED = frozenset((b"exec", b"run", b"attach", b"portforward", b"checkpoint", b"debug", b"cri"))


def check_kubelet_request(rest: bytes, id: str) -> None:
    """`rest` is path and query behind `…/proxy`.  Raises StatusError 400 or 403."""
    path, _, query = rest.partition(b"?")
    segments = path.split(b"/")[1:]
    if (
        b"%" in path
        or b"\\" in path
        or any(segment in (b".", b"..") for segment in segments)
        or b"" in segments[:-1]
    ):
        raise error_of(
            KUBELET_PATH_REFUSED,
            "the path of a request to a kubelet may not have dots, empty segments or percent-encoding",
            code=400,
        )
    first = segments[0].lower() if segments else b""
    if first in REFUSED:
        raise _refused(id, f"/{first.decode('ascii', 'replace')}")
    if first in (b"logs", b"containerlogs") and first == b"logs" and query:
        raise _refused(id, "/logs with a query")


def _refused(id: str, what: str) -> StatusError:
    return refused(
        KUBELET_PATH_REFUSED,
        f"this bastion does not pass {what} on to a kubelet: it would be command execution or log queries on"
        " the node",
        "nodes",
        id,
    )
