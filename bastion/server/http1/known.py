"""Is a request's head one whose decision is remembered?

What is looked up is all that decides, byte for byte; everything else was judged line by line, by the same
rules.  A head that came before as a whole is known by its hash alone; one that is not known is read as any
other.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence

from bastion.http.fields import Field
from bastion.message.lines import LineTable
from bastion.network.addresses import client_of
from bastion.proxy.callplan import CallPlan
from bastion.proxy.plan import Plan, Plans
from bastion.server.http1.connection import Peer
from bastion.server.http1.head import MAX_FIELDS, MAX_HEAD, Head, Sorted, read_head, said_audit_id
from bastion.server.http1.reader import HeadReader
from bastion.server.http1.varying import beginnings, divided, interleaved, without

# After so many heads in a row that had not come before, one of so many is looked for: a client that sends
# another line in each request has none that did.
STRANGE, LOOKED_AT = 8, 16


class DecidingLines:
    """Those of a whole head, read where they are needed at all: they may hold a secret."""

    __slots__ = ("_data", "_lines", "_owner")

    def __init__(self, data: bytes, lines: LineTable, owner: Hashable) -> None:
        self._data = data
        self._lines = lines
        self._owner = owner

    def __iter__(self) -> Iterator[bytes]:
        lines = self._data[:-4].split(b"\r\n")
        return iter(self._lines.sort(lines[1:], self._owner)[1])

    def first(self, name: bytes) -> bytes:
        """Of that name, in lower case; there is one."""
        at = self._data.find(b"\n%b:" % name.title()) + 1  # as nearly all write it
        if not at:
            at = self._data.lower().index(b"\n%b:" % name) + 1
        return self._data[at : self._data.index(b"\r", at)]


def line_of(lines: Iterable[bytes], name: bytes) -> bytes:
    """The first of that name, in lower case; there is one."""
    if isinstance(lines, DecidingLines):
        return lines.first(name)
    return next(line for line in lines if line[: len(name) + 1].lower() == name + b":")


class HeadParser:
    """Reads the heads of one connection, whose client's address, scheme and certificate are part of what
    decides; `plans` None: nothing is remembered.  `any_target` and `tunnels` as in `read_head`.

    `plan` is what is remembered of the head that was read last, None where that is nothing.
    """

    __slots__ = (
        "_any_target",
        "_cut",
        "_digest",
        "_owner",
        "_peer",
        "_plans",
        "_secure",
        "_strange",
        "_tunnels",
        "_varying",
        "plan",
    )

    def __init__(
        self, plans: Plans | None, peer: Peer, *, any_target: bool = False, tunnels: bool = False
    ) -> None:
        self._any_target = any_target
        self._secure = peer.scheme != b"http"
        self._tunnels = tunnels
        self._plans = plans
        self._peer = plans.peer(peer.address, peer.scheme, peer.certificate) if plans is not None else b""
        self._owner = client_of(peer.address)
        self._strange = 0
        self._varying: tuple[bytes, ...] = ()  # how the lines begin that were the last to be new
        self._digest = b""  # of the segment that was looked for last, where it was not known,
        self._cut: Sequence[bytes] = ()  # and the lines that it is without
        self.plan: Plan | CallPlan | None = None

    def next(self, heads: HeadReader, data: bytes) -> Head | None:
        """The next head; None where more of it must come.  Raises StatusError."""
        plans = self._plans
        if plans is None or heads.pending or len(data) > MAX_HEAD or data.startswith(b"\r\n"):
            return heads.read(self, data)
        head = self._whole(plans, data)
        if head is None:
            head = heads.read(self, data)
            if head is not None and not heads.pending:
                self._keep(plans, head)
        return head

    def _whole(self, plans: Plans, data: bytes) -> Head | None:
        """The head that is all of this segment, if it came before byte for byte but for varying lines."""
        self._digest = b""
        if self._strange >= STRANGE:
            self._strange += 1
            if self._strange % LOOKED_AT:
                return None
        rest, cut = without(data, self._varying) if self._varying else (data, ())
        digest, known = plans.whole(self._peer, rest)
        if known is None:
            self._digest, self._cut = digest, cut
            self._strange += 1
            return None
        passed = interleaved(known.passed, cut, plans.lines)
        if passed is None:
            return None  # it is malformed, for what reads it to say
        self._strange = 0
        self.plan = plan = known.plan
        return _known_head(plan, passed, DecidingLines(data, plans.lines, self._owner))

    def _keep(self, plans: Plans, head: Head) -> None:
        """`head` is all of the segment that was looked for last."""
        if not self._digest or self.plan is None:
            return
        pieces = divided(head.passed, self._cut, plans.lines)
        if pieces is not None and all(map(plans.lines.may_be_kept, pieces)):
            plans.keep_whole(self._digest, self.plan, tuple(map(b"".join, pieces)))

    def __call__(self, data: bytes) -> Head:
        """`data` as for `read_head`.  Raises StatusError."""
        if self._plans is None:
            return self._read_new(data)
        head, self.plan = self._read(self._plans, data)
        return head

    def _read_new(self, data: bytes, known: Sorted | None = None) -> Head:
        return read_head(data, known, any_target=self._any_target, secure=self._secure, tunnels=self._tunnels)

    def _read(self, plans: Plans, data: bytes) -> tuple[Head, Plan | CallPlan | None]:
        lines = data.split(b"\r\n")
        request_line = lines[0]
        del lines[0]
        noted: list[Field] = []
        new: list[bytes] = []
        try:
            passed, deciding = plans.lines.sort(lines, self._owner, noted, new)
        except ValueError:
            return self._read_new(data), None  # which says what is wrong
        key = b""
        if plans.came_before(self._peer, request_line, self._owner):
            key = plans.key(self._peer, request_line, deciding)
        plan = plans.known(key) if key else None
        if plan is None or len(lines) > MAX_FIELDS:
            head = self._read_new(data, Sorted(request_line, lines, passed, deciding, noted))
            if head.own_hops and _may_be_remembered(head):
                head.key = key
            return head, None
        if new:
            self._varying = beginnings(new)
        head = _known_head(plan, passed, deciding)
        for _, _, value in noted:
            head.audit_id = head.audit_id or said_audit_id(value)
        return head, plan


def _known_head(plan: Plan | CallPlan, passed: Sequence[bytes], lines: Iterable[bytes]) -> Head:
    return Head(
        plan.method,
        plan.target,
        1,
        [],
        plan.keep_alive,
        plan.authority,
        passed=passed,
        lines=lines,
        decided=True,
    )


def _may_be_remembered(head: Head) -> bool:
    return (
        head.minor == 1
        and head.length is None
        and not (head.chunked or head.expects_continue or head.upgrade or head.to_proxy)
    )
