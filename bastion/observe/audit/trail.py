"""The events of one exchange: which are written of it, when, and with what in them?

RequestReceived once it is known who asks, ResponseStarted where the response may last, and one
ResponseComplete, whatever happened.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import structs

from bastion.kube.attributes import Attributes
from bastion.kube.errors import internal_error
from bastion.kube.requestinfo import RequestInfo, api_call
from bastion.kube.status import StatusError
from bastion.kube.user import User, anonymous
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
from bastion.observe.audit.eventlog import Deliver, EventLog
from bastion.observe.audit.policy import COMPLETE, NONE, NOTHING, REQUEST_RESPONSE, STARTED, judge
from bastion.observe.moments import micro_time
from bastion.observe.record import Record

UNAUTHORIZED = 401
ANONYMOUS_USER = anonymous()
LEFT, ENDED = 499, 503  # nothing was answered: the client has left, or the bastion ended it
# The responses to these may last (apiserver `BasicLongRunningRequestCheck`).
_LASTING_VERBS = frozenset(("watch",))
_LASTING = frozenset(("proxy", "attach", "exec", "log", "portforward"))
CLIENT_LEFT, BACKEND_CUT = "client-left", "backend-cut"
# why an exchange ended before its end -> its word in an event
OUTCOMES = {
    "aborted": BACKEND_CUT,
    "the backend reset the connection": BACKEND_CUT,
    "the client reset the connection": CLIENT_LEFT,
    "access expired": "expired",
    "access revoked": "revoked",
    "access could not be checked again": "revoked",
    "the pod is gone": "pod-gone",
    "the node is gone": "pod-gone",
    "the bastion is stopping": "drained",
    "the endpoint is terminating": "drained",
    "the longest duration of a stream is over": "too-long",
}


class AuditTrail:
    """One exchange.  Implements `observe.record.Trail`."""

    __slots__ = (
        "_at",
        "_began",
        "_decision",
        "_delivery",
        "_known",
        "_log",
        "_record",
        "_refusal",
        "_sources",
        "_subject",
        "_unsent",
        "_uri",
    )

    def __init__(
        self,
        log: EventLog,
        record: Record,
        uri: bytes,
        *,
        sources: Sequence[str] = (),
        subject: Subject | None = None,
        received: bytes = b"",
    ) -> None:
        """`received`: when, where that was before now."""
        self._log = log
        self._record = record
        self._uri = uri
        self._sources = sources
        self._at = received or micro_time(log.wall())
        self._subject = subject
        self._known = subject is not None  # who asks, and what was decided
        self._decision: tuple[str, str] | None = None
        self._began = False
        self._refusal: StatusError | None = None
        self._unsent: list[bytes] = []  # events that are waited for
        self._delivery: asyncio.Task[bool] | None = None

    @property
    def holds(self) -> bool:
        return self._log.awaited is not None

    async def received(self, *, unnamed: User | None = ANONYMOUS_USER) -> None:
        taken = self._judge(self._record.user or unnamed, known=True)
        if not (await self.delivered() and taken) and self._log.strict:
            raise internal_error("Internal error occurred: the request could not be audited")

    async def delivered(self) -> bool:
        return await asyncio.shield(self._delivery) if self._delivery is not None else True

    def _emit(self, event: bytes) -> bool:
        taken = self._log.emit(event)
        if self._log.awaited is not None:
            self._unsent.append(event)
            if self._delivery is None or self._delivery.done():
                self._delivery = asyncio.ensure_future(self._deliver(self._log.awaited))
        return taken

    async def _deliver(self, deliver: Deliver) -> bool:
        """One after the other: the events of a request have an order."""
        taken = True
        while self._unsent:
            unsent, self._unsent = self._unsent, []
            taken = await deliver(unsent) and taken
        return taken

    def receive(self) -> bool:
        """Whether it was taken, where there is something to write."""
        subject = self._judged()
        if not subject.verdict.received:
            return True
        return self._emit(received_event(subject, json_text(self._record.audit_id), self._at))

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
            self._respond(STARTED, self._status(code))

    def subject(self) -> Subject:
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
            pod = self._log.pod_at(record.endpoint)
            own = b"%b,%b" % (place_json(record.endpoint, pod), own)
        if self._refusal is not None or record.word is not None or record.outcome or record.tried > 1:
            own = b"%b,%b" % (own, more) if (more := annotated(self._more())) else own
        self._respond(COMPLETE, self._status(code), own)

    # --- what is known of it

    def _judged(self) -> Subject:
        if self._subject is None:
            user = self._record.user
            self._judge(user, known=user is not None)
        assert self._subject is not None
        return self._subject

    def _judge(self, user: User | None, *, known: bool) -> bool:
        """Once, as soon as sign-in has come to an end.  Whether its first event was taken."""
        record, policy = self._record, self._log.policy()
        attributes = attributes_of(record.info, record.method, self._uri)
        verdict = judge(policy, user, attributes)
        self._log.count(verdict.level)
        self._known = known
        self._subject = (
            Subject(policy, NOTHING)
            if verdict.level == NONE
            else described(
                policy,
                verdict,
                user,
                attributes,
                (self._uri, self._sources or (record.client,), record.agent),
            )
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
        record, more = self._record, list[tuple[str, str]]()
        if record.tried > 1:
            more.append((f"{OWN}attempts", str(record.tried)))
        word = self._refusal.word if self._refusal is not None else record.word
        if word is not None:
            more += [(f"{OWN}error", word.name), (f"{OWN}hop", str(word.hop))]
        if record.outcome:
            more.append((f"{OWN}outcome", OUTCOMES.get(record.outcome, record.outcome)))
        return more

    def _respond(self, stage: str, status: bytes, own: bytes = b"") -> None:
        """Never before the request, though the machine's clock may have been set back meanwhile."""
        record, now = self._record, max(self._at, micro_time(self._log.wall()))
        self._emit(
            response_event(
                self._settled(), json_text(record.audit_id), stage.encode(), status, (self._at, now), own
            )
        )


def attributes_of(info: RequestInfo | None, method: str, uri: bytes) -> Attributes:
    return info.attributes if info is not None else api_call(method, uri).attributes


def _decided(decision: str, reason: str) -> list[tuple[str, str]]:
    return [(DECISION, decision), (REASON, reason)] if decision else [(REASON, reason)]
