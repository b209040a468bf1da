"""As whom does a user act?  `Impersonate-*` headers, each permitted by a review of verb `impersonate`.

kube-apiserver's legacy rules (spec I-1..I-4): the checks are made as the real user, in the order user, groups,
extras, uid; the first that is not allowed answers 403.
"""

from __future__ import annotations

from dataclasses import dataclass

from bastion.authz.authorizer import Authorizer
from bastion.kube.attributes import Attributes
from bastion.kube.status import bad_request, forbidden
from bastion.kube.user import ANONYMOUS, AUTHENTICATED_GROUP, UNAUTHENTICATED_GROUP, User, extra_key, service_account
from bastion.turns import Key

Field = tuple[bytes, bytes, bytes]

_EXTRA = b"impersonate-extra-"
_GROUP_OF_EXTRAS = "authentication.k8s.io"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom a request asks to act as; `extra` keeps the order of the headers."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


class Impersonator:
    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    async def assume(self, user: User, fields: list[Field], asker: Key) -> User:
        """The user to act as: `user` where nobody else is asked for.  Raises StatusError 400 or 403."""
        wanted = wanted_user(fields)
        if wanted is None:
            return user
        for attributes in permissions(wanted):
            decision = await self._authorizer.authorize(user, attributes, asker)
            if not decision.allowed:
                raise forbidden(user.name, attributes, decision.reason)
        return impersonated(wanted)


def wanted_user(fields: list[Field]) -> Wanted | None:
    """None where no header asks.  Raises StatusError 400 for groups, uid or extras of nobody."""
    user: str | None = None
    uid: str | None = None
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    asked = False
    for lower, _, value in fields:
        if not lower.startswith(b"impersonate-"):
            continue
        if lower == b"impersonate-user":
            if user is not None:
                raise bad_request("more than one Impersonate-User header")
            user, asked = _text(value), True
        elif lower == b"impersonate-group":
            groups.append(_text(value))
            asked = True
        elif lower == b"impersonate-uid":
            if uid is not None:
                raise bad_request("more than one Impersonate-Uid header")
            uid, asked = _text(value), True
        elif lower.startswith(_EXTRA):
            extra.setdefault(extra_key(lower[len(_EXTRA) :]), []).append(_text(value))
            asked = True
    if not asked:
        return None
    if not user:
        raise bad_request("Impersonate-Group, -Uid and -Extra headers need an Impersonate-User that is not empty")
    return Wanted(user, tuple(groups), uid or "", tuple((key, tuple(values)) for key, values in extra.items()))


def permissions(wanted: Wanted) -> list[Attributes]:
    """What the real user must be allowed, in the order it is asked."""
    account = service_account(wanted.user)
    if account is None:
        asked = [_impersonate("users", wanted.user)]
    else:
        asked = [_impersonate("serviceaccounts", account[1], namespace=account[0])]
    asked += [_impersonate("groups", group) for group in wanted.groups]
    asked += [
        _impersonate("userextras", value, group=_GROUP_OF_EXTRAS, subresource=key) for key, values in wanted.extra for value in values
    ]
    if wanted.uid:
        asked.append(_impersonate("uids", wanted.uid, group=_GROUP_OF_EXTRAS))
    return asked


def impersonated(wanted: Wanted) -> User:
    """The identity that results (I-3): the groups asked for, those of a service account, and that one is known."""
    groups = wanted.groups
    account = service_account(wanted.user)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if wanted.user == ANONYMOUS:
        if UNAUTHENTICATED_GROUP not in groups:
            groups = (*groups, UNAUTHENTICATED_GROUP)
    elif AUTHENTICATED_GROUP not in groups and UNAUTHENTICATED_GROUP not in groups:
        groups = (*groups, AUTHENTICATED_GROUP)
    return User(wanted.user, wanted.uid, groups, wanted.extra)


def _impersonate(resource: str, name: str, *, group: str = "", namespace: str = "", subresource: str = "") -> Attributes:
    return Attributes("impersonate", group, "v1", namespace, resource, subresource, name)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise bad_request("an Impersonate header is not UTF-8") from error
