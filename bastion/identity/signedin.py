"""· A person who signed in at an OpenID Connect issuer: what its ID token was found to say."""

from __future__ import annotations

import msgspec

from bastion.kube.user import User, authenticated


class SignedIn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Times in seconds since the epoch.

    `id` is the same through all refreshes; `provider` is its name in the settings; `begun`: when the person
    signed in, `issued` and `until`: from when and until when the claims are believed.  `left_out`: the issuer
    says that there are groups which it did not tell.
    """

    id: bytes
    provider: str
    subject: str
    sid: str
    name: str
    groups: tuple[str, ...]
    begun: float
    issued: int
    until: int
    left_out: bool = False

    @property
    def user(self) -> User:
        return authenticated(User(self.name, groups=self.groups))

    def __repr__(self) -> str:
        return f"SignedIn({self.name!r})"
