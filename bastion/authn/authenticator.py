"""The interface of authenticators, and a union of several."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from bastion.identity.signedin import SignedIn
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.ownorigin import CredentialKind
from bastion.runtime.turns import Asker
from bastion.runtime.validity import ALWAYS, CachedResult

Chain = tuple[bytes, ...]  # certificates in DER, the peer's own first; empty where it showed none


_UNKNOWN = {
    CredentialKind.NOTHING: "no credentials",
    CredentialKind.TOKEN: "an unknown token",
    CredentialKind.COOKIE: "a session that is no longer accepted",
    CredentialKind.CERTIFICATE: "a client certificate that is not trusted, or that names no user",
    CredentialKind.FRONT_PROXY: "front-proxy headers without a trusted front-proxy certificate",
}


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """What a request carries.  `token` is None where it carries no bearer token.

    `explicit`: the token came in X-Bastion-Authorization, so that the request's own Authorization is the
    backend's. `certificate`: what the client showed on this connection.  `asserted`: the user
    that a front proxy's headers name; it counts only with a front proxy's certificate.  `session`: the token
    came in our cookie, or `signed_in` did.  `note`: what the request had instead of credentials, for the log.
    """

    token: str | None = None
    explicit: bool = False
    certificate: Chain = ()
    asserted: User | None = None
    session: bool = False
    note: str = ""
    signed_in: SignedIn | None = None

    @property
    def kind(self) -> CredentialKind:
        """The kind that is tried first: a certificate before a token beside it."""
        if self.session:
            return CredentialKind.COOKIE
        if self.certificate:
            return CredentialKind.CERTIFICATE if self.asserted is None else CredentialKind.FRONT_PROXY
        return CredentialKind.NOTHING if self.token is None else CredentialKind.TOKEN

    @property
    def unknown(self) -> str:
        """Why they identify no user, where no authenticator said more."""
        return self.note if self.note and self.kind is CredentialKind.NOTHING else _UNKNOWN[self.kind]

    def __repr__(self) -> str:
        return "Credentials(…)"  # a secret is in no log


class CredentialsRefused(Exception):
    """These credentials identify no user.  `cause` says why, for the log and never for the client."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Authenticator(Protocol):
    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        """The user, or None where these credentials are not known here.

        Raises CredentialsRefused with the reason why they identify no user, StatusError where that could not
        be decided.

        A question to the API server waits in the queue of `asker`.
        """
        ...


class RememberingAuthenticator(Authenticator, Protocol):
    def known(self, credentials: Credentials) -> CachedResult[User | None] | None:
        """What `authenticate` returns without asking a server, and until when; None where it has to ask."""
        ...


class LocalAuthenticator(Authenticator, Protocol):
    """An authenticator that asks no server."""

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        """What `authenticate` returns, and until when."""
        ...


NOBODY: CachedResult[User | None] = CachedResult(None)


class FirstOf:
    """The first authenticator that knows the credentials decides.

    One that fails does not stop the others, as in kube-apiserver's union.
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        failure: StatusError | CredentialsRefused | None = None
        for authenticator in self._authenticators:
            try:
                user = await authenticator.authenticate(credentials, asker)
            except StatusError as error:
                failure = error
                continue
            except CredentialsRefused as refused:
                failure = failure or refused
                continue
            if user is not None:
                return user
        if failure is not None:
            raise failure
        return None


def first_known(
    authenticators: Iterable[RememberingAuthenticator], credentials: Credentials
) -> CachedResult[User | None] | None:
    """What `FirstOf` these returns without asking a server, and until when.

    That one of them does not know the credentials is valid for a time as well.
    """
    validity = ALWAYS
    for authenticator in authenticators:
        known = authenticator.known(credentials)
        if known is None:
            return None
        validity = validity.earliest(known.validity)
        if known.value is not None:
            return CachedResult(known.value, validity)
    return CachedResult(None, validity)
