"""· A user: the result of authentication (`authentication.k8s.io` UserInfo)."""

from __future__ import annotations

import re
from urllib.parse import unquote

import msgspec

from bastion.kube.names import is_label, is_subdomain

ANONYMOUS = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
SERVICE_ACCOUNT_PREFIX = "system:serviceaccount:"
NODE_PREFIX = "system:node:"

_BAD_ESCAPE = re.compile("%(?![0-9a-f]{2})")


class User(msgspec.Struct, frozen=True, gc=False):
    """`extra` is a tuple of (key, values), in the order given, so that a user can be compared and hashed."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: tuple[tuple[str, tuple[str, ...]], ...] = ()


def anonymous() -> User:
    return User(ANONYMOUS, groups=(UNAUTHENTICATED_GROUP,))


def authenticated(user: User) -> User:
    """`user` with the group system:authenticated, added as by kube-apiserver: last, once, and not for the
    anonymous user.
    """
    if user.name == ANONYMOUS or AUTHENTICATED_GROUP in user.groups or UNAUTHENTICATED_GROUP in user.groups:
        return user
    return msgspec.structs.replace(user, groups=(*user.groups, AUTHENTICATED_GROUP))


def service_account(name: str) -> tuple[str, str] | None:
    """(namespace, name) of the service account of a user name, None for any other user."""
    if not name.startswith(SERVICE_ACCOUNT_PREFIX):
        return None
    namespace, _, account = name[len(SERVICE_ACCOUNT_PREFIX) :].partition(":")
    return (namespace, account) if is_label(namespace) and is_subdomain(account) else None


def node_name(name: str) -> str | None:
    """The node of a user name, None for any other user."""
    node = name[len(NODE_PREFIX) :]
    return node if name.startswith(NODE_PREFIX) and is_subdomain(node) else None


def extra_key(raw: bytes) -> str:
    """The key of an extra, from what a lower-case header name has after its prefix: percent-decoded.

    What does not decode stays as it is.
    """
    text = raw.decode("latin-1")
    if _BAD_ESCAPE.search(text):
        return text
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text
