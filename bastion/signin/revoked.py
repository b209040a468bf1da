"""· Which sessions were ended before their time: signed out, or by their issuer (back-channel logout)?

A session that began later is another one, whatever the issuer calls it.  Workers of a replica share a private
folder: an empty file for each, which all of them see with the next request.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from bastion.identity.signedin import SignedIn
from bastion.signin.session import SESSION_SECONDS

ROOM = 65536  # entries, until the oldest ones are forgotten
SETTLED = 0.1  # seconds: a change of the folder so long ago cannot have been followed by another unseen one

SESSION, SID, SUBJECT = "session", "sid", "sub"

Digest = str


def digest(kind: str, provider: str, value: str | bytes) -> Digest:
    text = value.encode() if isinstance(value, str) else value
    return hashlib.sha256(b"\0".join((kind.encode(), provider.encode(), text))).hexdigest()[:32]


def digests(signed_in: SignedIn) -> tuple[Digest, ...]:
    """Each name by which an issuer may end it."""
    provider = signed_in.provider
    known = [digest(SESSION, provider, signed_in.id), digest(SUBJECT, provider, signed_in.subject)]
    return (*known, digest(SID, provider, signed_in.sid)) if signed_in.sid else tuple(known)


class Revocations:
    """`now` in seconds since the epoch; `told` is called with each that is new here, for other replicas."""

    def __init__(
        self,
        folder: Path | None,
        now: Callable[[], float],
        told: Callable[[Digest, float], None] = lambda digest, at: None,
    ) -> None:
        self.told = told
        self._folder = folder
        self._now = now
        self._ended: dict[Digest, float] = {}
        self._read = 0.0  # when the folder was read, by its own clock

    def end(self, digests: Iterable[Digest]) -> None:
        """Those that began until now."""
        now = self._now()
        for one in digests:
            self.learn(one, now)
            self.told(one, now)

    def learn(self, one: Digest, at: float) -> None:
        """It was ended `at` that time, here or by another replica."""
        if self._ended.get(one, 0.0) >= at or at < self._now() - SESSION_SECONDS:
            return
        if len(self._ended) >= ROOM:
            del self._ended[next(iter(self._ended))]
        self._ended[one] = at
        if self._folder is not None:
            with contextlib.suppress(OSError):
                os.close(os.open(self._folder / f"{at:.3f}-{one}", os.O_CREAT | os.O_WRONLY, 0o600))

    def ended(self, signed_in: SignedIn) -> bool:
        if self._folder is not None:
            self._look(self._folder)
        if not self._ended:
            return False
        return any(signed_in.begun <= self._ended.get(one, -1.0) for one in digests(signed_in))

    def known(self) -> dict[Digest, float]:
        """Those that may still matter."""
        oldest = self._now() - SESSION_SECONDS
        return {one: at for one, at in self._ended.items() if at >= oldest}

    def _look(self, folder: Path) -> None:
        """A stat for each request of a session: some microseconds."""
        try:
            changed = folder.stat().st_mtime
            if changed + SETTLED < self._read:
                return
            self._read = self._now()
            oldest = self._now() - SESSION_SECONDS
            for file in folder.iterdir():
                at, _, one = file.name.partition("-")
                if float(at) < oldest:
                    file.unlink(missing_ok=True)
                elif self._ended.get(one, 0.0) < float(at):
                    self._ended[one] = float(at)
        except (OSError, ValueError):
            return

    def __len__(self) -> int:
        return len(self._ended)
