"""· What became of sessions whose cookies a browser may still send: refreshed, or waiting for their issuer.

A browser sends several requests before it has read the new cookie, and other hosts have cookies of their own:
all of them find the newest claims here.  Of one process; the other workers are told (signin.notes).
"""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from bastion.identity.signedin import SignedIn
from bastion.signin.session import Session

MOST = 16384  # sessions


class Known(msgspec.Struct, frozen=True, gc=False):
    """`retry_at`: when its issuer, which did not answer, may be asked again; 0: it did."""

    session: Session
    retry_at: float = 0.0


class NewestSessions:
    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._known: OrderedDict[bytes, Known] = OrderedDict()

    def find(self, signed_in: SignedIn) -> Known | None:
        """None where nothing newer is known than what the cookie says."""
        known = self._known.get(signed_in.id)
        if (
            known is None
            or known.session.signed_in is None
            or known.session.signed_in.issued < signed_in.issued
        ):
            return None
        return known

    def put(self, session: Session, retry_at: float = 0.0) -> None:
        if session.signed_in is None:
            return
        self._known[session.signed_in.id] = Known(session, retry_at)
        self._known.move_to_end(session.signed_in.id)
        if len(self._known) > self._most:
            self._known.popitem(last=False)

    def __len__(self) -> int:
        return len(self._known)
