"""· An event of `audit.k8s.io/v1` as a line of JSON.

An event is put together from pieces, because two are written of every request: what all events of a request
have in common is encoded once, and only once for repetitions.  Source: apiserver `pkg/apis/audit/v1`.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.observe.audit.policy import NOTHING, Policy, Verdict

MAX_AGENT = 1024  # bytes of a User-Agent
TRUNCATED = "...TRUNCATED"
OWN = "bastion.dev/"
DECISION, REASON = "authorization.k8s.io/decision", "authorization.k8s.io/reason"
FAILED = "internal error"  # the reason where the authorizer had no decision

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Subject(msgspec.Struct, frozen=True, gc=False):
    """What all events of one request say, encoded.

    `front` ends with the user and `rest` begins with the addresses: whom the user acts as stands between
    them, and is not known from the start.  `decision` is that of the authorizer, as annotations.  `policy` is
    what the verdict was made by.
    """

    policy: Policy
    verdict: Verdict = NOTHING
    begin: bytes = b""
    front: bytes = b""
    rest: bytes = b""
    acting_as: bytes = b""
    decision: bytes = b""


def json_text(text: str) -> bytes:
    """A lone surrogate stands for a byte that is no UTF-8."""
    try:
        return _encode(text)
    except UnicodeEncodeError:
        return _encode(text.encode("utf-8", "replace").decode())


def described(
    policy: Policy,
    verdict: Verdict,
    user: User | None,
    attributes: Attributes,
    request: tuple[bytes, Sequence[str], bytes],
) -> Subject:
    """`request`: its URI, the addresses it came over, and its User-Agent."""
    uri, sources, agent = request
    ips = b',"sourceIPs":[%b]' % b",".join(json_text(one) for one in sources if one)
    said = b',"userAgent":%b' % json_text(agent_text(agent)) if agent else b""
    return Subject(
        policy,
        verdict,
        b'{"kind":"Event","apiVersion":"audit.k8s.io/v1","level":"%b","auditID":' % verdict.level.encode(),
        b',"requestURI":%b,"verb":%b,"user":%b'
        % (json_text(uri.decode("utf-8", "replace")), json_text(attributes.verb), user_json(user)),
        b"%b%b%b" % (ips, said, _object(attributes)),
    )


def agent_text(agent: bytes) -> str:
    cut = agent[:MAX_AGENT].decode("utf-8", "replace")
    return cut + TRUNCATED if len(agent) > MAX_AGENT else cut


def user_json(user: User | None) -> bytes:
    if user is None:
        return b"{}"
    fields: dict[str, Any] = {"username": user.name, "uid": user.uid, "groups": user.groups}
    said = {name: value for name, value in fields.items() if value}
    if user.extra:
        said["extra"] = dict(user.extra)
    try:
        return _encode(said)
    except UnicodeEncodeError:
        return _encode(_printable(said))


def _printable(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(inner) for key, inner in value.items()}
    return [_printable(inner) for inner in value]


def _object(of: Attributes) -> bytes:
    if not of.resource:
        return b""
    fields = (
        ("resource", of.resource),
        ("namespace", of.namespace),
        ("name", of.name),
        ("apiGroup", of.group),
        ("apiVersion", of.version),
        ("subresource", of.subresource),
    )
    said = b",".join(b'"%b":%b' % (name.encode(), json_text(value)) for name, value in fields if value)
    return b',"objectRef":{%b}' % said


# --- what is different in each event


def received_event(subject: Subject, audit_id: bytes, at: bytes) -> bytes:
    return b'%b%b,"stage":"RequestReceived"%b%b,"requestReceivedTimestamp":"%b","stageTimestamp":"%b"}' % (
        subject.begin,
        audit_id,
        subject.front,
        subject.rest,
        at,
        at,
    )


def response_event(
    subject: Subject,
    audit_id: bytes,
    stage: bytes,
    status: bytes,
    times: tuple[bytes, bytes],
    own: bytes = b"",
) -> bytes:
    """`times`: when the request was received, and of the stage; `own`: annotations, as `annotated` makes
    them.
    """
    said = subject.decision
    if own:
        said = b"%b,%b" % (said, own) if said else own
    return b'%b%b,"stage":"%b"%b%b%b%b,"requestReceivedTimestamp":"%b","stageTimestamp":"%b"%b}' % (
        subject.begin,
        audit_id,
        stage,
        subject.front,
        subject.acting_as,
        subject.rest,
        status,
        *times,
        b',"annotations":{%b}' % said if said else b"",
    )


@functools.lru_cache(128)
def code_json(code: int) -> bytes:
    return b',"responseStatus":{"metadata":{},"code":%d}' % code


def status_json(error: StatusError, *, whole: bool) -> bytes:
    """The very words that the client got; `whole`: as the responseObject, too."""
    body: dict[str, Any] = _decode(error.body())
    said = {name: value for name, value in body.items() if name not in ("kind", "apiVersion")}
    encoded = b',"responseStatus":%b' % _encode(said)
    return encoded + b',"responseObject":%b' % _encode(body) if whole else encoded


def annotated(pairs: Iterable[tuple[str, str]]) -> bytes:
    return b",".join(b"%b:%b" % (json_text(key), json_text(value)) for key, value in pairs)


@functools.lru_cache(1024)
def place_json(endpoint: str, pod: str) -> bytes:
    """Where a request went, as annotations; cached, as there are few."""
    pairs = ((f"{OWN}endpoint", endpoint), (f"{OWN}pod", pod))
    return annotated((key, value) for key, value in pairs if value)


def bytes_json(received: int, sent: int) -> bytes:
    return b'"bastion.dev/bytes-received":"%d","bastion.dev/bytes-sent":"%d"' % (received, sent)
