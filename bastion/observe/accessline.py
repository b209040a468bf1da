"""What does the access log say of an exchange?

A line of JSON, of bounded length, and never a query, which may hold a secret.
"""

from __future__ import annotations

import functools
import time
from typing import Annotated

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.errorword import Word
from bastion.observe.auditids import is_ours
from bastion.observe.moments import rfc3339
from bastion.observe.record import MOST_KEPT, Record
from bastion.observe.texts import agent

ENDED, LASTS = "access", "access-lasts"
NO_RESOURCE = Attributes("")
MAX_LINE = 4096  # bytes; the texts of a longer line are cut
MAX_PATH, MAX_TEXT = 2048, 512  # characters that are left of a text that is cut
CONTEXTS = 1024  # kept in encoded form
MAX_CACHED = 2048  # bytes of path and User-Agent, which a client chooses: longer ones are not kept

_encode = msgspec.json.Encoder().encode


def _says(text: str) -> msgspec.Meta:
    """For docs/reference/log-fields.md."""
    return msgspec.Meta(description=text)


class Event(msgspec.Struct, gc=False):
    """The first fields of a line, in their order: what is different for each exchange."""

    time: Annotated[
        str, _says("RFC 3339, UTC, of the end; of a line that says `access-lasts`, of that moment")
    ]
    msg: Annotated[str, _says("`access`, or `access-lasts` of a long exchange that goes on")]
    auditID: Annotated[str, _says("of the request, as in the header `Audit-ID` and in the audit log")]
    client: Annotated[str, _says("the address that asks; behind a trusted proxy the one that it names")]
    method: Annotated[str, _says("of HTTP")]
    path: Annotated[str, _says("as it came, without the query")]
    code: Annotated[int, _says("of the response; 0 where none began")]
    seconds: Annotated[float, _says("from the head of the request to the end")]
    bytesIn: Annotated[int, _says("of the body, and of a tunnel, from the client")]
    bytesOut: Annotated[int, _says("of the body, and of a tunnel, to the client")]
    stages: Annotated[
        dict[str, float], _says("seconds spent in each: `authentication`, `authorization`, `upstream`")
    ]


class Context(msgspec.Struct, omit_defaults=True, gc=False):
    """The other fields of a line, in their order: what many exchanges have in common.

    Empty ones are left out.
    """

    user: Annotated[str, _says("who asks")] = ""
    actingAs: Annotated[str, _says("as whom, where the request impersonates somebody")] = ""
    verb: Annotated[str, _says("Kubernetes' verb that was asked for")] = ""
    resource: Annotated[str, _says("`services`, `pods` or `nodes`; of a passed call its resource")] = ""
    namespace: Annotated[str, _says("of the target")] = ""
    name: Annotated[str, _says("of the target, as it stands in the URL: `[scheme:]name[:port]`")] = ""
    host: Annotated[str, _says("the host name of an application that has one of its own")] = ""
    endpoint: Annotated[str, _says("the address that the request went to")] = ""
    tls: Annotated[str, _says("to it: `verified` or `unverified`; empty for plain text")] = ""
    word: Annotated[str, _says("of an error that the bastion itself answered: docs/reference/errors.md")] = ""
    hop: Annotated[str, _says("that failed: client, bastion, apiserver, service, endpoint or backend")] = ""
    error: Annotated[str, _says("the reason and the message of that error")] = ""
    cause: Annotated[
        str, _says("why no user is known, or what lies behind the error: never told to the client")
    ] = ""
    outcome: Annotated[
        str, _says("how the exchange was cut short, why a tunnel ended, or what came of signing in")
    ] = ""
    userAgent: Annotated[str, _says("the client's, of bounded length")] = ""
    protocol: Annotated[str, _says("`HTTP/2`; HTTP/1.1 is left out")] = ""
    audit_id_from: Annotated[str, _says("`client` where the client chose the audit id")] = ""
    cut: Annotated[bool, _says("some text is longer than it stands here")] = False


Key = tuple[str, str, str, str, str, str, bytes, str, str, Word | None, str, str, str, bytes, bool, bool]


def access_line(record: Record, msg: str = ENDED) -> bytes:
    line = _usual_line(record) if msg is ENDED and record.repeated is not None else b""
    if not line:
        # an error repeats what a client sent, at any length
        kept = not record.error and _is_short(record)
        line = _encode(event_of(record, msg))[:-1] + (_cached if kept else _encoded)(key_of(record))
    return line if len(line) <= MAX_LINE else _cut_line(record, msg)


