"""What does the access log say of an exchange?

A line of JSON, of bounded length, and never a query, which may hold a secret.
"""

from __future__ import annotations

import time

import msgspec

from bastion.kube.attributes import Attributes
from bastion.observe.auditids import is_ours
from bastion.observe.moments import rfc3339
from bastion.observe.record import Record
from bastion.observe.texts import agent

ENDED, LASTS = "access", "access-lasts"
NO_RESOURCE = Attributes("")
MAX_LINE = 4096  # bytes; of a longer one the texts are cut
MAX_PATH, MAX_TEXT = 2048, 512  # characters of one that is cut

_encode = msgspec.json.Encoder().encode


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The fields of a line, in their order; what is empty is left out.

    `cut`: some text is longer than it stands here.

    Durations are in seconds.  `msg` is `access`, or `access-lasts` of one that has become long and goes on.
    """

    time: str
    msg: str
    auditID: str
    client: str
    method: str
    path: str
    code: int
    seconds: float
    bytesIn: int
    bytesOut: int
    stages: dict[str, float]
    user: str = ""
    actingAs: str = ""
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    host: str = ""
    endpoint: str = ""
    error: str = ""
    cause: str = ""
    outcome: str = ""
    userAgent: str = ""
    audit_id_from: str = ""
    cut: bool = False


def access_line(record: Record, msg: str = ENDED) -> bytes:
    line = line_of(record, msg)
    encoded = _encode(line)
    return encoded if len(encoded) <= MAX_LINE else _encode(cut(line))


def line_of(record: Record, msg: str) -> Line:
    user, acting = record.user, record.acting_as
    attributes = record.info.attributes if record.info is not None else NO_RESOURCE
    return Line(
        rfc3339(time.time()),
        msg,
        record.audit_id,
        record.client,
        record.method,
        record.path.decode("utf-8", "replace"),
        record.code,
        record.seconds,
        record.bytes_in,
        record.bytes_out,
        record.stages,
        user.name if user is not None else "",
        acting.name if acting is not None and acting is not user else "",
        attributes.verb,
        attributes.resource,
        attributes.namespace,
        attributes.name,
        record.host.decode("utf-8", "replace") if record.host else "",
        record.endpoint,
        record.error,
        record.cause,
        record.outcome,
        agent(record.agent) if record.agent else "",
        "" if is_ours(record.audit_id) else "client",
    )


def cut(line: Line) -> Line:
    """Names, users and errors as well: they repeat what the client said."""
    for field in line.__struct_fields__:
        value = getattr(line, field)
        most = MAX_PATH if field == "path" else MAX_TEXT
        if isinstance(value, str) and len(value) > most:
            setattr(line, field, f"{value[:most]}…")
            line.cut = True
    return line
