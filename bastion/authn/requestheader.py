"""· Which user does a front proxy name?

Its certificate proves the proxy, its headers name the user (--requestheader-*), read as by kube-apiserver
(`authentication/request/headerrequest`).  Without a certificate of the front proxies' own authority the
headers are ignored, and they never reach a backend (`message.identity`).
"""

from __future__ import annotations

import msgspec

from bastion.authn.authenticator import NOBODY, Credentials
from bastion.authn.x509 import CertificateVerifier
from bastion.http.fields import Field
from bastion.kube.user import User, authenticated, extra_key
from bastion.runtime.turns import Asker
from bastion.runtime.validity import CachedResult


class FrontProxyHeaders(msgspec.Struct, frozen=True):
    """The names of the headers that are read, and the prefixes of those with extras; lower-case, in order of
    preference.
    """

    usernames: tuple[bytes, ...]
    groups: tuple[bytes, ...] = ()
    uids: tuple[bytes, ...] = ()
    extra_prefixes: tuple[bytes, ...] = ()

    def names(self) -> tuple[tuple[bytes, ...], tuple[bytes, ...]]:
        """All names, and all prefixes of names."""
        return (*self.usernames, *self.groups, *self.uids), self.extra_prefixes

    def asserted(self, fields: list[Field]) -> User | None:
        """None where they name no user, or are not UTF-8."""
        try:
            name = _first(self.usernames, fields)
            if not name:
                return None
            groups = tuple(
                value.decode() for wanted in self.groups for lower, _, value in fields if lower == wanted
            )
            return User(name, _first(self.uids, fields), groups, self._extra(fields))
        except UnicodeDecodeError:
            return None

    def _extra(self, fields: list[Field]) -> tuple[tuple[str, tuple[str, ...]], ...]:
        extra: dict[str, list[str]] = {}
        for prefix in self.extra_prefixes:
            for lower, _, value in fields:
                if lower.startswith(prefix):
                    extra.setdefault(extra_key(lower[len(prefix) :]), []).append(value.decode())
        return tuple((key, tuple(values)) for key, values in extra.items())


class FrontProxyAuthenticator:
    """`allowed_names`: the common names that a front proxy's certificate may have; empty for any."""

    def __init__(self, verifier: CertificateVerifier, allowed_names: frozenset[str]) -> None:
        self._verifier = verifier
        self._allowed_names = allowed_names

    async def authenticate(self, credentials: Credentials, asker: Asker) -> User | None:
        return self.known(credentials).value

    def known(self, credentials: Credentials) -> CachedResult[User | None]:
        """The user, valid for as long as the proxy's certificate."""
        if credentials.asserted is None or not credentials.certificate:
            return NOBODY
        proxy = self._verifier.verify(credentials.certificate)
        found = proxy.value
        if found is None or (self._allowed_names and found.common_name not in self._allowed_names):
            return CachedResult(None, proxy.validity)
        return CachedResult(authenticated(credentials.asserted), proxy.validity)


def _first(names: tuple[bytes, ...], fields: list[Field]) -> str:
    """The first of these headers that is not empty; of a repeated header only the first value counts."""
    for name in names:
        value = next((value for lower, _, value in fields if lower == name), b"")
        if value:
            return value.decode()
    return ""
