"""Which calls to the API server fail, why, and since when?

For the operator: one line for each cause, and one for its end.  Failures within a second are one line.  The
same cause is logged again after half a minute, then more and more rarely; another cause, and the end of one,
are logged at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bastion.cluster.errors import ApiError
from bastion.cluster.rights import AUTHORIZATION, Right, commands, listed

MOMENT = 1.0  # seconds in which failures are gathered
AGAIN, MOST = 30.0, 600.0  # seconds after which a cause is logged again: at first, and at most
FORGOTTEN = 2 * MOST

_log = logging.getLogger("bastion.cluster")


@dataclass(slots=True)
class _Outage:
    error: ApiError
    since: float
    said: bool = False


@dataclass(slots=True)
class _Logged:
    """When a cause was last logged for a right, and for how long it is not logged again."""

    at: float
    quiet: float


class Outages:
    """`server` returns the URL for a line; `identity` is the bastion's user there, empty while unknown."""

    def __init__(self, server: Callable[[], str] = lambda: "the API server") -> None:
        self._server = server
        self.identity = ""
        self._now: dict[Right, _Outage] = {}
        self._said: dict[tuple[Right, str], _Logged] = {}
        self._over: dict[Right, float] = {}  # what works again, and for how many seconds it did not
        self._timer: asyncio.TimerHandle | None = None

    def failed(self, right: Right, error: ApiError) -> None:
        before = self._now.get(right)
        if before is None or str(before.error) != str(error):
            since = before.since if before is not None else asyncio.get_running_loop().time()
            self._now[right] = _Outage(error, since, before is not None and before.said)
        self._over.pop(right, None)
        self._tell_soon()

    def answered(self, right: Right) -> None:
        outage = self._now.pop(right, None)
        if outage is not None and outage.said:
            self._over[right] = asyncio.get_running_loop().time() - outage.since
            self._tell_soon()

    def granted(self, right: Right) -> None:
        """It is allowed; whether it works is another question."""
        outage = self._now.get(right)
        if outage is not None and outage.error.status == 403:
            self.answered(right)

    @property
    def server(self) -> str:
        return self._server()

    def lines(self) -> list[str]:
        """The outages of the moment: a line for each cause."""
        causes: dict[str, list[Right]] = {}
        for right, outage in self._now.items():
            causes.setdefault(str(outage.error), []).append(right)
        return [self._explained(rights) for rights in causes.values()]

    def _explained(self, rights: Sequence[Right]) -> str:
        return explained(self._now[rights[0]].error, rights, self._server(), self.identity)

    def _tell_soon(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MOMENT, self._tell)

    def _tell(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        causes: dict[str, list[Right]] = {}
        for right, outage in self._now.items():
            if self._is_news(right, str(outage.error), now):
                causes.setdefault(str(outage.error), []).append(right)
                outage.said = True
        for rights in causes.values():
            _log.warning("%s", self._explained(rights))
        if self._over:
            _log.warning("%s", ended(self._over, self._server()))
            self._over.clear()

    def _is_news(self, right: Right, cause: str, now: float) -> bool:
        said = self._said.get((right, cause))
        if said is None or now - said.at >= FORGOTTEN:
            self._said = {key: last for key, last in self._said.items() if now - last.at < FORGOTTEN}
            self._said[(right, cause)] = _Logged(now, AGAIN)
            return True
        if now - said.at < said.quiet:
            return False
        said.at, said.quiet = now, min(MOST, 2 * said.quiet)
        return True


CERTIFICATES = (
    "is certificate-authority in the kubeconfig the one that signed its certificate, and is the name the one"
    " in it?"
)
ASKING = Right("create", "selfsubjectaccessreviews", AUTHORIZATION)  # the bastion, about itself
HINTS = (  # what a message holds -> what to look at
    ("certificate verify failed", CERTIFICATES),
    ("hostname mismatch", CERTIFICATES),
    ("name or service not known", "its name is not in the DNS: see `server` in the kubeconfig"),
    ("name resolution", "the DNS does not answer: see /etc/resolv.conf, and `server` in the kubeconfig"),
    (
        "connection refused",
        "nothing listens there: see `server` in the kubeconfig, and whether the API server runs",
    ),
    ("no answer within", "it takes connections and does not answer: see its load, and what is on the way"),
    ("unreachable", "there is no route to it from here"),
    ("attempts failed", "see `server` in the kubeconfig, and firewalls on the way"),
)


def explained(error: ApiError, rights: Sequence[Right], server: str, identity: str) -> str:
    """One line: where, what, as which user, and what helps."""
    who = identity or "the bastion"
    # That it cannot even ask about itself says nothing where it cannot work either.
    rights = sorted(right for right in rights if right != ASKING) or [ASKING]
    lost = f"cannot {listed(rights)}"
    if error.status == 403:
        return (
            f"{server} answered 403: {who} may not {listed(rights)}; this allows it:"
            f" {commands(rights, identity)}"
        )
    if error.status == 401 and not error.answered:
        return f"{server} is not asked: {error}: {lost}"
    if error.status == 401:
        hint = (
            "with the same kubeconfig `kubectl auth whoami` fails, too, until its token or certificate is"
            " renewed"
        )
        return f"{server} answered 401: it does not accept the bastion's credentials: {lost}; {hint}"
    if error.status == 429:
        return (
            f"{server} is overloaded (429): {lost}; see apiserver_flowcontrol_rejected_requests_total there"
        )
    if error.status:
        return f"{server} answered {error.status}: {lost}; see `kubectl get --raw '/readyz?verbose'`"
    hints = [hint for word, hint in HINTS if word in str(error).lower()]
    return f"{server} does not answer: {error}: {lost}{'; ' + hints[0] if hints else ''}"


def ended(seconds: dict[Right, float], server: str) -> str:
    return f"{server} answers again, after {max(seconds.values()):.0f} s: can {listed(sorted(seconds))}"
