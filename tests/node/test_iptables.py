"""The iptables chains: only what differs is written, and nothing of a Service is left when it goes."""

from __future__ import annotations

import os
import random
from collections import defaultdict

import pytest

from bastion.node.iptables.layout import JUMPS, SHARED, base_chains, tail
from bastion.node.iptables.ruleset import Ruleset, Saved, cleanup, saved
from bastion.node.model import Model
from bastion.node.rules import Detection, Rules
from tests.node.build import endpoint, endpoints, fronts, service
from tests.node.histories import step

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "40"))
RULES = Rules("IPv4", Detection(("10.244.0.0/16",)), localhost_node_ports=True)


class Tables:
    """What iptables-restore --noflush makes of its input; strict where the real one is."""

    def __init__(self) -> None:
        self.chains: dict[tuple[str, str], list[str]] = {}
        self.built_in: dict[tuple[str, str], list[str]] = defaultdict(list)

    def restore(self, text: str) -> None:
        table = ""
        for line in text.splitlines():
            word, _, rest = line.partition(" ")
            if word.startswith("*"):
                table = word[1:]
            elif word.startswith(":"):
                self.chains[table, word[1:]] = []
            elif word == "-A":
                chain, _, rule = rest.partition(" ")
                self.chains[table, chain].append(rule)
            elif word == "-X":
                assert not self.chains.pop((table, rest)), line
            elif word == "-I":
                chain, _, rule = rest.partition(" ")
                self.built_in[table, chain].insert(0, rule)
            elif word == "-D":
                chain, _, rule = rest.partition(" ")
                self.built_in[table, chain].remove(rule)
        for (table, _), rules in {**self.chains, **self.built_in}.items():
            for rule in rules:
                target = rule.rpartition("-j ")[2].split(" ")[0]
                assert not target.startswith("KUBE-") or (table, target) in self.chains, rule

    def save(self) -> str:
        lines = []
        for wanted in ("nat", "filter", "mangle"):
            lines.append(f"*{wanted}")
            lines += [f":{chain} - [0:0]" for table, chain in self.chains if table == wanted]
            for (table, chain), rules in {**self.built_in, **self.chains}.items():
                lines += [f"-A {chain} {rule}" for rule in rules if table == wanted]
            lines.append("COMMIT")
        return "\n".join(lines)


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_after_any_history_the_chains_hold_what_they_should(seed: int) -> None:
    chance = random.Random(seed)
    model, tables, ruleset = Model("node1", lambda: None), Tables(), Ruleset(RULES)
    tables.built_in["nat", "PREROUTING"] = ["-p tcp -m tcp --dport 1234 -j RETURN"]
    tables.restore(ruleset.full({}, saved(tables.save())))
    claims = model.families["IPv4"].claims
    for _ in range(20):
        for _ in range(chance.randint(1, 4)):
            step(chance, model)
        change = model.take("IPv4")
        if chance.random() < 0.15:
            ruleset = Ruleset(RULES)
            tables.restore(ruleset.full(dict(claims.fronts), saved(tables.save())))
        else:
            tables.restore(ruleset.change(change.fronts))
        fresh = Ruleset(RULES)
        fresh.full(dict(claims.fronts), Saved())
        assert {chain: set(rules) for chain, rules in tables.chains.items()} == {
            chain: set(rules) for chain, rules in fresh.chains.items()
        }
    for key in list(model.services):
        model.put_service(key, None)
    tables.restore(ruleset.change(model.take("IPv4").fronts))
    assert set(tables.chains) == {*base_chains(RULES), *SHARED}
    tables.restore(cleanup(saved(tables.save())))
    assert not tables.chains
    assert {chain: rules for chain, rules in tables.built_in.items() if rules} == {
        ("nat", "PREROUTING"): ["-p tcp -m tcp --dport 1234 -j RETURN"]
    }


def test_a_change_of_endpoints_writes_the_chains_of_one_port() -> None:
    many = {}
    for number in range(50):
        piece = endpoints(endpoint("10.244.3.1", "node2"), of=f"s{number}")
        many.update(fronts(service(f"s{number}", (f"10.96.2.{number}",)), piece))
    ruleset = Ruleset(RULES)
    ruleset.full(many, Saved())
    piece = endpoints(endpoint("10.244.3.1", "node2"), endpoint("10.244.3.2", "node2"), of="s7")
    text = ruleset.change(fronts(service("s7", ("10.96.2.7",)), piece))
    written = [line for line in text.splitlines() if line.startswith(":")]
    assert sorted(line.partition("-")[2][:4] for line in written) == ["SEP-", "SVC-"]
    assert ruleset.change(fronts(service("s7", ("10.96.2.7",)), piece)) == ""


