"""The kernel's own tables after random histories: what is there is what was asked for, read back by nft."""

from __future__ import annotations

import asyncio
import json
import os
import random
import time
from typing import Any

import pytest

from bastion.node.model import Model
from bastion.node.nftables import notices
from bastion.node.nftables.layout import TABLE, base_chains
from bastion.node.nftables.library import Child, Library, NftError, delete_tables, there
from bastion.node.nftables.notices import Hush, Notices
from bastion.node.nftables.table import Table, There
from bastion.node.nftables.writer import NftablesWriter, has_base_chains
from bastion.node.rules import Detection, Rules
from tests.node.bed import Bed, inside, run
from tests.node.build import endpoint, endpoints, fronts, service
from tests.node.histories import step

ROUNDS = int(os.environ.get("SOAK_ROUNDS", "6"))
RULES = Rules("IPv4", Detection(("10.244.0.0/16",)), service_cidrs=("10.96.0.0/16",))
VERDICTS = ("goto", "jump")


def written(value: Any) -> str:
    """A key or a value of libnftables-json(5) as a script has it."""
    if isinstance(value, dict):
        if "concat" in value:
            return " . ".join(map(written, value["concat"]))
        if "prefix" in value:
            return f"{value['prefix']['addr']}/{value['prefix']['len']}"
        if "elem" in value:
            return written(value["elem"]["val"])
        for verdict in VERDICTS:
            if verdict in value:
                return f"{verdict} {value[verdict]['target']}"
    return str(value)


def read(nft: Library) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """(elements by set or map, the number of rules by chain)."""
    elements: dict[str, dict[str, str]] = {}
    rules: dict[str, int] = {}
    for one in json.loads(nft.read(f"list table ip {TABLE}", terse=False))["nftables"]:
        for kind in ("set", "map"):
            if kind in one:
                found = one[kind].get("elem", [])
                pairs = (
                    ((written(key), written(value)) for key, value in found)
                    if kind == "map"
                    else ((written(key), "") for key in found)
                )
                elements[one[kind]["name"]] = dict(pairs)
        if "chain" in one:
            rules.setdefault(one["chain"]["name"], 0)
        if "rule" in one:
            rules[one["rule"]["chain"]] = rules.get(one["rule"]["chain"], 0) + 1
    return elements, rules


def plain(text: str) -> str:
    """Ports and addresses as nft spells them: a whole range is an address."""
    return text.removesuffix("/32")


def check(nft: Library, table: Table) -> None:
    elements, rules = read(nft)
    wanted = table.elements()
    for name, found in elements.items():
        assert {plain(key): value for key, value in found.items()} == {
            plain(key): value for key, value in wanted.get(name, {}).items()
        }, name
    expected = {name: len(found) for name, found in table.chains().items()}
    assert rules == expected


@pytest.mark.parametrize("seed", range(ROUNDS))
def test_actual_is_desired_after_any_history(bed: Bed, seed: int) -> None:
    chance = random.Random(seed)
    model = Model("node1", lambda: None)
    claims = model.families["IPv4"].claims
    with inside("node"):
        nft = Library()
        nft.run("add table ip others\nadd chain ip others mine\nadd rule ip others mine tcp dport 9 drop\n")
        foreign = run("node", "nft", "list table ip others")
        table = Table(RULES)
        nft.run(table.full({}, there(nft, "IPv4")))
        try:
            for _ in range(12):
                for _ in range(chance.randint(1, 6)):
                    step(chance, model)
                change, event = model.take("IPv4"), chance.random()
                if event < 0.15:
                    table = Table(RULES)  # a restart
                    nft.run(table.full(dict(claims.fronts), there(nft, "IPv4")))
                elif event < 0.3:
                    delete_tables(nft, "IPv4", (TABLE,))  # by others
                    script = table.change(change.fronts)
                    if script:
                        with pytest.raises(NftError):
                            nft.run(script)
                    nft.run(table.full(dict(claims.fronts), There(), anew=True))
                elif event < 0.4:
                    script = table.change(change.fronts)
                    with pytest.raises(NftError):  # nothing of it counts
                        nft.run(f"{script}add rule ip {TABLE} nowhere drop\n")
                    nft.run(table.full(dict(claims.fronts), there(nft, "IPv4")))
                else:
                    script = table.change(change.fronts)
                    if script:
                        nft.run(script)
                check(nft, table)
            assert run("node", "nft", "list table ip others") == foreign
        finally:
            delete_tables(nft, "IPv4", (TABLE, "others"))
    assert run("node", "nft", "list tables").strip() == ""


def test_a_child_says_the_same_as_the_library(bed: Bed) -> None:
    with inside("node"):
        nft, child = Library(), Child("nft")
        try:
            table = Table(RULES)
            child.run(table.full(fronts(service(), endpoints(endpoint("10.244.1.10"))), There()))
            check(nft, table)
            assert there(child, "IPv4") == there(nft, "IPv4")
            assert set(base_chains(RULES)) <= there(child, "IPv4").chains
            with pytest.raises(NftError, match="No such file"):
                child.run(f"flush chain ip {TABLE} nowhere\n")
            with pytest.raises(NftError):
                nft.run(f"flush chain ip {TABLE} nowhere\n")
        finally:
            delete_tables(nft, "IPv4", (TABLE,))


