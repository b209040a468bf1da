"""· What may a user open, and what must be asked to know it?

A list must not cost a review for each service.  So one question about everything comes first, then one for
each namespace, and only where both were denied one for each id: the name in a rule is the whole id, a right
to `orders` is none to `orders:http`.  Where owners gave some paths rights of their own, these are asked about
for whoever has no more, again first in the namespace and then by id.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bastion.kube.attributes import Attributes
from bastion.kube.pathgroups import grouped

MOST_NAMED = 50  # objects of a namespace whose ids are asked about one by one


class Ask(msgspec.Struct, frozen=True, gc=False):
    """`namespace` empty: in all of them; `id` empty: whatever its name; `group` empty: every path."""

    resource: str
    namespace: str = ""
    id: str = ""
    group: str = ""

    @property
    def attributes(self) -> Attributes:
        whole = Attributes("get", "", "v1", self.namespace, self.resource, "proxy", name=self.id)
        return grouped(whole, self.group) if self.group else whole


class Thing(msgspec.Struct, frozen=True, gc=False):
    """A service, a pod or a node; `ids` are those that a rule may name, the likeliest first; `groups` are of
    its paths that have rights of their own.
    """

    name: str
    ids: tuple[str, ...]
    groups: tuple[str, ...] = ()


Things = Mapping[str, Sequence[Thing]]  # by namespace
Decided = Mapping[Ask, bool]


class Rights(msgspec.Struct, frozen=True):
    """What was allowed.  `ids`: by namespace; `groups`: by namespace and id those whose paths alone were."""

    everywhere: bool = False
    namespaces: frozenset[str] = frozenset()
    ids: Mapping[str, frozenset[str]] = {}
    groups: Mapping[str, Mapping[str, tuple[str, ...]]] = {}

    def whole(self, namespace: str) -> bool:
        return self.everywhere or namespace in self.namespaces

    def may(self, namespace: str, id: str) -> bool:
        return self.whole(namespace) or id in self.ids.get(namespace, ())

    def group(self, namespace: str, id: str) -> str:
        """The first whose paths alone may be opened; empty for none."""
        return next(iter(self.groups.get(namespace, {}).get(id, ())), "")

    def some(self, namespace: str, ids: Iterable[str]) -> bool:
        """Whether one of these may be opened, if only in part."""
        return self.whole(namespace) or any(
            self.may(namespace, id) or self.group(namespace, id) for id in ids
        )

    @property
    def none(self) -> bool:
        return not (self.everywhere or self.namespaces or any(self.ids.values()) or any(self.groups.values()))


class Plan(msgspec.Struct, frozen=True):
    """`ask` is what to ask now; `waiting` are the namespaces about which not everything is known; `crowded`
    those with too many objects to ask about each.
    """

    rights: Rights
    ask: tuple[Ask, ...] = ()
    waiting: frozenset[str] = frozenset()
    crowded: frozenset[str] = frozenset()


def plan(resource: str, things: Things, decided: Decided) -> Plan:
    everywhere = decided.get(Ask(resource))
    if everywhere is None:
        return Plan(Rights(), (Ask(resource),), frozenset(things))
    if everywhere:
        return Plan(Rights(everywhere=True))
    allowed, denied, ask = set(), [], []
    for namespace in things:
        # what is in no namespace was asked about above
        answer = decided.get(Ask(resource, namespace)) if namespace else False
        if answer is None:
            ask.append(Ask(resource, namespace))
        elif answer:
            allowed.add(namespace)
        else:
            denied.append(namespace)
    waiting = {one.namespace for one in ask}
    ids, groups, crowded = {}, {}, set()
    for namespace in denied:
        groups[namespace], unknown = _by_group(resource, namespace, things[namespace], decided)
        waiting |= {namespace} if unknown else set()
        ask += unknown
        if len(things[namespace]) > MOST_NAMED:
            crowded.add(namespace)
            continue
        candidates = [Ask(resource, namespace, id) for one in things[namespace] for id in one.ids]
        ids[namespace] = frozenset(one.id for one in candidates if decided.get(one))
        unknown = [one for one in candidates if one not in decided]
        waiting |= {namespace} if unknown else set()
        ask += unknown
    rights = Rights(namespaces=frozenset(allowed), ids=ids, groups=groups)
    return Plan(rights, tuple(ask), frozenset(waiting), frozenset(crowded))


def _by_group(
    resource: str, namespace: str, things: Sequence[Thing], decided: Decided
) -> tuple[dict[str, tuple[str, ...]], list[Ask]]:
    """By id the groups that were allowed, and what must be asked."""
    found: dict[str, tuple[str, ...]] = {}
    ask: dict[Ask, None] = {}
    for thing in things:
        for group in thing.groups:
            whole = Ask(resource, namespace, group=group)
            by_id = len(things) <= MOST_NAMED and decided.get(whole) is False
            for id in thing.ids:
                asked = Ask(resource, namespace, id, group) if by_id else whole
                if asked not in decided:
                    ask[asked] = None
                elif decided[asked]:
                    found[id] = (*found.get(id, ()), group)
    return found, list(ask)


def ids_of(name: str, ports: Iterable[tuple[str, int]]) -> tuple[str, ...]:
    """`ports`: names, which may be empty, and numbers."""
    found = [name]
    for port, number in ports:
        found += [f"{name}:{one}" for one in (port, str(number)) if one and one != "0"]
    for port, number in ports:
        found.append(f"https:{name}:{port or number}")
    return tuple(dict.fromkeys(found))
