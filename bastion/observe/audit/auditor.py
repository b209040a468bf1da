"""From the records of exchanges to audit events: which, when, and with what in them.

A request has RequestReceived once it is known who sent it, ResponseStarted where its response may last, and
one ResponseComplete, whatever happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

from msgspec import structs

from bastion.kube.attributes import Attributes
from bastion.kube.requestinfo import RequestInfo, api_call
from bastion.kube.status import StatusError, internal_error
from bastion.kube.user import User, anonymous
from bastion.observe.audit.counts import AuditCounts
from bastion.observe.audit.event import (
    DECISION,
    FAILED,
    OWN,
    REASON,
    Subject,
    annotated,
    bytes_json,
    code_json,
    described,
    json_text,
    place_json,
    received_event,
    response_event,
    status_json,
    user_json,
)
from bastion.observe.audit.policy import COMPLETE, NONE, NOTHING, REQUEST_RESPONSE, STARTED, Policy, judge
from bastion.observe.moments import micro_time
from bastion.observe.record import Record

UNAUTHORIZED = 401
ANONYMOUS_USER = anonymous()
LEFT, ENDED = 499, 503  # nothing was answered: the client has left, or the bastion ended it
# The responses to these may last (apiserver `BasicLongRunningRequestCheck`).
_LASTING_VERBS = frozenset(("watch",))
_LASTING = frozenset(("proxy", "attach", "exec", "log", "portforward"))
CLIENT_LEFT = "client-left"
# why an exchange ended before its end -> its word in an event
OUTCOMES = {
    "aborted": "backend-cut",
    "access revoked": "revoked",
    "access could not be checked again": "revoked",
    "the pod is gone": "pod-gone",
    "the node is gone": "pod-gone",
    "the bastion is stopping": "drained",
    "the longest duration of a stream is over": "too-long",
    "connection reset": "client-left",
}


class Outlet(Protocol):
    """Where events go."""

    def add(self, event: bytes) -> bool:
        """Whether it was taken."""
        ...


class Audit:
    """Implements `observe.observer.Sink`.

    `policy` is read for each request: it may change.  `pod_at` names the pod of an address, empty where it
    is none's.  `strict`: a request fails whose first event is not taken.  `wall` in seconds of the epoch.
    """

    def __init__(
        self,
        policy: Callable[[], Policy],
        outlets: Sequence[Outlet],
        counts: AuditCounts,
        pod_at: Callable[[str], str] = lambda address: "",
        *,
        strict: bool = False,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.policy = policy
        self.strict = strict
        self.wall = wall
        self.counts = counts
        self.pod_at = pod_at
        self._outlets = tuple(outlets)

    def begin(self, record: Record, uri: bytes) -> AuditTrail:
        """`uri` as it came."""
        return AuditTrail(self, record, uri)

    def holds(self, subject: object) -> bool:
        """Whether what `AuditTrail.subject` said of a request still does."""
        return isinstance(subject, Subject) and subject.policy is self.policy()

    def again(self, record: Record, uri: bytes, subject: object) -> AuditTrail:
        """For a repetition of a request, whose subject holds."""
        assert isinstance(subject, Subject)
        trail = AuditTrail(self, record, uri, subject)
        self.count(subject.verdict.level)
        trail.receive()
        return trail

    def observe(self, record: Record) -> None:
        if record.trail is not None:
            record.trail.complete()

    def lasts(self, record: Record) -> None:
        """Its response has begun long ago."""

    def count(self, level: str) -> None:
        self.counts.levels[level] = self.counts.levels.get(level, 0) + 1

    def emit(self, event: bytes) -> bool:
        self.counts.events += 1
        taken = True
        for outlet in self._outlets:
            taken = outlet.add(event) and taken
        return taken


class AuditTrail:
    """One exchange.  Implements `observe.record.Trail`."""

    __slots__ = ("_at", "_audit", "_began", "_decision", "_known", "_record", "_refusal", "_subject", "_uri")

    def __init__(self, audit: Audit, record: Record, uri: bytes, subject: Subject | None = None) -> None:
        self._audit = audit
        self._record = record
        self._uri = uri
        self._at = micro_time(audit.wall())
        self._subject = subject
        self._known = subject is not None  # who asks, and what was decided
        self._decision: tuple[str, str] | None = None
        self._began = False
        self._refusal: StatusError | None = None

    async def received(self, *, unnamed: User | None = ANONYMOUS_USER) -> None:
        if not self._judge(self._record.user or unnamed, known=True) and self._audit.strict:
            raise internal_error("Internal error occurred: the request could not be audited")

    def receive(self) -> bool:
        """Whether it was taken, where there is something to write."""
        subject = self._judged()
        if not subject.verdict.received:
            return True
        return self._audit.emit(received_event(subject, json_text(self._record.audit_id), self._at))

    def decided(self, reason: str, *, allowed: bool) -> None:
        self._decision = ("allow" if allowed else "forbid", reason)

    def undecided(self) -> None:
        self._decision = ("", FAILED)

    def refused(self, error: StatusError) -> None:
        self._refusal = error

    def started(self, code: int) -> None:
        if self._began:
            return
        self._began = True
        verdict = self._judged().verdict
        if verdict.started and (self._lasts() or (code == UNAUTHORIZED and not self._known)):
            now = micro_time(self._audit.wall())
            self._respond(STARTED, self._status(code), now)

    def subject(self) -> object:
        return self._settled()

    def complete(self) -> None:
        record = self._record
        record.trail = None  # each holds the other
        if record.code:
            self.started(record.code)
        if not self._judged().verdict.complete:
            return
        code = record.code or (LEFT if record.outcome == CLIENT_LEFT else ENDED)
        own = bytes_json(record.bytes_in, record.bytes_out)
        if record.endpoint:
            pod = self._audit.pod_at(record.endpoint)
            own = b"%b,%b" % (place_json(record.endpoint, pod), own)
        if self._refusal is not None or record.outcome:
            own = b"%b,%b" % (own, more) if (more := annotated(self._more())) else own
        self._respond(COMPLETE, self._status(code), micro_time(self._audit.wall()), own)

    # --- what is known of it

    def _judged(self) -> Subject:
        if self._subject is None:
            user = self._record.user
            self._judge(user, known=user is not None)
        assert self._subject is not None
        return self._subject

    def _judge(self, user: User | None, *, known: bool) -> bool:
        """Once, as soon as sign-in has come to an end.  Whether its first event was taken."""
        record, policy = self._record, self._audit.policy()
        attributes = attributes_of(record.info, record.method, self._uri)
        verdict = judge(policy, user, attributes)
        self._audit.count(verdict.level)
        self._known = known
        self._subject = (
            Subject(policy, NOTHING)
            if verdict.level == NONE
            else described(policy, verdict, user, attributes, (self._uri, record.client, record.agent))
        )
        return self.receive() if known else True

    def _settled(self) -> Subject:
        """With all that is known once a response begins."""
        subject, record = self._judged(), self._record
        acting = record.acting_as
        if acting is not None and acting is not record.user and not subject.acting_as:
            subject = structs.replace(subject, acting_as=b',"impersonatedUser":%b' % user_json(acting))
        if self._decision is not None:
            subject = structs.replace(subject, decision=annotated(_decided(*self._decision)))
            self._decision = None
        self._subject = subject
        return subject

    def _lasts(self) -> bool:
        attributes = attributes_of(self._record.info, self._record.method, self._uri)
        return attributes.subresource in _LASTING or attributes.verb in _LASTING_VERBS

    def _status(self, code: int) -> bytes:
        if self._refusal is not None:
            return status_json(self._refusal, whole=self._judged().verdict.level == REQUEST_RESPONSE)
        return code_json(code)

    def _more(self) -> list[tuple[str, str]]:
        record, more = self._record, []
        if self._refusal is not None and self._refusal.reason:
            more.append((f"{OWN}error", self._refusal.reason))
        if record.outcome:
            more.append((f"{OWN}outcome", OUTCOMES.get(record.outcome, record.outcome)))
        return more

    def _respond(self, stage: str, status: bytes, now: bytes, own: bytes = b"") -> None:
        record = self._record
        self._audit.emit(
            response_event(
                self._settled(), json_text(record.audit_id), stage.encode(), status, (self._at, now), own
            )
        )


def attributes_of(info: RequestInfo | None, method: str, uri: bytes) -> Attributes:
    return info.attributes if info is not None else api_call(method, uri).attributes


def _decided(decision: str, reason: str) -> list[tuple[str, str]]:
    return [(DECISION, decision), (REASON, reason)] if decision else [(REASON, reason)]
