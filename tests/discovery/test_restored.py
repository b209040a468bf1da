"""After the API server's data went back in time the catalog equals the truth again, within ten seconds and by
one list.

Histories are drawn by a seed that a failure names; SOAK_ROUNDS asks for more of them.
"""

from __future__ import annotations

import random
from typing import Any

import pytest

from bastion.cluster.client import ApiClient
from bastion.discovery.lookup import Lookup
from bastion.kube.target import parse_target
from bastion.runtime.limits import Rate
from tests.discovery import faults
from tests.discovery.scripted_api import RESOURCES, Access
from tests.discovery.test_faults import ROUNDS, change, copying, filled, on_a_clock
from tests.fakes import SOMEBODY, pod

WITHIN = 10  # seconds


def lists(api: Any) -> Any:
    return {resource: api.requests["list", resource] for resource in RESOURCES}


def changes(api: Any, seed: Any, count: Any) -> None:
    chance = random.Random(seed)
    for _ in range(count):
        change(api, chance)


@pytest.mark.parametrize("bumped", [False, True])
@pytest.mark.parametrize("emptied", [False, True])
def test_a_backup_that_is_restored_is_one_list(emptied: Any, bumped: Any) -> None:
    async def scene() -> None:
        api = filled()
        kept = (1, {resource: {} for resource in RESOURCES}) if emptied else api.keep()
        changes(api, 1, 30)
        async with copying(api) as copy:
            await copy.becomes_equal()
            before = lists(api)
            await api.restore(kept, bumped=bumped)
            await copy.pass_time(WITHIN)
            assert copy.equal()
            changes(api, 2, 3)
            await copy.pass_time(120)
            assert copy.equal()
            assert lists(api) == {resource: count + 1 for resource, count in before.items()}

    on_a_clock(scene)


def test_an_api_server_that_comes_back_with_older_data_after_an_hour() -> None:
    async def scene() -> None:
        api = filled()
        kept = api.keep()
        changes(api, 1, 30)
        async with copying(api) as copy:
            await copy.becomes_equal()
            await api.leave()
            await api.restore(kept)
            await copy.pass_time(3600)
            await api.come()
            await copy.pass_time(WITHIN)
            assert copy.equal()

    on_a_clock(scene)


def test_a_replica_that_is_behind_is_no_storm_of_lists() -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            before = lists(api)
            for resource in RESOURCES:
                api.faults["check", resource].extend([faults.too_large] * 1000)
            for _ in range(60):
                await api.cut()
                await copy.pass_time(1)
            assert copy.equal()
            for resource, count in lists(api).items():
                assert count - before[resource] <= 16, "less and less"

    on_a_clock(scene)


def test_a_check_that_goes_wrong_ends_no_watch() -> None:
    async def scene() -> None:
        api = filled()
        async with copying(api) as copy:
            await copy.becomes_equal()
            for fault in (
                faults.answers(403),
                faults.answers(500),
                faults.no_answer,
                faults.resets,
                faults.answers(504),
            ):
                before = lists(api)
                for resource in RESOURCES:
                    api.faults["check", resource].extend([fault] * 4)
                await api.cut()
                changes(api, 3, 5)
                await copy.pass_time(60)
                assert copy.equal()
                assert lists(api) == before
                for queue in api.faults.values():
                    queue.clear()

    on_a_clock(scene)


# --- where the new history has come past the version that the copy has, a check finds nothing


async def caught_up(copy: Any, kept: Any) -> None:
    api = copy.api
    reached = api.revision
    await api.restore(kept)
    while api.revision <= reached + 5:
        api.put(
            "services",
            {"metadata": {"name": "busy", "namespace": "a"}, "spec": {"ports": [{"port": api.revision}]}},
        )


def test_a_change_of_what_never_came_to_be_is_a_proof() -> None:
    async def scene() -> None:
        api = filled()
        api.put("pods", pod("there", "10.0.7.7", namespace="a"))
        kept = api.keep()
        api.remove("pods", ("a", "there"))
        changes(api, 1, 30)
        async with copying(api) as copy:
            await copy.becomes_equal()
            await caught_up(copy, kept)
            await copy.pass_time(5)
            api.put("pods", pod("there", "10.0.7.8", namespace="a"))
            await copy.pass_time(WITHIN)
            assert copy.equal()

    on_a_clock(scene)


def test_a_name_that_is_found_where_it_should_not_be_is_a_proof() -> None:
    async def scene() -> None:
        api = filled()
        api.put("pods", pod("there", "10.0.7.7", namespace="a"))
        kept = api.keep()
        api.remove("pods", ("a", "there"))
        changes(api, 1, 30)
        async with copying(api) as copy, ApiClient(Access(api.port)) as client:
            await copy.becomes_equal()
            lookup = Lookup(client, copy.catalog, copy.informers, Rate(20.0, 20.0))
            await caught_up(copy, kept)
            await copy.pass_time(5)
            await lookup.settle(parse_target("pods", "a", "there:80"), SOMEBODY)
            assert ("a", "there") in copy.catalog.pods, "found at once"
            await copy.pass_time(WITHIN)
            assert copy.equal()

    on_a_clock(scene)


# --- by chance


@pytest.mark.parametrize("seed", range(max(9, ROUNDS * 3 // 10)))
def test_whatever_history_is_restored_the_catalog_equals_the_truth_within_ten_seconds(seed: Any) -> None:
    chance = random.Random(f"restored {seed}")

    async def scene() -> None:
        api = filled(chance, 40)
        backups = [(1, {resource: {} for resource in RESOURCES}), api.keep()]
        async with copying(api) as copy:
            await copy.becomes_equal()
            for _ in range(4):
                for _ in range(chance.randrange(1, 5)):
                    for _ in range(chance.randrange(1, 8)):
                        change(api, chance)
                    await copy.pass_time(chance.choice([0.2, 1, 5, 40]))
                    if chance.random() < 0.5:
                        backups.append(api.keep())
                await restore(copy, chance, chance.choice(backups))
                await copy.pass_time(WITHIN)
                assert copy.equal()
                backups = [kept for kept in backups if kept[0] <= api.revision] or [api.keep()]
                await copy.pass_time(20)
                assert copy.equal()

    on_a_clock(scene)


async def restore(copy: Any, chance: Any, kept: Any) -> None:
    """With the API server away for a while or not, and with changes that do not hide it."""
    api = copy.api
    away = chance.random() < 0.5
    if not away:  # who was away for long is asked each eight seconds only
        await copy.becomes_equal()  # what is on its way is of the past that is going to be none
        fault = chance.choice([faults.resets, faults.closes, faults.answers(500), faults.answers(429)])
        api.faults["check", chance.choice(RESOURCES)].append(fault)
    else:
        await api.leave()
        await copy.pass_time(chance.choice([1, 20, 600]))
    ahead = [
        int(informer.version)
        for informer in copy.informers
        if informer.version and int(informer.version) > kept[0]
    ]
    await api.restore(kept)
    for _ in range(chance.randrange(4)):
        if not ahead or api.revision + 1 < min(ahead):
            change(api, chance)
    if away:
        await api.come()
