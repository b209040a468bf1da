"""An authenticator for issuers as the tests of it have it: the API server behind it, and both clocks in hand."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bastion.authentication import Issuer
from bastion.authn import oidc
from bastion.authn.authenticator import Authenticator, Credentials
from bastion.authn.oidc import OidcAuthenticator
from bastion.kube.user import User
from tests.authn.provider import CLIENT_ID, Provider
from tests.fakes import Knows, run

T = TypeVar("T")

NOW = 1_800_000_000.0


class Setting:
    """An authenticator for some issuers, the API server behind it, and both clocks."""

    def __init__(self, *issuers: Issuer, otherwise: Authenticator | None = None) -> None:
        self.wall = NOW
        self.time = 0.0
        self.api = Knows({"opaque": User("of-the-api")})
        self.providers = [oidc.Provider(issuer, lambda: self.time) for issuer in issuers]
        self.authenticator = OidcAuthenticator(self.providers, otherwise or self.api, lambda: self.wall)

    async def ask(self, token: str | None) -> User | None:
        return await self.authenticator.authenticate(Credentials(token))

    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    async def close(self) -> None:
        for one in self.providers:
            await one.__aexit__()


def issuer(of: Provider, **rules: Any) -> Issuer:
    return Issuer(of.url, (CLIENT_ID,), "oidc:", **{"groups_claim": "groups"} | rules)


def conversation(talk: Callable[[Setting], Awaitable[T]], *issuers: Issuer, loop: Any = None) -> T:
    async def main() -> T:
        setting = Setting(*issuers)
        try:
            return await talk(setting)
        finally:
            await setting.close()

    return run(main(), loop) if loop is not None else run(main())