def test_jumps_that_are_there_are_not_made_again_and_old_ones_go() -> None:
    table, chain, rule = JUMPS[0]
    text = f"*{table}\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-OLDOLDOLDOLDOLD - [0:0]\n:MINE - [0:0]\n"
    text += f"-A {chain} {rule}\n-A {chain} -j KUBE-SERVICES\n-A {chain} -j MINE\nCOMMIT\n"
    written = Ruleset(RULES).full({}, saved(text)).splitlines()
    assert f"-I {chain} {rule}" not in written
    assert f"-D {chain} -j KUBE-SERVICES" in written
    assert "-X KUBE-SVC-OLDOLDOLDOLDOLD" in written
    assert not any("MINE" in line for line in written)


LEAD = "-m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
GUARD = "-d 127.0.0.0/8 -j RETURN"


@pytest.mark.parametrize(
    ("family", "ranges", "loopback", "expected"),
    [
        ("IPv4", (), True, [LEAD]),
        ("IPv4", (), False, [GUARD, LEAD]),
        (
            "IPv4",
            ("172.30.0.0/24", "127.0.0.0/8"),
            True,
            [f"-d 172.30.0.0/24 {LEAD}", f"-d 127.0.0.0/8 {LEAD}"],
        ),
        ("IPv4", ("64.0.0.0/2",), False, [GUARD, f"-d 64.0.0.0/2 {LEAD}"]),  # loopback is in it
        ("IPv6", ("::/1",), False, ["-d ::1/128 -j RETURN", f"-d ::/1 {LEAD}"]),
    ],
)
def test_loopback_takes_node_ports_only_where_it_is_asked_for(
    family: str, ranges: tuple[str, ...], loopback: bool, expected: list[str]
) -> None:
    rules = Rules(family, node_ports=ranges, localhost_node_ports=loopback)
    assert list(tail(("nat", "KUBE-SERVICES"), rules)) == expected


OF_OTHERS = (
    "-A CNI-SETMARK -m mark --mark 0x2000/0x2000 -j KUBE-MARK-MASQ",
    "-A PREROUTING -s 192.0.2.0/24 -j KUBE-MARK-MASQ",
    "-A MINE -d 10.96.0.10/32 -g KUBE-SVC-OLDOLDOLDOLDOLD",
)


def test_rules_of_others_that_jump_to_our_chains_stay() -> None:
    """A chain that they hold can be emptied alone: iptables deletes none that is referred to."""
    chains = "".join(
        f":{name} - [0:0]\n"
        for name in ("KUBE-MARK-MASQ", "KUBE-SERVICES", "KUBE-SVC-OLDOLDOLDOLDOLD", "CNI-SETMARK", "MINE")
    )
    there = saved("\n".join([f"*nat\n{chains}", *OF_OTHERS, "COMMIT"]))
    for written in (Ruleset(RULES).full({}, there), cleanup(there)):
        assert not [
            line for line in written.splitlines() if line.startswith(("-D", "-X KUBE-SVC", "-X KUBE-M"))
        ]
        assert ":KUBE-SVC-OLDOLDOLDOLDOLD - [0:0]" in written
    assert "-X KUBE-SERVICES" in cleanup(there)


@pytest.mark.parametrize("kubelet", [True, False])
def test_the_guard_of_loopback_stays_where_a_kubelet_runs(kubelet: bool) -> None:
    """It is the kubelet's chain as well."""
    mangle = ":KUBE-KUBELET-CANARY - [0:0]\n" if kubelet else ""
    guard = ":KUBE-FIREWALL - [0:0]\n:KUBE-FORWARD - [0:0]\n-A INPUT -j KUBE-FIREWALL\n"
    written = cleanup(saved(f"*mangle\n{mangle}COMMIT\n*filter\n{guard}COMMIT\n"))
    assert ("KUBE-FIREWALL" not in written) is kubelet
    assert "-X KUBE-FORWARD" in written
    assert "KUBELET" not in written


def test_the_share_of_each_endpoint_is_the_same() -> None:
    ruleset = Ruleset(RULES)
    piece = endpoints(*(endpoint(f"10.244.3.{number}", "node2") for number in range(4)))
    ruleset.full(fronts(service(), piece), Saved())
    (rules,) = [rules for (_, chain), rules in ruleset.chains.items() if chain.startswith("KUBE-SVC-")]
    chances = [rule.partition("--probability ")[2].split(" ")[0] for rule in rules if "KUBE-SEP-" in rule]
    assert chances == ["0.25000000000", "0.33333333333", "0.50000000000", ""]
