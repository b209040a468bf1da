"""The record of one exchange: written while a request is served, read by observers only."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Protocol

import msgspec
from msgspec.structs import replace

from bastion.kube.endpoint import Endpoint
from bastion.kube.errorword import Word
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import StatusError
from bastion.kube.user import ANONYMOUS, User
from bastion.message.tracecontext import Trace
from bastion.observe.audit.event import Subject
from bastion.observe.audit.repeated import Template

_clock = time.perf_counter


MOST_KEPT = 16  # texts, and series, of what many exchanges have in common


class Repeated(msgspec.Struct):
    """What observers made of what many exchanges have in common: texts of a line by endpoint, series by code,
    and of audit events what they are about and, by code and endpoint, their texts.
    """

    texts: dict[tuple[str, str], tuple[bytes, bytes]] = msgspec.field(default_factory=dict)
    series: dict[int, tuple[list[float], list[float]]] = msgspec.field(default_factory=dict)
    audited: Subject | None = None  # None where nothing is audited
    events: dict[tuple[int, str], Template] = msgspec.field(default_factory=dict)


class Trail(Protocol):
    """What the audit log is told of an exchange while it is served."""

    async def received(self, *, unnamed: User | None = ...) -> None:
        """It is known who asks; `unnamed` where the record has no user.

        Raises StatusError where it may not be served without an event.
        """
        ...

    @property
    def holds(self) -> bool:
        """Whether the end of the response waits for `delivered`."""
        ...

    async def delivered(self) -> bool:
        """Returns once the events are delivered, or given up."""
        ...

    def decided(self, reason: str, *, allowed: bool) -> None:
        """What the authorizer said."""
        ...

    def undecided(self) -> None:
        """The authorizer had no decision."""
        ...

    def refused(self, error: StatusError) -> None:
        """The response is this Status."""
        ...

    def started(self, code: int) -> None:
        """A response begins."""
        ...

    def complete(self) -> None:
        """The exchange is over, and the record is whole."""
        ...

    def subject(self) -> Subject:
        """What is the same for each repetition of the request."""
        ...


class Record(msgspec.Struct, eq=False):
    """`stages` holds the seconds spent in each, `seconds` the whole; `bytes_in` and `bytes_out` count bodies;
    `code` 0: no response.
    """

    method: str
    path: bytes
    client: str
    audit_id: str
    info: RequestInfo | None = None
    user: User | None = None
    acting_as: User | None = None
    endpoint: str = ""
    tried: int = 1  # endpoints, up to that one
    tls: str = ""  # to it: verified or unverified, empty for plain text
    host: bytes = b""  # of an application that has one of its own
    agent: bytes = b""  # its User-Agent
    http2: bool = False  # it came over HTTP/2
    backend: bool = False  # whether the response is a backend's, and not the bastion's own
    cause: str = ""  # why no user is known: for the log, never for the client
    code: int = 0
    error: str = ""  # why the bastion itself made the answer: a reason of Status, and what lies behind it
    word: Word | None = None  # that of the error
    # empty, or how the exchange was cut short, why a tunnel ended, what came of signing in
    outcome: str = ""
    bytes_in: int = 0
    bytes_out: int = 0
    stream_in: int = 0  # of a tunnel, after the switch of protocols
    stream_out: int = 0
    stages: dict[str, float] = msgspec.field(default_factory=dict)
    _stage: str = ""
    _stage_began: float = 0.0
    seconds: float = 0.0
    started: float = msgspec.field(default_factory=_clock)
    trail: Trail | None = None  # None where nothing is audited
    trace: Trace | None = None  # None where nothing is traced
    repeated: Repeated | None = None  # None: it is the only one of its kind

    def again(self, audit_id: str, stage: str) -> Record:
        """Of another exchange of which so far the same is known; it is in this stage."""
        now = _clock()
        return replace(self, audit_id=audit_id, stages={}, started=now, _stage=stage, _stage_began=now)

    def reached(self, endpoint: Endpoint) -> None:
        """That is where it is sent to."""
        self.endpoint = str(endpoint)
        self.tls = tls_word(endpoint)

    @property
    def traced(self) -> bytes:
        """Lines for whoever the request is sent to; empty where nothing is traced."""
        return self.trace.lines() if self.trace is not None else b""

    @property
    def told(self) -> str:
        """Whom a page names as its reader; empty where that is nobody who is known."""
        user = self.acting_as or self.user
        return user.name if user is not None and user.name != ANONYMOUS else ""

    def fail(self, error: StatusError) -> None:
        """The bastion itself makes the response."""
        self.error, self.cause = f"{error.reason}: {error.message}", error.cause or self.cause
        self.word = error.word

    def measure(self, code: int, bytes_in: int, bytes_out: int) -> None:
        """Up to now.  What went through a tunnel is added to the bytes of the bodies."""
        self.code = code
        self.bytes_in = bytes_in + self.stream_in
        self.bytes_out = bytes_out + self.stream_out
        self.seconds = _clock() - self.started

    def stage(self, name: str) -> Record:
        """`with record.stage("authentication"):` measures what is inside."""
        self._stage = name
        self._stage_began = _clock()
        return self

    def __enter__(self) -> Record:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end_stage()

    def end_stage(self) -> None:
        ended = _clock()
        self.stages[self._stage] = ended - self._stage_began
        if self.trace is not None:
            self.trace.stages.append((self._stage, self._stage_began, ended))


def tls_word(endpoint: Endpoint) -> str:
    if endpoint.tls is None:
        return ""
    return "verified" if endpoint.tls.verified else "unverified"


def begun_of(record: Record) -> Record:
    """What is on record of each request with the same plan."""
    begun = Record(record.method, record.path, record.client, "")
    begun.agent, begun.host, begun.info = record.agent, record.host, record.info
    begun.http2 = record.http2
    begun.user, begun.acting_as = record.user, record.acting_as
    begun.repeated = Repeated(audited=record.trail.subject() if record.trail is not None else None)
    return begun
