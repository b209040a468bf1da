"""Is an answer found once, remembered for as long as it says, and an error never?"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from bastion.runtime.cache import SWEEP_EVERY, Cache
from tests.fakes import SOMEBODY, ClockLoop, pass_time, run, settle


class Lookup:
    """Answers `key!`, or raises; waits for its gate where it has one."""

    def __init__(self, gate: Any = None) -> None:
        self.calls = 0
        self.gate = gate
        self.failing: Exception | None = None

    def __call__(self, key: Any = "k") -> Any:
        async def look_up(shared: Any) -> str:
            self.calls += 1
            if self.gate is not None:
                await self.gate.wait()
            if self.failing is not None:
                raise self.failing
            return f"{key}!"

        return look_up


def on_the_clock(main: Any) -> Any:
    return run(main(), ClockLoop)


def test_an_answer_is_looked_up_once() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup()
        assert cache.get("k") is None
        assert [await cache.find("k", look_up(), SOMEBODY) for _ in range(3)] == ["k!"] * 3
        assert cache.get("k") == "k!"
        assert look_up.calls == 1
        assert await cache.find("other", look_up("other"), SOMEBODY) == "other!"
        assert look_up.calls == 2

    on_the_clock(main)


def test_an_answer_lives_for_as_long_as_its_value_says() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(
            lambda value: {"short!": 5, "long!": 50, "never!": 0, "negative!": -1}[value]
        )
        keys = ("short", "long", "never", "negative")
        for key in keys:
            assert await cache.find(key, Lookup()(key), SOMEBODY) == f"{key}!"
        assert len(cache) == 2
        kept = []
        for _ in range(3):
            kept.append({key for key in keys if cache.get(key)})
            await pass_time(4)
        assert kept == [{"short", "long"}, {"short", "long"}, {"long"}]

    on_the_clock(main)


def test_using_an_answer_does_not_lengthen_its_life() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup()
        for _ in range(4):
            await cache.find("k", look_up(), SOMEBODY)
            await pass_time(3)
        assert look_up.calls == 1
        await cache.find("k", look_up(), SOMEBODY)
        assert look_up.calls == 2

    on_the_clock(main)


@pytest.mark.parametrize("value", ["", 0, False, (), []], ids=repr)
def test_a_value_that_is_empty_is_a_value(value: Any) -> None:
    async def main() -> None:
        calls = []

        async def look_up(shared: Any) -> Any:
            calls.append(1)
            return value

        cache: Cache[Any] = Cache(lambda value: 10)
        assert [await cache.find("k", look_up, SOMEBODY) for _ in range(2)] == [value] * 2
        assert len(calls) == 1

    on_the_clock(main)


def test_an_error_is_raised_and_not_remembered() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup()
        look_up.failing = ValueError("no")
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await cache.find("k", look_up(), SOMEBODY)
        look_up.failing = None
        assert await cache.find("k", look_up(), SOMEBODY) == "k!"
        assert look_up.calls == 3

    on_the_clock(main)


def test_an_error_leaves_what_others_have() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup()
        await cache.find("good", look_up(), SOMEBODY)
        look_up.failing = ValueError()
        with pytest.raises(ValueError):
            await cache.find("bad", look_up(), SOMEBODY)
        assert cache.get("good") == "k!"

    on_the_clock(main)


# --- single flight


def test_however_many_ask_one_looks_up() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 0)
        look_up = Lookup(gate)
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(100)]
        other = asyncio.ensure_future(cache.find("o", look_up("o"), SOMEBODY))
        await settle()
        gate.set()
        assert await asyncio.gather(*waiting) == ["k!"] * 100
        assert await other == "o!"
        assert look_up.calls == 2

    run(main())


def test_an_error_is_everybodys_who_waited() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup(gate)
        look_up.failing = ValueError()
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(5)]
        await settle()
        gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 5
        assert look_up.calls == 1

    run(main())


@pytest.mark.parametrize("leaving", [0, 1, 2], ids=["first", "second", "last"])
def test_whoever_leaves_takes_nobodys_answer_along(leaving: Any) -> None:
    async def main() -> None:
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup(gate)
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(3)]
        await settle()
        waiting[leaving].cancel()
        await settle()
        gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in results] == [
            i == leaving for i in range(3)
        ]
        assert look_up.calls == 1

    run(main())


def test_when_all_have_left_the_answer_is_still_remembered() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup(gate)
        asking = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        await settle()
        asking.cancel()
        gate.set()
        await settle()
        assert cache.get("k") == "k!"

    run(main())


def test_an_error_after_all_have_left_troubles_nobody() -> None:
    troubles = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup(gate)
        look_up.failing = ValueError()
        asking = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        await settle()
        asking.cancel()
        gate.set()
        await settle()
        look_up.failing = None
        assert await cache.find("k", look_up(), SOMEBODY) == "k!"

    run(main())
    assert troubles == []


def test_a_lookup_is_bounded() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10, timeout=5)
        look_up = Lookup(asyncio.Event())
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(2)]
        await pass_time(4)
        assert not waiting[0].done()
        await pass_time(2)
        for asking in waiting:
            with pytest.raises(TimeoutError):
                await asking
        look_up.gate = None
        assert await cache.find("k", look_up(), SOMEBODY) == "k!"
        assert look_up.calls == 2

    on_the_clock(main)


def test_who_asks_while_an_answer_is_on_its_way_waits_for_that_one() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        cache: Cache[Any] = Cache(lambda value: 10)
        look_up = Lookup(gate)
        first = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        await settle()
        gate.set()
        second = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        assert await second == await first == "k!"
        assert look_up.calls == 1

    run(main())


# --- its size


def test_it_never_holds_more_than_its_size_and_the_oldest_goes_first() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10, size=3)
        for key in "abcd":
            await cache.find(key, Lookup()(key), SOMEBODY)
            assert len(cache) <= 3
        assert [key for key in "abcd" if cache.get(key)] == ["b", "c", "d"]

    on_the_clock(main)


def test_what_has_lapsed_goes_before_what_has_not() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 5 if value == "short!" else 50, size=3)
        for key in ("long", "short", "other"):
            await cache.find(key, Lookup()(key), SOMEBODY)
        await pass_time(6)
        await cache.find("new", Lookup()("new"), SOMEBODY)
        assert [bool(cache.get(key)) for key in ("long", "short", "other", "new")] == [
            True,
            False,
            True,
            True,
        ]

    on_the_clock(main)


def test_what_has_lapsed_is_swept_although_nobody_asks_for_it() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 5)
        for key in range(SWEEP_EVERY - 1):
            await cache.find(key, Lookup()(key), SOMEBODY)
        assert len(cache) == SWEEP_EVERY - 1
        await pass_time(6)
        await cache.find("new", Lookup()("new"), SOMEBODY)
        assert len(cache) == 1

    on_the_clock(main)


def test_clearing_forgets_everything() -> None:
    async def main() -> None:
        cache: Cache[Any] = Cache(lambda value: 10)
        await cache.find("k", Lookup()(), SOMEBODY)
        cache.clear()
        assert cache.get("k") is None
        assert len(cache) == 0

    on_the_clock(main)
