"""· What is told to a client whose credentials identify no user?

Only what a token says of itself, judged from the token alone and whatever its signature: no oracle for those
who guess.  What an API server said of it is for the log.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bastion.authn.authenticator import Credentials
from bastion.identity.compact import date, expiry, read_compact
from bastion.kube.errors import error_of, no_credentials, unauthorized
from bastion.kube.errorwords import (
    API_SERVER_AWAY,
    TOKEN_EXPIRED,
    TOKEN_FOR_OTHER_AUDIENCE,
    TOKEN_OF_UNKNOWN_ISSUER,
    UNKNOWN_CREDENTIAL_SCHEME,
)
from bastion.kube.status import StatusError, quoted
from bastion.kube.user import SERVICE_ACCOUNT_PREFIX
from bastion.message.ownorigin import CredentialKind

# What clusters call themselves where their operators chose nothing else.
CLUSTERS = (
    "https://kubernetes.default.svc",
    "https://kubernetes.default.svc.cluster.local",
    "kubernetes/serviceaccount",
)
MOST_TOLD, LONGEST = 4, 128  # names, and characters of one
MOST_ISSUERS = 64  # learned

Issuers = Callable[[], Mapping[str, Sequence[str]]]  # the configured ones, and the audiences of each


class Rejections:
    """`audiences`: those that a reviewed token must have one of; empty: the API server's own, which are not
    known here.  `clock` is seconds since the epoch.
    """

    def __init__(self, audiences: Sequence[str], issuers: Issuers, clock: Callable[[], float]) -> None:
        self._audiences = audiences
        self._issuers = issuers
        self._clock = clock
        self._learned: set[str] = set()  # issuers that only the API server knows

    def accepted(self, token: str) -> None:
        """The API server knows its issuer."""
        compact = read_compact(token)
        if compact is not None and compact.issuer and len(self._learned) < MOST_ISSUERS:
            self._learned.add(compact.issuer)

    def of(self, credentials: Credentials, cause: str = "") -> StatusError:
        """401.  `cause` is for the log."""
        if credentials.token is not None:
            return self._of_token(credentials.token, cause)
        if credentials.kind is not CredentialKind.NOTHING:
            return unauthorized(cause=cause)
        scheme = credentials.note.removeprefix("scheme ")
        if scheme != credentials.note:
            known = "Bearer comes with a token" if scheme.startswith("Bearer") else "Bearer is"
            return unauthorized(
                UNKNOWN_CREDENTIAL_SCHEME, f"the {credentials.note} is not known here, {known}", cause
            )
        if credentials.note.startswith("no bearer token"):
            sentence = "Authorization holds no bearer token: the scheme known here is Bearer"
            return unauthorized(UNKNOWN_CREDENTIAL_SCHEME, sentence, cause)
        return no_credentials(cause)

    def _of_token(self, token: str, cause: str) -> StatusError:
        end = expiry(token)
        if end is not None and end <= self._clock():
            return unauthorized(TOKEN_EXPIRED, f"the token says that it expired at {date(end)}", cause)
        compact = read_compact(token)
        claims: dict[str, Any] = compact.claims if compact is not None else {}
        issuer = compact.issuer if compact is not None else None
        issuers = self._issuers()
        accepted = issuers.get(issuer or "", self._audiences)
        audiences = _texts(claims.get("aud"))
        if accepted and audiences and set(accepted).isdisjoint(audiences):
            sentence = f"the token is for {_told(audiences)}, accepted is {_told(accepted)}"
            return unauthorized(TOKEN_FOR_OTHER_AUDIENCE, sentence, cause)
        if issuer and not self._knows(issuer, issuers, claims):
            sentence = f"the token is of the issuer {_told([issuer])}, which is not known here"
            return unauthorized(TOKEN_OF_UNKNOWN_ISSUER, sentence, cause)
        return unauthorized(cause=cause)

    def _knows(self, issuer: str, issuers: Mapping[str, Sequence[str]], claims: Mapping[str, Any]) -> bool:
        """A service account's may be of this cluster, which can call itself anything."""
        subject = claims.get("sub")
        of_cluster = isinstance(subject, str) and subject.startswith(SERVICE_ACCOUNT_PREFIX)
        return of_cluster or issuer in issuers or issuer in CLUSTERS or issuer in self._learned


def undecided(what: str = "the keys of its token's issuer") -> StatusError:
    """503: an issuer does not answer, so nobody can say whose credentials these are."""
    message = f"cannot authenticate the request: {what} could not be fetched; try again shortly"
    return error_of(API_SERVER_AWAY, message, retry_after=5)


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [one for one in values if isinstance(one, str)]


def _told(names: Iterable[str]) -> str:
    listed = [*names]
    more = f" and {len(listed) - MOST_TOLD} more" if len(listed) > MOST_TOLD else ""
    return ", ".join(_name(one[:LONGEST]) for one in listed[:MOST_TOLD]) + more


def _name(text: str) -> str:
    return text if text.isprintable() and " " not in text else quoted(text)
