"""What an authenticator is, and how several are one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec

from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.message.ownorigin import Kind
from bastion.runtime.turns import Asker
from bastion.runtime.validity import ALWAYS, Known

Chain = tuple[bytes, ...]  # certificates in DER, the peer's own first; empty where it showed none


_UNKNOWN = {
    Kind.NOTHING: "no credentials",
    Kind.TOKEN: "an unknown token",
    Kind.COOKIE: "a session whose token is no longer accepted",
    Kind.CERTIFICATE: "a client certificate that is not trusted, or that names no user",
    Kind.FRONT_PROXY: "front-proxy headers without a trusted front-proxy certificate",
}


class Credentials(msgspec.Struct, frozen=True, gc=False):
    """What a request carries.  `token` is None where it carries no bearer token.

    `explicit`: the token came in X-Bastion-Authorization, so that the request's own Authorization is the
    backend's. `certificate`: what the client showed on this connection.  `asserted`: whom the headers of a
    front proxy name; that counts only with the certificate of one.  `session`: the token came in a cookie of
    ours.  `note`: what there was that is no credential here, for the log.
    """

    token: str | None = None
    explicit: bool = False
    certificate: Chain = ()
    asserted: User | None = None
    session: bool = False
    note: str = ""

    @property
    def kind(self) -> Kind:
        """By what counts first: a certificate is looked at before a token that came with it."""
        if self.session:
            return Kind.COOKIE
        if self.certificate:
            return Kind.CERTIFICATE if self.asserted is None else Kind.FRONT_PROXY
        return Kind.NOTHING if self.token is None else Kind.TOKEN

    @property
    def unknown(self) -> str:
        """Why they are nobody's, where nobody said more."""
        return self.note if self.note and self.kind is Kind.NOTHING else _UNKNOWN[self.kind]

    def __repr__(self) -> str:
        return "Credentials(…)"  # a secret is in no log


class NotAccepted(Exception):
    """These credentials are nobody's, and `cause` is why: for the log, never for whoever guesses."""

    def __init__(self, cause: str) -> None:
        super().__init__(cause)
        self.cause = cause


class Authenticator(Protocol):
    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        """The user, or None where these credentials are not known here.

        Raises NotAccepted where it is known why they are nobody's, StatusError where it could not be found
        out.

        `asker` is in whose line a question to the API server waits.
        """
        ...


class RememberingAuthenticator(Authenticator, Protocol):
    def known(self, credentials: Credentials) -> Known[User | None] | None:
        """What `authenticate` answers without asking anybody, and until when; None where it has to ask."""
        ...


class LocalAuthenticator(Authenticator, Protocol):
    """One that asks nobody."""

    def known(self, credentials: Credentials) -> Known[User | None]:
        """What `authenticate` answers, at once, and until when."""
        ...


NOBODY: Known[User | None] = Known(None)


class FirstOf:
    """The first that knows the credentials.

    One that could not find out does not stop the others (kube-apiserver's union).
    """

    def __init__(self, authenticators: Sequence[Authenticator]) -> None:
        self._authenticators = tuple(authenticators)

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        failure: StatusError | NotAccepted | None = None
        for authenticator in self._authenticators:
            try:
                user = await authenticator.authenticate(credentials, asker)
            except StatusError as error:
                failure = error
                continue
            except NotAccepted as refused:
                failure = failure or refused
                continue
            if user is not None:
                return user
        if failure is not None:
            raise failure
        return None


def first_known(
    authenticators: Iterable[RememberingAuthenticator], credentials: Credentials
) -> Known[User | None] | None:
    """What `FirstOf` these answers without asking anybody: that one of them does not know the credentials
    holds for a time as well.
    """
    validity = ALWAYS
    for authenticator in authenticators:
        known = authenticator.known(credentials)
        if known is None:
            return None
        validity = validity.earliest(known.validity)
        if known.value is not None:
            return Known(known.value, validity)
    return Known(None, validity)
