"""Accepts requests without credentials as system:anonymous (--anonymous-auth)."""

from __future__ import annotations

from bastion.authn.authenticator import NOBODY, Credentials
from bastion.kube.user import User, anonymous
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult


class AnonymousAuthenticator:
    """Bad credentials are never anonymous: they are refused, as kube-apiserver does."""

    def __init__(self) -> None:
        self._known: CachedResult[User | None] = CachedResult(anonymous())

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        return self.known(credentials).value

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        return self._known if credentials.token is None and not credentials.certificate else NOBODY