# What `event_of` says of one of many exchanges that differ in numbers alone, for a third of the cost.
_USUAL = (
    b'{"time":"%b","msg":"access","auditID":"%b",%b,"code":%d,"seconds":%.6f'
    b',"bytesIn":%d,"bytesOut":%d,"stages":%b%b'
)


def _usual_line(record: Record) -> bytes:
    """Empty where it is not one of those."""
    repeated, audit_id = record.repeated, record.audit_id
    special = record.word or record.error or record.cause or record.outcome
    if repeated is None or special or not is_ours(audit_id):
        return b""
    place = record.endpoint, record.tls
    texts = repeated.texts.get(place)
    if texts is None:
        if not _is_short(record):
            return b""
        if len(repeated.texts) >= MOST_KEPT:
            repeated.texts.clear()
        texts = repeated.texts[place] = _encode(_who(record))[1:-1], _encoded(key_of(record))
    return _USUAL % (
        rfc3339(time.time()).encode(),
        audit_id.encode(),
        texts[0],
        record.code,
        record.seconds,
        record.bytes_in,
        record.bytes_out,
        _encode(record.stages),
        texts[1],
    )


def _is_short(record: Record) -> bool:
    return len(record.path) + len(record.agent) <= MAX_CACHED


def _who(record: Record) -> dict[str, str]:
    """What stands between the numbers of a line."""
    return {
        "client": record.client,
        "method": record.method,
        "path": record.path.decode("utf-8", "replace"),
    }


def event_of(record: Record, msg: str) -> Event:
    return Event(
        time=rfc3339(time.time()),
        msg=msg,
        auditID=record.audit_id,
        client=record.client,
        method=record.method,
        path=record.path.decode("utf-8", "replace"),
        code=record.code,
        seconds=record.seconds,
        bytesIn=record.bytes_in,
        bytesOut=record.bytes_out,
        stages=record.stages,
    )


def key_of(record: Record) -> Key:
    """What the context of a line is made of."""
    user, acting = record.user, record.acting_as
    attributes = record.info.attributes if record.info is not None else NO_RESOURCE
    return (
        user.name if user is not None else "",
        acting.name if acting is not None and acting is not user else "",
        attributes.verb,
        attributes.resource,
        attributes.namespace,
        attributes.name,
        record.host,
        record.endpoint,
        record.tls,
        record.word,
        record.error,
        record.cause,
        record.outcome,
        record.agent,
        record.http2,
        is_ours(record.audit_id),
    )


def context_of(key: Key) -> Context:
    user, acting, verb, resource, namespace, name, host, endpoint, tls, word = key[:10]
    error, cause, outcome, client, http2, ours = key[10:]
    return Context(
        user=user,
        actingAs=acting,
        verb=verb,
        resource=resource,
        namespace=namespace,
        name=name,
        host=host.decode("utf-8", "replace"),
        endpoint=endpoint,
        tls=tls,
        word=word.name if word is not None else "",
        hop=word.hop if word is not None else "",
        error=error,
        cause=cause,
        outcome=outcome,
        userAgent=agent(client) if client else "",
        protocol="HTTP/2" if http2 else "",
        audit_id_from="" if ours else "client",
    )


def _encoded(key: Key) -> bytes:
    """The end of a line, from the comma in front of the context on."""
    return _end(context_of(key))


_cached = functools.lru_cache(CONTEXTS)(_encoded)


def _end(context: Context) -> bytes:
    encoded = _encode(context)
    return b"," + encoded[1:] if len(encoded) > 2 else b"}"


def _cut_line(record: Record, msg: str) -> bytes:
    event, context = cut(event_of(record, msg), context_of(key_of(record)))
    return _encode(event)[:-1] + _end(context)


def cut(event: Event, context: Context) -> tuple[Event, Context]:
    """Cuts names, users and errors as well: they repeat what the client sent."""
    if _cut_texts(event) | _cut_texts(context):
        context.cut = True
    return event, context


def _cut_texts(part: Event | Context) -> bool:
    """Whether any text was too long."""
    found = False
    for field in part.__struct_fields__:
        value = getattr(part, field)
        most = MAX_PATH if field == "path" else MAX_TEXT
        if isinstance(value, str) and len(value) > most:
            setattr(part, field, f"{value[:most]}…")
            found = True
    return found
