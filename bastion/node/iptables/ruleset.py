"""· What has to be said to iptables-restore so that the chains hold what they should?

A `Ruleset` knows what it last asked for, and says only the chains that differ.  `full` begins from what
iptables-save tells: jumps that are missing, chains of Services that nothing wants any more.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from bastion.node.fronts import Front, FrontKey, Fronts
from bastion.node.iptables.layout import (
    FILTER,
    IPVS_CHAINS,
    IPVS_JUMPS,
    JUMPS,
    LOOPBACK_GUARD,
    NAT,
    PREFIXES,
    SHARED,
    TABLES,
    Chain,
    Rule,
    base_chains,
    tail,
)
from bastion.node.iptables.rendering import Rendered, rendered
from bastion.node.rules import Rules

Jump = tuple[str, str, Rule]  # (table, built-in chain, rule)

_NOTHING = Rendered({}, {})
_RULE = re.compile(r"-A (\S+) (.*-[jg] (KUBE-\S+))\Z")
OF_KUBELET = {"KUBE-KUBELET-CANARY", "KUBE-IPTABLES-HINT"}
_BUILT_IN = {"PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"}


class Saved(msgspec.Struct, frozen=True):
    """Of what iptables-save says: our chains, and how built-in chains lead into them.

    `held` are those that rules of others jump to (KUBE-MARK-MASQ is wanted by network plugins): the rules
    stay, so that such a chain can be emptied and not deleted.  `kubelet`: one runs here, by its own marks.
    """

    chains: frozenset[Chain] = frozenset()
    jumps: tuple[Jump, ...] = ()
    held: frozenset[Chain] = frozenset()
    kubelet: bool = False


def saved(text: str) -> Saved:
    chains: set[Chain] = set()
    jumps = []
    held: set[Chain] = set()
    table, kubelet = "", False
    for line in text.split("\n"):  # and at nothing else: a comment may hold whatever counts as a line's end
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(":"):
            name = line[1:].partition(" ")[0]
            kubelet = kubelet or name in OF_KUBELET
            if is_ours(table, name):
                chains.add((table, name))
        elif line.startswith("-A "):
            found = _RULE.match(line)
            if found is None or is_ours(table, found[1]) or not is_ours(table, found[3]):
                continue
            if found[1] in _BUILT_IN and (table, found[3]) in _ENTRIES:
                jumps.append((table, found[1], found[2]))
            else:
                held.add((table, found[3]))
    return Saved(frozenset(chains), tuple(jumps), frozenset(held), kubelet)


def is_ours(table: str, chain: str) -> bool:
    return chain.startswith(PREFIXES) or (table, chain) in _OWN


class Ruleset:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.fronts: Fronts = {}
        self.chains: dict[Chain, tuple[Rule, ...]] = {}
        self._entries: dict[Chain, dict[FrontKey, tuple[Rule, ...]]] = {chain: {} for chain in SHARED}
        self._wanted: Counter[Chain] = Counter()

    def full(self, fronts: Mapping[FrontKey, Front], there: Saved) -> str:
        self.fronts, self.chains, self._wanted = {}, {}, Counter()
        self._entries = {chain: {} for chain in SHARED}
        changed = self._changed(fronts)
        for chain, rules in base_chains(self.rules).items():
            self.chains[chain] = changed[chain] = rules
        for chain in SHARED:
            self.chains[chain] = changed[chain] = self._assembled(chain)
        gone = there.chains - self.chains.keys()
        return restore_text(changed, gone, [*hung(there, JUMPS)], there.held)

    def change(self, changes: Mapping[FrontKey, Front | None]) -> str:
        """Empty where there is nothing to do."""
        before = set(self.chains)
        changed = self._changed(changes)
        gone = before - self.chains.keys()
        return restore_text(changed, gone, []) if changed or gone else ""

    def numbers(self) -> dict[str, int]:
        """Rules by table."""
        found = dict.fromkeys((NAT, FILTER), 0)
        for (table, _), rules in self.chains.items():
            if table in found:
                found[table] += len(rules)
        return found

    def _changed(self, changes: Mapping[FrontKey, Front | None]) -> dict[Chain, tuple[Rule, ...]]:
        wanted: dict[Chain, tuple[Rule, ...]] = {}
        touched: set[Chain] = set()
        shared: set[Chain] = set()
        for key, front in changes.items():
            old = self.fronts.pop(key, None)
            before = rendered(key, old, self.rules) if old is not None else _NOTHING
            after = rendered(key, front, self.rules) if front is not None else _NOTHING
            if front is not None:
                self.fronts[key] = front
            for one, step in ((before, -1), (after, 1)):
                for chain in one.chains:
                    self._wanted[chain] += step
                    touched.add(chain)
            wanted.update(after.chains)
            shared |= self._entered(key, before, after)
        changed = {chain: rules for chain, rules in wanted.items() if self.chains.get(chain) != rules}
        for chain in touched:
            if not self._wanted[chain]:
                del self._wanted[chain]
                self.chains.pop(chain, None)
                changed.pop(chain, None)
        changed.update((chain, self._assembled(chain)) for chain in shared)
        self.chains.update(changed)
        return changed

    def _entered(self, key: FrontKey, before: Rendered, after: Rendered) -> set[Chain]:
        """The shared chains whose rules for this front differ."""
        found = set()
        for chain in before.entries.keys() | after.entries.keys():
            new = after.entries.get(chain)
            if before.entries.get(chain) != new:
                found.add(chain)
            if new is None:
                self._entries[chain].pop(key, None)
            else:
                self._entries[chain][key] = new
        return found

    def _assembled(self, chain: Chain) -> tuple[Rule, ...]:
        rules = [rule for one in self._entries[chain].values() for rule in one]
        return (*rules, *tail(chain, self.rules))


def hung(there: Saved, jumps: Sequence[Jump]) -> Iterator[tuple[str, str]]:
    """(table, line): jumps that are missing come first in their chains, in the order of the table."""
    missing = [jump for jump in jumps if jump not in there.jumps]
    for table, chain, rule in reversed(missing):
        yield table, f"-I {chain} {rule}"
    for table, chain, rule in there.jumps:
        if (table, chain, rule) not in jumps:
            yield table, f"-D {chain} {rule}"


def cleanup(there: Saved) -> str:
    """Takes away all of it, what others hold excepted; empty where there is nothing.

    The guard of loopback is a kubelet's as well, and stays where one runs.
    """
    kept = {(FILTER, LOOPBACK_GUARD)} if there.kubelet else set()
    chains = there.chains - kept
    lines = [
        (table, f"-D {chain} {rule}")
        for table, chain, rule in there.jumps
        if (table, rule.rpartition(" ")[2]) not in kept
    ]
    return restore_text({}, chains, lines, there.held) if chains or lines else ""


def restore_text(
    changed: Mapping[Chain, tuple[Rule, ...]],
    gone: Iterable[Chain],
    hung: Iterable[tuple[str, str]],
    held: frozenset[Chain] = frozenset(),
) -> str:
    """A declared chain is emptied first: so are those that go, before any of them is deleted."""
    declared: dict[str, list[str]] = defaultdict(list)
    written: dict[str, list[str]] = defaultdict(list)
    deleted: dict[str, list[str]] = defaultdict(list)
    for (table, name), rules in changed.items():
        declared[table].append(f":{name} - [0:0]")
        written[table] += [f"-A {name} {rule}" for rule in rules]
    for table, line in hung:
        written[table].append(line)
    for table, name in sorted(gone):
        declared[table].append(f":{name} - [0:0]")
        if (table, name) not in held:
            deleted[table].append(f"-X {name}")
    lines = []
    for table in TABLES:
        if declared[table] or written[table]:
            lines += [f"*{table}", *declared[table], *written[table], *deleted[table], "COMMIT"]
    return "\n".join([*lines, ""])


_ENTRIES = {(table, rule.rpartition(" ")[2]) for table, _, rule in (*JUMPS, *IPVS_JUMPS)}
_OWN = {*base_chains(Rules("IPv4")), *SHARED, *IPVS_CHAINS}
