"""· The identity that a request asks to act as: its `Impersonate-*` headers, and the user that results.

Source: apiserver `pkg/endpoints/filters/impersonation`.
"""

from __future__ import annotations

from dataclasses import dataclass

from bastion.http.fields import Field
from bastion.kube.errors import unreadable
from bastion.kube.user import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    UNAUTHENTICATED_GROUP,
    User,
    extra_key,
    service_account,
)

_EXTRA = b"impersonate-extra-"


@dataclass(frozen=True, slots=True)
class RequestedIdentity:
    """The identity asked for; `extra` keeps the order of the headers."""

    user: str
    groups: tuple[str, ...] = ()
    uid: str = ""
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()

    @property
    def bare(self) -> bool:
        """A name and nothing else."""
        return not (self.groups or self.uid or self.extra)


def requested_identity(fields: list[Field]) -> RequestedIdentity | None:
    """None without such headers.  Raises StatusError 400 for groups, uid or extras without a user."""
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
                raise unreadable("more than one Impersonate-User header")
            user, asked = _text(value), True
        elif lower == b"impersonate-group":
            groups.append(_text(value))
            asked = True
        elif lower == b"impersonate-uid":
            if uid is not None:
                raise unreadable("more than one Impersonate-Uid header")
            uid, asked = _text(value), True
        elif lower.startswith(_EXTRA):
            extra.setdefault(extra_key(lower[len(_EXTRA) :]), []).append(_text(value))
            asked = True
    if not asked:
        return None
    if not user:
        raise unreadable(
            "Impersonate-Group, -Uid and -Extra headers need an Impersonate-User that is not empty"
        )
    return RequestedIdentity(
        user, tuple(groups), uid or "", tuple((key, tuple(values)) for key, values in extra.items())
    )


def impersonated(wanted: RequestedIdentity, fixed: tuple[str, ...] = ()) -> User:
    """The user that results: the groups asked for or those of a service account, and `system:authenticated`.

    `fixed`: the groups of every user with such a name, which replace those asked for.
    """
    groups = fixed or wanted.groups
    account = service_account(wanted.user)
    if account is not None and not groups:
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{account[0]}")
    if wanted.user == ANONYMOUS:
        if UNAUTHENTICATED_GROUP not in groups:
            groups = (*groups, UNAUTHENTICATED_GROUP)
    elif AUTHENTICATED_GROUP not in groups and UNAUTHENTICATED_GROUP not in groups:
        groups = (*groups, AUTHENTICATED_GROUP)
    return User(wanted.user, wanted.uid, groups, wanted.extra)


def _text(value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise unreadable("an Impersonate header is not UTF-8") from error
