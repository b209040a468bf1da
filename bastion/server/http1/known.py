"""Is a request's head one whose decision is remembered?

What is looked up is all that decides, byte for byte; everything else was judged line by line, by the same
rules.  A head that is not known is read as any other.
"""

from __future__ import annotations

from bastion.http.fields import Field
from bastion.network.addresses import client_of
from bastion.proxy.callplan import CallPlan
from bastion.proxy.plan import Plan, Plans
from bastion.server.http1.connection import Peer
from bastion.server.http1.head import MAX_FIELDS, Head, Sorted, are_hops_own, read_head, said_audit_id


class KnownRequests:
    """Of one connection, whose client's address, scheme and certificate are part of what decides."""

    __slots__ = ("_owner", "_peer", "_plans")

    def __init__(self, plans: Plans, peer: Peer) -> None:
        self._plans = plans
        self._peer = plans.peer(peer.address, peer.scheme, peer.certificate)
        self._owner = client_of(peer.address)

    def read(self, data: bytes) -> tuple[Head, Plan | CallPlan | None]:
        """`data` as for `read_head`.  Raises StatusError."""
        plans = self._plans
        lines = data.split(b"\r\n")
        request_line = lines[0]
        del lines[0]
        noted: list[Field] = []
        try:
            passed, deciding = plans.lines.sort(lines, self._owner, noted)
        except ValueError:
            return read_head(data), None  # which says what is wrong
        key = plans.key(self._peer, request_line, deciding)
        plan = plans.known(key)
        if plan is None or len(lines) > MAX_FIELDS:
            head = read_head(data, Sorted(passed, deciding, noted))
            if _may_be_remembered(head):
                head.key = key
            return head, None
        head = Head(
            plan.method,
            plan.target,
            1,
            [],
            plan.keep_alive,
            plan.authority,
            passed=passed,
            lines=deciding,
            decided=True,
        )
        for _, _, value in noted:
            head.audit_id = head.audit_id or said_audit_id(value)
        return head, plan


class HeadParser:
    """Reads the heads of one connection; `plans` None: nothing is remembered.  `any_target` as in
    `read_request_line`.

    `plan` is what is remembered of the head that was read last, None where that is nothing.
    """

    __slots__ = ("_any_target", "_known", "plan")

    def __init__(self, plans: Plans | None, peer: Peer, *, any_target: bool = False) -> None:
        self._any_target = any_target
        self._known = KnownRequests(plans, peer) if plans is not None else None
        self.plan: Plan | CallPlan | None = None

    def __call__(self, data: bytes) -> Head:
        """Raises StatusError."""
        if self._known is None:
            return read_head(data, any_target=self._any_target)
        head, self.plan = self._known.read(data)
        return head


def _may_be_remembered(head: Head) -> bool:
    """What a Connection names may be a line that decides nothing otherwise."""
    return (
        head.minor == 1
        and head.length is None
        and not (head.chunked or head.expects_continue or head.upgrade)
        and are_hops_own(head.fields)
    )
