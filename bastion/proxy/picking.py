"""· Which pod of a service does a request name?  `X-Bastion-Endpoint: <pod>` on a service's URL.

It is another way to that pod, so that it needs the same verb on `pods/proxy` as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import structs

from bastion.http.fields import Field, values
from bastion.kube.attributes import Attributes
from bastion.kube.errors import unreadable
from bastion.kube.requestinfo import RequestInfo

HEADER = b"x-bastion-endpoint"
# RFC 1123; no pod has another name
_NAME = re.compile(rb"(?=.{1,253}\Z)[a-z0-9](?:[-.a-z0-9]*[a-z0-9])?")


def picked(info: RequestInfo, fields: Iterable[Field]) -> str:
    """The pod's name; empty where none is named, or the target is no service.  Raises StatusError 400."""
    if info.attributes.resource != "services":
        return ""
    named = values(fields, HEADER)
    if not named:
        return ""
    if len(named) > 1 or not _NAME.fullmatch(named[0]):
        raise unreadable("X-Bastion-Endpoint: the name of one pod is needed")
    return named[0].decode()


def with_pod(required: tuple[Attributes, ...], pod: str) -> tuple[Attributes, ...]:
    """What is needed for the service, and then the same for its pod."""
    if not pod:
        return required
    return (*required, *(structs.replace(one, resource="pods", name=pod) for one in required))
