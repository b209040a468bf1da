"""May a user have this path of this target?

Where a service has path groups, the right to the path's group is asked for first, then the right to every
path.  A path that is spelt so that backends read it differently is refused there to those who have any of
these rights; others learn nothing of the groups.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import msgspec
from msgspec import structs

from bastion.authz.authorizer import Authorizer, Decision, Question
from bastion.kube.attributes import Attributes
from bastion.kube.errors import error_of, forbidden
from bastion.kube.errorword import Word
from bastion.kube.errorwords import MISSING_RULE, PATH_UNCLEAR
from bastion.kube.pathgroups import PathGroups, grouped, is_clear, path_of
from bastion.kube.requestinfo import Connect, Proxied, RequestInfo
from bastion.kube.status import StatusError
from bastion.kube.user import User
from bastion.observe.record import Record
from bastion.runtime.turns import Key

GroupsOf = Callable[[Attributes], PathGroups | None]


def no_groups(attributes: Attributes) -> PathGroups | None:
    return None


class Permitted(msgspec.Struct, frozen=True):
    """The question that was answered with yes, and why it was.

    `group` is that of the path among `groups`, empty for none; None where the target has no groups.
    """

    question: Question
    reason: str
    group: str
    groups: PathGroups | None


class Permits:
    """`groups_of`: what a service's annotation says now."""

    def __init__(self, authorizer: Authorizer, groups_of: GroupsOf = no_groups) -> None:
        self._authorizer = authorizer
        self.groups_of = groups_of

    async def permit(
        self,
        user: User,
        info: RequestInfo,
        asked: Attributes,
        asker: Key,
        record: Record | None = None,
        word: Word = MISSING_RULE,
    ) -> Permitted:
        """`asked` is what is needed for `info`.  Raises StatusError: 403 with `word`, or 400."""
        # A CONNECT or a probe without HTTP has no path: it is the whole service's.
        with_path = isinstance(info, Proxied) and not isinstance(info, Connect)
        groups = self.groups_of(asked) if with_path else None
        path = path_of(info.rest) if isinstance(info, Proxied) else b""
        unclear = groups is not None and not is_clear(path)
        group = groups.group(path) if groups is not None and not unclear else ""
        decision = Decision(False)
        for attributes in _asked(asked, group, groups if unclear else None):
            decision = await self._decision(user, attributes, asker, record)
            if decision.allowed and unclear:
                raise _unclear()
            if decision.allowed:
                return Permitted((user, attributes), decision.reason, group, groups)
        raise forbidden(user.name, asked, decision.reason, word=word)

    async def may(self, user: User, info: RequestInfo, asker: Key) -> bool:
        """Raises StatusError where it could not be found out."""
        try:
            await self.permit(user, info, info.attributes, asker)
        except StatusError as error:
            if error.code in (400, 403):
                return False
            raise
        return True

    async def _decision(
        self, user: User, attributes: Attributes, asker: Key, record: Record | None
    ) -> Decision:
        """Raises StatusError where there is none."""
        trail = record.trail if record is not None else None
        try:
            decision = await self._authorizer.authorize(user, attributes, asker)
        except StatusError:
            if trail is not None:
                trail.undecided()
            raise
        if trail is not None:
            trail.decided(decision.reason, allowed=decision.allowed)
        return decision

    def still_counts(self, info: RequestInfo, asked: Attributes) -> bool:
        """Whether a right that was once enough for a request still would be, if the user has it."""
        _, dash, group = asked.subresource.partition("-")
        if not dash or asked.resource != "services" or not isinstance(info, Proxied):
            return True
        groups, path = self.groups_of(structs.replace(asked, subresource="proxy")), path_of(info.rest)
        return groups is not None and is_clear(path) and groups.group(path) == group


def _asked(asked: Attributes, group: str, any_of: PathGroups | None) -> Iterator[Attributes]:
    """In this order, until one is allowed; the last is what a 403 names."""
    if any_of is not None:
        yield from (grouped(asked, name) for name in any_of.names)
    elif group:
        yield grouped(asked, group)
    yield asked


def _unclear() -> StatusError:
    return error_of(
        PATH_UNCLEAR,
        "this service has rights by path, so its paths may not have percent-encoding, dot segments, empty"
        " segments, ';', '\\' or other characters that backends read differently",
    )
