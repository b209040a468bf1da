"""A stand-in for the kernel's table: takes what `nft -f` takes, refuses what it refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

_BRACES = re.compile(r"(\S+) \{ (.*) \}\Z")
_TO = re.compile(r"(?:goto|jump) ([^\s,}]+)")
_AT = re.compile(r"@([^\s{]+)")


class Refused(Exception):
    pass


@dataclass
class Kernel:
    """`containers` are sets and maps with their elements, `chains` hold rules."""

    containers: dict[str, dict[str, str]] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)

    def run(self, script: str) -> None:
        """All of it or nothing.  Raises Refused."""
        copy = Kernel(
            {name: dict(elements) for name, elements in self.containers.items()},
            {name: list(rules) for name, rules in self.chains.items()},
        )
        for line in script.splitlines():
            copy._do(line)
        copy._check()
        self.containers, self.chains = copy.containers, copy.chains

    def elements(self) -> dict[str, dict[str, str]]:
        found = {name: elements for name, elements in self.containers.items() if elements}
        for name, rules in self.chains.items():
            found[f"chain {name}"] = {str(number): rule for number, rule in enumerate(rules)}
        return found

    def _do(self, line: str) -> None:
        verb, kind, _, rest = line.split(" ", 3)
        table, _, rest = rest.partition(" ")
        if kind == "table":
            if verb == "delete" and table == "bastion-node":
                self.containers, self.chains = {}, {}
            return
        name, _, rest = rest.partition(" ")
        if kind == "element":
            self._element(verb, name, rest)
        elif kind == "rule":
            self._chain(name).append(rest)
        elif kind == "chain":
            if verb == "add":
                self.chains.setdefault(name, [])
            elif verb == "flush":
                self._chain(name).clear()
            else:
                if self._chain(name):
                    raise Refused(f"{line}: has rules")
                del self.chains[name]
        elif verb == "add":
            self.containers.setdefault(name, {})
        elif name not in self.containers:
            raise Refused(f"{line}: is not there")
        elif verb == "flush":
            self.containers[name].clear()
        else:
            del self.containers[name]

    def _chain(self, name: str) -> list[str]:
        if name not in self.chains:
            raise Refused(f"chain {name} is not there")
        return self.chains[name]

    def _element(self, verb: str, name: str, rest: str) -> None:
        if name not in self.containers:
            raise Refused(f"{name} is not there")
        for one in rest.removeprefix("{ ").removesuffix(" }").split(", "):
            key, _, value = one.partition(" : ")
            known = self.containers[name].get(key)
            if verb == "delete":
                if known is None:
                    raise Refused(f"{name} has no {key}")
                del self.containers[name][key]
            elif known not in (None, value):
                raise Refused(f"{name} has another {key}")
            else:
                self.containers[name][key] = value

    def _check(self) -> None:
        """Whatever is led to, or looked into, is there."""
        rules = [rule for found in self.chains.values() for rule in found]
        values = [value for elements in self.containers.values() for value in elements.values()]
        for text in (*rules, *values):
            for chain in _TO.findall(text):
                if chain not in self.chains:
                    raise Refused(f"{text}: no chain {chain}")
            for name in _AT.findall(text):
                if name not in self.containers:
                    raise Refused(f"{text}: no set {name}")
