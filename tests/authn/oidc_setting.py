"""An authenticator for issuers as the tests of it have it: the API server behind it, and both clocks in
hand.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from bastion.authn import provider as oidc
from bastion.authn.authenticator import Authenticator, Credentials
from bastion.authn.oidc import OidcAuthenticator
from bastion.kube.user import User
from bastion.settings.credentials import Oidc
from bastion.settings.issuer import Issuer
from tests.authn.provider import CLIENT_ID, Provider
from tests.fakes import Knows, owner, run

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")

NOW = 1_800_000_000.0


class Setting:
    """An authenticator for some issuers, the API server behind it, and both clocks."""

    def __init__(
        self, *issuers: Issuer, otherwise: Authenticator | None = None, skew: float = Oidc().clock_skew
    ) -> None:
        self.wall = NOW
        self.time = 0.0
        self.api = Knows({"opaque": User("of-the-api")})
        self.issuers = issuers
        self._providers = oidc.Providers(lambda: self.issuers, lambda: self.time)
        self.known = self._providers.read()
        self.authenticator = OidcAuthenticator(
            lambda: self.known, otherwise or self.api, lambda: self.wall, skew
        )

    @property
    def providers(self) -> list[oidc.Provider]:
        return list(self.known.values())

    def describe(self, *issuers: Issuer) -> None:
        """Otherwise than before.  Raises what reading them raises."""
        self.issuers = issuers
        self.known = self._providers.read()

    async def ask(self, token: str | None) -> User | None:
        return await owner(self.authenticator, Credentials(token))

    def pass_time(self, seconds: float) -> None:
        self.time += seconds

    def close(self) -> None:
        self._providers.close()


def issuer(of: Provider, **rules: Any) -> Issuer:
    return Issuer(of.url, (CLIENT_ID,), "oidc:", **{"groups_claim": "groups"} | rules)


def conversation(
    talk: Callable[[Setting], Awaitable[T]],
    *issuers: Issuer,
    loop: Any = None,
    skew: float = Oidc().clock_skew,
) -> T:
    async def main() -> T:
        setting = Setting(*issuers, skew=skew)
        try:
            return await talk(setting)
        finally:
            setting.close()

    return run(main(), loop) if loop is not None else run(main())
