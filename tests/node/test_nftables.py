"""The nftables layout: what is asked for is what is there, after any history of changes."""

from __future__ import annotations

import contextlib
import os
import random
import re

import pytest

from bastion.node.model import Model
from bastion.node.nftables.layout import base_chains, containers
from bastion.node.nftables.library import (
    OLDEST_KERNEL,
    OLDEST_NFT,
    SKIP_KERNEL_CHECK,
    require,
    require_kernel,
)
from bastion.node.nftables.table import Table, There
from bastion.node.rules import Detection, Rules
from bastion.runtime.errors import StartError
from tests.node.build import endpoint, endpoints, fronts, service
from tests.node.histories import step
from tests.node.kernel import Kernel

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "60"))
RULES = Rules("IPv4", Detection(("10.244.0.0/16",)), service_cidrs=("10.96.0.0/16",))
WORDS = re.compile(r"[\w ./:@{}<>=!|&^,;*\"\[\]-]*\Z", re.ASCII)


def there(kernel: Kernel) -> There:
    kinds = {name.partition(" ")[2]: name.partition(" ")[0] for name in containers("IPv4")}
    sets = {name for name in kernel.containers if kinds.get(name, "set") == "set"}
    return There(
        bool(kernel.chains),
        frozenset(kernel.chains),
        frozenset(sets),
        frozenset(kernel.containers.keys() - sets),
    )


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_after_any_history_the_table_holds_what_it_should(seed: int) -> None:
    chance = random.Random(seed)
    model, kernel, table = Model("node1", lambda: None), Kernel(), Table(RULES)
    kernel.run(table.full({}, There()))
    claims = model.families["IPv4"].claims
    for _ in range(25):
        for _ in range(chance.randint(1, 4)):
            step(chance, model)
        change = model.take("IPv4")
        event = chance.random()
        if event < 0.1:  # a restart takes over what is there
            table = Table(RULES)
            kernel.run(table.full(dict(claims.fronts), there(kernel)))
        elif event < 0.2:  # a flush by others, and the rebuild that follows
            kernel = Kernel()
            table = Table(RULES)
            kernel.run(table.full(dict(claims.fronts), There(), anew=True))
        else:
            script = table.change(change.fronts)
            assert WORDS.match(script.replace("\n", " ")), "a word of a tenant's in it"
            kernel.run(script)
        assert table.fronts == claims.fronts
        wanted = table.elements()
        assert {name: found for name, found in kernel.elements().items() if found} == {
            name: found for name, found in wanted.items() if found
        }
    for key in list(model.services):
        model.put_service(key, None)
    kernel.run(table.change(model.take("IPv4").fronts))
    assert not any(kernel.containers.values())
    assert not [name for name in kernel.containers if name.startswith("affinity-")]


def test_a_change_of_endpoints_is_a_few_elements() -> None:
    many = {}
    for number in range(200):
        address = f"10.96.2.{number}"
        piece = endpoints(*(endpoint(f"10.244.3.{n}", "node2") for n in range(5)), of=f"s{number}")
        many.update(fronts(service(f"s{number}", (address,)), piece))
    table = Table(RULES)
    table.full(many, There())
    piece = endpoints(*(endpoint(f"10.244.3.{n}", "node2") for n in range(6)), of="s7")
    script = table.change(fronts(service("s7", ("10.96.2.7",)), piece))
    assert "10.96.2.8" not in script
    elements = [line for line in script.splitlines() if " element " in line]
    assert len(elements) == 3  # one more endpoint, and the verdict replaced
    assert len(script) < 1500


def test_memory_of_affinity_outlives_changes_and_a_restart() -> None:
    one = service(sessionAffinity="ClientIP")
    few = fronts(one, endpoints(endpoint("10.244.1.10")))
    more = fronts(one, endpoints(endpoint("10.244.1.10"), endpoint("10.244.2.10", "node2")))
    kernel, table = Kernel(), Table(RULES)
    kernel.run(table.full(few, There()))
    (memory,) = [name for name in kernel.containers if name.startswith("affinity-")]
    kernel.containers[memory]["172.30.0.100"] = ""
    kernel.run(table.change(more))
    assert kernel.containers[memory]
    again = Table(RULES)
    kernel.run(again.full(more, there(kernel)))
    assert kernel.containers[memory]
    gone = fronts(one, endpoints(endpoint("10.244.2.10", "node2")))
    kernel.run(again.change(gone))
    assert memory not in kernel.containers


def test_a_table_of_another_layout_is_taken_over() -> None:
    kernel = Kernel({"old-map": {"a": "goto old"}}, {"old": ["accept"], "services": ["jump old"]})
    kernel.run(
        Table(RULES).full({}, There(True, frozenset(kernel.chains), frozenset(), frozenset({"old-map"})))
    )
    assert "old" not in kernel.chains
    assert "old-map" not in kernel.containers
    assert set(kernel.chains) == set(base_chains(RULES))


@pytest.mark.parametrize(
    ("detection", "expected"),
    [
        (Detection(("10.244.0.0/16",)), "ip saddr != { 10.244.0.0/16 } jump mark-masquerade"),
        (Detection(interface="cni0"), 'iifname != "cni0" jump mark-masquerade'),
        (Detection(prefix="pod-"), 'iifname != "pod-*" jump mark-masquerade'),
    ],
)
def test_how_pods_are_told(detection: Detection, expected: str) -> None:
    table = Table(Rules("IPv4", detection))
    table.full(fronts(service(), endpoints(endpoint("10.244.1.10"))), There())
    assert table.chains()["i/c1"] == (expected, "goto c1")


@pytest.mark.parametrize(
    ("what", "said", "oldest", "message"),
    [
        ("nft", "nftables v1.0.6 (Lester Gooch #5)", OLDEST_NFT, ""),
        ("nft", "nftables v1.0.1 (Fearless Fosdick #3)", OLDEST_NFT, ""),
        ("nft", "nftables v1.0.0 (x)", OLDEST_NFT, "needs nft 1.0.1 or later, and this is 1.0.0"),
        ("nft", "nftables v0.9.8 (E.D.S.)", OLDEST_NFT, "this is 0.9.8"),
        ("nft", "", OLDEST_NFT, ""),
        ("Linux", "6.18.44-fc", OLDEST_KERNEL, ""),
        ("Linux", "5.13", OLDEST_KERNEL, ""),
        ("Linux", "5.12.19-arch1", OLDEST_KERNEL, "needs Linux 5.13 or later, and this is 5.12.19"),
    ],
)
def test_versions_that_are_too_old_are_named(
    what: str, said: str, oldest: tuple[int, ...], message: str
) -> None:
    with pytest.raises(StartError, match=message) if message else contextlib.nullcontext():
        require(what, said, oldest)


def test_the_kernels_version_may_be_left_unchecked() -> None:
    with pytest.raises(StartError, match=SKIP_KERNEL_CHECK):
        require_kernel("5.4.0", {})
    require_kernel("5.4.0", {SKIP_KERNEL_CHECK: "1"})
