"""The record of one exchange: written while a request is served, read by observers only."""

from __future__ import annotations

import time
from types import TracebackType

from bastion.kube.errorword import Word
from bastion.kube.requestinfo import RequestInfo
from bastion.kube.status import StatusError
from bastion.kube.user import User

_clock = time.perf_counter


class Record:
    """`stages` holds the seconds spent in each, `seconds` the whole; `bytes_in` and `bytes_out` count bodies;
    `code` 0: no response.
    """

    __slots__ = (
        "_stage",
        "_stage_began",
        "acting_as",
        "agent",
        "audit_id",
        "backend",
        "bytes_in",
        "bytes_out",
        "cause",
        "client",
        "code",
        "endpoint",
        "error",
        "host",
        "info",
        "method",
        "outcome",
        "path",
        "seconds",
        "stages",
        "started",
        "stream_in",
        "stream_out",
        "user",
        "word",
    )

    def __init__(self, method: str, path: bytes, client: str, audit_id: str) -> None:
        self.method = method
        self.path = path
        self.client = client
        self.audit_id = audit_id
        self.info: RequestInfo | None = None
        self.user: User | None = None
        self.acting_as: User | None = None
        self.endpoint = ""
        self.host = b""  # of an application that has one of its own
        self.agent = b""  # its User-Agent
        self.backend = False  # whether the response is a backend's, and not the bastion's own
        self.cause = ""  # why no user is known: for the log, never for the client
        self.code = 0
        self.error = ""  # why the bastion itself made the answer: a reason of Status, and what lies behind it
        # empty, or how the exchange was cut short, why a tunnel ended, what came of signing in
        self.word: Word | None = None  # that of the error
        self.outcome = ""
        self.bytes_in = 0
        self.bytes_out = 0
        self.stream_in = 0  # of a tunnel, after the switch of protocols
        self.stream_out = 0
        self.stages: dict[str, float] = {}
        self._stage = ""
        self._stage_began = 0.0
        self.seconds = 0.0
        self.started = _clock()

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
        self.stages[self._stage] = _clock() - self._stage_began
