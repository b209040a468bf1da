"""· What has to be said to nftables so that the table holds what it should?

A `Table` knows what it last asked for.  A change is the difference, in one script that the kernel takes whole
or not at all; after a failure, and at the start, `full` says everything, whatever is there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.nftables.layout import FAMILY, PREDECESSOR, TABLE, base_chains, containers
from bastion.node.nftables.rendering import Rendered, rendered
from bastion.node.rules import Rules

MOST_IDLE = 128  # chains that nothing leads to: the next change of a number of endpoints may want them

_NOTHING = Rendered((), (), {}, {})

Name = tuple[str, str]  # (chain, set or element's container; its name or key)


class There(msgspec.Struct, frozen=True):
    """Names that the kernel's table has.  `present`: whether there is one."""

    present: bool = False
    chains: frozenset[str] = frozenset()
    sets: frozenset[str] = frozenset()
    maps: frozenset[str] = frozenset()


class Table:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.fronts: Fronts = {}
        self._ip = FAMILY[rules.family]
        self._wanted: Counter[Name] = Counter()
        self._chains: dict[str, tuple[str, ...]] = {}  # in the kernel, those of base_chains apart
        self._sets: dict[str, str] = {}
        self._idle: set[str] = set()

    def full(self, fronts: Mapping[FrontKey, Front], there: There, *, anew: bool = False) -> str:
        """`anew`: the table is made again, and with it the memory of session affinity."""
        self.fronts, self._wanted, self._chains, self._sets, self._idle = {}, Counter(), {}, {}, set()
        change = self._changed(fronts)
        head = [f"add table {self._ip} {TABLE}"]
        if anew:
            head += [f"delete table {self._ip} {TABLE}", *head]
            there = There()
        head += [f"add table {self._ip} {PREDECESSOR}", f"delete table {self._ip} {PREDECESSOR}"]
        return "\n".join(
            [*head, *self._emptied(there), *self._declared(), *change, *self._removed(there), ""]
        )

    def change(self, changes: Mapping[FrontKey, Front | None]) -> str:
        """Empty where there is nothing to do."""
        lines = self._changed(changes)
        return "\n".join([*lines, ""]) if lines else ""

    def elements(self) -> dict[str, dict[str, str]]:
        """All that should be there: {container: {key: value}}; a chain's keys are the numbers of its
        rules.
        """
        found: dict[str, dict[str, str]] = defaultdict(dict)
        for key, front in self.fronts.items():
            one = rendered(key, front, self.rules)
            for container, element, value in (*one.own, *one.shared):
                found[container][element] = value
        for name, rules in self.chains().items():
            found[f"chain {name}"] = {str(number): rule for number, rule in enumerate(rules)}
        return dict(found)

    def chains(self) -> dict[str, tuple[str, ...]]:
        base = {name: rules for name, (_, rules) in base_chains(self.rules).items()}
        return {**base, **self._chains}

    # --- everything

    def _emptied(self, there: There) -> Iterator[str]:
        for chain in sorted(there.chains):
            yield f"flush chain {self._ip} {TABLE} {chain}"
        for name in sorted(there.maps):
            yield f"flush map {self._ip} {TABLE} {name}"
        for name in sorted(there.sets - self._sets.keys()):
            yield f"flush set {self._ip} {TABLE} {name}"

    def _declared(self) -> Iterator[str]:
        for name, what in containers(self.rules.family).items():
            kind, _, name = name.partition(" ")
            yield f"add {kind} {self._ip} {TABLE} {name} {{ {what} ; }}"
        base = base_chains(self.rules)
        for name, (hook, _) in base.items():
            yield f"add chain {self._ip} {TABLE} {name}" + (
                f" {{ {hook} ; policy accept ; }}" if hook else ""
            )
        for name, (_, rules) in base.items():
            yield from self._rules_of(name, rules)

    def _removed(self, there: There) -> Iterator[str]:
        base = base_chains(self.rules)
        for chain in sorted(there.chains - self._chains.keys() - base.keys()):
            yield f"delete chain {self._ip} {TABLE} {chain}"
        kept = {name.partition(" ")[2] for name in containers(self.rules.family)} | self._sets.keys()
        for kind, names in (("map", there.maps), ("set", there.sets)):
            for name in sorted(names - kept):
                yield f"delete {kind} {self._ip} {TABLE} {name}"

    # --- what differs

    def _changed(self, changes: Mapping[FrontKey, Front | None]) -> list[str]:
        gone: dict[Name, None] = {}
        come: dict[Name, str] = {}
        touched: dict[Name, int] = {}  # how many wanted it before
        chains: dict[str, tuple[str, ...]] = {}
        sets: dict[str, str] = {}
        for key, front in changes.items():
            before = self._rendered(key, self.fronts.get(key))
            after = self._rendered(key, front)
            new = {(container, name): value for container, name, value in after.own}
            if before is _NOTHING:  # as nearly all at the start
                come.update(new)
            else:
                old = {(container, name): value for container, name, value in before.own}
                gone.update(dict.fromkeys(name for name, value in old.items() if new.get(name) != value))
                come.update((name, value) for name, value in new.items() if old.get(name) != value)
            for one, step in ((before, -1), (after, 1)):
                for name in _names(one):
                    touched.setdefault(name, self._wanted[name])
                    self._wanted[name] += step
            chains.update(after.chains)
            sets.update(after.sets)
            if front is None:
                self.fronts.pop(key, None)
            else:
                self.fronts[key] = front
        for name, count in touched.items():
            if name[0] not in ("chain", "set"):
                if count and not self._wanted[name]:
                    gone[name] = None
                elif self._wanted[name] and not count:
                    come[name] = ""
            if not self._wanted[name]:
                del self._wanted[name]
        return self._script(gone, come, chains, sets, [name for name in touched if name not in self._wanted])

    def _rendered(self, key: FrontKey, front: Front | None) -> Rendered:
        return rendered(key, front, self.rules) if front is not None else _NOTHING

    def _script(
        self,
        gone: Mapping[Name, None],
        come: Mapping[Name, str],
        chains: Mapping[str, tuple[str, ...]],
        sets: Mapping[str, str],
        unwanted: Iterable[Name],
    ) -> list[str]:
        """In the order in which each line finds what it names."""
        lines = []
        fresh = {name: what for name, what in sets.items() if ("set", name) in self._wanted}
        for name, what in fresh.items():
            if name not in self._sets:
                lines.append(f"add set {self._ip} {TABLE} {name} {{ {what} ; }}")
        self._sets.update(fresh)
        rewritten = {
            name: rules
            for name, rules in chains.items()
            if ("chain", name) in self._wanted and self._chains.get(name) != rules
        }
        lines += [f"add chain {self._ip} {TABLE} {name}" for name in rewritten if name not in self._chains]
        lines += self._elements("delete", dict.fromkeys(gone, ""))
        for name, rules in rewritten.items():
            if name in self._chains:
                lines.append(f"flush chain {self._ip} {TABLE} {name}")
            lines += self._rules_of(name, rules)
        self._chains.update(rewritten)
        self._idle -= chains.keys()
        lines += self._elements("add", come)
        return lines + self._dropped(unwanted)

    def _dropped(self, unwanted: Iterable[Name]) -> list[str]:
        """Chains and sets that nothing leads to any more."""
        names = [name for kind, name in unwanted if kind == "chain"]
        chains = [name for name in names if _is_of_service(name)]
        self._idle.update(name for name in names if not _is_of_service(name))
        if len(self._idle) > MOST_IDLE:
            chains += sorted(self._idle)
            self._idle.clear()
        lines = [f"flush chain {self._ip} {TABLE} {name}" for name in chains]
        lines += [f"delete chain {self._ip} {TABLE} {name}" for name in chains]
        for name in chains:
            del self._chains[name]
        for kind, name in unwanted:
            if kind == "set":
                lines.append(f"delete set {self._ip} {TABLE} {name}")
                del self._sets[name]
        return lines

    def _rules_of(self, chain: str, rules: Iterable[str]) -> Iterator[str]:
        for rule in rules:
            yield f"add rule {self._ip} {TABLE} {chain} {rule}"

    def _elements(self, verb: str, elements: Mapping[Name, str]) -> list[str]:
        by_container: dict[str, list[str]] = defaultdict(list)
        for (container, key), value in elements.items():
            by_container[container].append(f"{key} : {value}" if value else key)
        return [
            f"{verb} element {self._ip} {TABLE} {container} {{ {', '.join(keys)} }}"
            for container, keys in by_container.items()
        ]


def _names(one: Rendered) -> Iterator[Name]:
    for container, key, _ in one.shared:
        yield container, key
    for chain in one.chains:
        yield "chain", chain
    for name in one.sets:
        yield "set", name


def _is_of_service(chain: str) -> bool:
    """One whose name has a hash in it belongs to one port of a Service; the others to all."""
    return any(len(part) == 16 for part in chain.split("/"))