def test_whether_the_table_is_there_is_found_without_reading_it(bed: Bed) -> None:
    """Nor the tables of others, that may be large."""
    many = ", ".join(f"10.{n >> 8}.{n & 255}.1" for n in range(20_000))
    with inside("node"):
        nft = Library()
        try:
            nft.run(
                f"add table ip others\nadd set ip others s {{ type ipv4_addr ; elements = {{ {many} }} ; }}\n"
            )
            assert not has_base_chains(RULES)
            nft.run(Table(RULES).full({}, there(nft, "IPv4")))
            before = nft.read(f"list table ip {TABLE}", terse=False)
            began = time.process_time()
            for _ in range(20):
                assert has_base_chains(RULES)
            assert time.process_time() - began < 0.2, "to list the tables takes some 30 ms each time"
            assert nft.read(f"list table ip {TABLE}", terse=False) == before
            nft.run(f"flush table ip {TABLE}\n")
            assert not has_base_chains(RULES), "its chains are there, and empty"
            delete_tables(nft, "IPv4", (TABLE,))
            assert not has_base_chains(RULES)
        finally:
            delete_tables(nft, "IPv4", (TABLE, "others"))


HARM = {
    "flush table": f"flush table ip {TABLE}",
    "delete table": f"delete table ip {TABLE}",
    "flush ruleset": "flush ruleset",
    "an element": f"delete element ip {TABLE} cluster-ips {{ 10.96.1.1 }}",
    "a rule": f"add rule ip {TABLE} services drop",
}


@pytest.mark.parametrize("harm", HARM)
def test_what_another_program_does_is_told_at_once_and_what_we_do_is_not(bed: Bed, harm: str) -> None:
    one, found = service(), endpoints(endpoint("10.244.1.10"))

    async def main() -> float:
        writer = NftablesWriter(nft, "IPv4", Hush())
        await writer.full(RULES, fronts(one, found))
        disturbed = asyncio.create_task(writer.disturbed())
        for number in range(20):
            await writer.change(fronts(one, endpoints(endpoint(f"10.244.1.{number + 20}"))))
            nft.run("add table ip others\ndelete table ip others\nadd table ip6 bastion-node\n")
        await asyncio.sleep(0.05)
        assert not disturbed.done()
        assert await writer.intact()
        began = time.perf_counter()
        other.run(f"{HARM[harm]}\n")
        await asyncio.wait_for(disturbed, 5)
        took = time.perf_counter() - began
        await writer.full(RULES, fronts(one, found))
        assert await writer.intact()
        check(nft, writer._table)
        return took

    with inside("node"):
        nft, other = Library(), Library()
        try:
            assert asyncio.run(main()) < 0.5
        finally:
            nft.run("flush ruleset\n")


def test_what_another_program_does_while_everything_is_written_is_seen_as_well(bed: Bed) -> None:
    class Overtaken(Library):
        """Another program comes after our transaction, and before anything is told to us."""

        def run(self, script: str) -> None:
            super().run(script)
            super().run(f"flush table ip {TABLE}\n")

    async def main() -> None:
        writer = NftablesWriter(Overtaken(), "IPv4", Hush())
        await writer.full(RULES, {})
        await asyncio.wait_for(writer.disturbed(), 5)

    with inside("node"):
        try:
            asyncio.run(main())
        finally:
            delete_tables(Library(), "IPv4", (TABLE,))


def test_nobody_is_told_of_the_elements_of_a_first_sync(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither family, while one writes everything; both listen afterwards."""
    heard: list[int] = []
    monkeypatch.setattr(Notices, "_take", lambda _, data: heard.append(len(data)))
    many = [endpoint(f"10.250.{n // 250}.{n % 250}", "node2") for n in range(3000)]

    async def main() -> None:
        hush = Hush()
        ours = NftablesWriter(nft, "IPv4", hush)
        six = NftablesWriter(Library(), "IPv6", hush)
        await six.full(SIX, {})
        await asyncio.gather(ours.full(RULES, fronts(service(), endpoints(*many))), six.full(SIX, {}))
        waiting = [asyncio.create_task(one.disturbed()) for one in (ours, six)]
        await asyncio.sleep(0.05)
        assert not heard
        assert not any(task.done() for task in waiting)
        for task, ip in zip(waiting, ("ip", "ip6"), strict=True):
            nft.run(f"flush table {ip} {TABLE}\n")
            await asyncio.sleep(0.05)
            assert heard
            task.cancel()

    nft, SIX = Library(), Rules("IPv6")
    with inside("node"):
        try:
            asyncio.run(main())
        finally:
            nft.run("flush ruleset\n")


def test_a_change_too_large_for_its_notices_is_not_taken_for_anothers(
    bed: Bed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "QUEUED", 4096)
    many = [endpoint(f"10.250.{n // 250}.{n % 250}", "node2") for n in range(3000)]

    async def main() -> None:
        writer = NftablesWriter(Library(), "IPv4", Hush())
        await writer.full(RULES, {})
        disturbed = asyncio.create_task(writer.disturbed())
        for found in (many, many[:1500], many):
            await writer.change(fronts(service(), endpoints(*found)))
            await asyncio.sleep(0.02)
        assert not disturbed.done()
        Library().run(f"flush table ip {TABLE}\n")
        await asyncio.wait_for(disturbed, 5)

    with inside("node"):
        try:
            asyncio.run(main())
        finally:
            delete_tables(Library(), "IPv4", (TABLE,))


def test_a_slice_of_ten_thousand_endpoints_is_taken(bed: Bed) -> None:
    found = [endpoint(f"10.{200 + n // 65536}.{n // 256 % 256}.{n % 256}", "node2") for n in range(10_000)]
    with inside("node"):
        nft = Library()
        try:
            table = Table(RULES)
            began = time.process_time()
            nft.run(table.full(fronts(service(), endpoints(*found)), There()))
            assert time.process_time() - began < 5
            check(nft, table)
        finally:
            delete_tables(nft, "IPv4", (TABLE,))
