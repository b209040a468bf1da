"""Is an answer found once, remembered for as long as it says, and an error never?"""

import asyncio

import pytest

from bastion.runtime.cache import SWEEP_EVERY, Cache
from tests.fakes import SOMEBODY, ClockLoop, pass_time, run, settle


class Lookup:
    """Answers `key!`, or raises; waits for its gate where it has one."""

    def __init__(self, gate=None):
        self.calls = 0
        self.gate = gate
        self.failing = None

    def __call__(self, key="k"):
        async def look_up(shared):
            self.calls += 1
            if self.gate is not None:
                await self.gate.wait()
            if self.failing is not None:
                raise self.failing
            return f"{key}!"

        return look_up


def on_the_clock(main):
    return run(main(), ClockLoop)


def test_an_answer_is_looked_up_once():
    async def main():
        cache, look_up = Cache(lambda value: 10), Lookup()
        assert cache.get("k") is None
        assert [await cache.find("k", look_up(), SOMEBODY) for _ in range(3)] == ["k!"] * 3
        assert cache.get("k") == "k!"
        assert look_up.calls == 1
        assert await cache.find("other", look_up("other"), SOMEBODY) == "other!"
        assert look_up.calls == 2

    on_the_clock(main)


def test_an_answer_lives_for_as_long_as_its_value_says():
    async def main():
        cache = Cache(lambda value: {"short!": 5, "long!": 50, "never!": 0, "negative!": -1}[value])
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


def test_using_an_answer_does_not_lengthen_its_life():
    async def main():
        cache, look_up = Cache(lambda value: 10), Lookup()
        for _ in range(4):
            await cache.find("k", look_up(), SOMEBODY)
            await pass_time(3)
        assert look_up.calls == 1
        await cache.find("k", look_up(), SOMEBODY)
        assert look_up.calls == 2

    on_the_clock(main)


@pytest.mark.parametrize("value", ["", 0, False, (), []], ids=repr)
def test_a_value_that_is_empty_is_a_value(value):
    async def main():
        calls = []

        async def look_up(shared):
            calls.append(1)
            return value

        cache = Cache(lambda value: 10)
        assert [await cache.find("k", look_up, SOMEBODY) for _ in range(2)] == [value] * 2
        assert len(calls) == 1

    on_the_clock(main)


def test_an_error_is_raised_and_not_remembered():
    async def main():
        cache, look_up = Cache(lambda value: 10), Lookup()
        look_up.failing = ValueError("no")
        for _ in range(2):
            with pytest.raises(ValueError, match="no"):
                await cache.find("k", look_up(), SOMEBODY)
        look_up.failing = None
        assert await cache.find("k", look_up(), SOMEBODY) == "k!"
        assert look_up.calls == 3

    on_the_clock(main)


def test_an_error_leaves_what_others_have():
    async def main():
        cache, look_up = Cache(lambda value: 10), Lookup()
        await cache.find("good", look_up(), SOMEBODY)
        look_up.failing = ValueError()
        with pytest.raises(ValueError):
            await cache.find("bad", look_up(), SOMEBODY)
        assert cache.get("good") == "k!"

    on_the_clock(main)


# --- single flight


def test_however_many_ask_one_looks_up():
    async def main():
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 0), Lookup(gate)
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(100)]
        other = asyncio.ensure_future(cache.find("o", look_up("o"), SOMEBODY))
        await settle()
        gate.set()
        assert await asyncio.gather(*waiting) == ["k!"] * 100
        assert await other == "o!"
        assert look_up.calls == 2

    run(main())


def test_an_error_is_everybodys_who_waited():
    async def main():
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 10), Lookup(gate)
        look_up.failing = ValueError()
        waiting = [asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY)) for _ in range(5)]
        await settle()
        gate.set()
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(result) for result in results] == [ValueError] * 5
        assert look_up.calls == 1

    run(main())


@pytest.mark.parametrize("leaving", [0, 1, 2], ids=["first", "second", "last"])
def test_whoever_leaves_takes_nobodys_answer_along(leaving):
    async def main():
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 10), Lookup(gate)
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


def test_when_all_have_left_the_answer_is_still_remembered():
    async def main():
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 10), Lookup(gate)
        asking = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        await settle()
        asking.cancel()
        gate.set()
        await settle()
        assert cache.get("k") == "k!"

    run(main())


def test_an_error_after_all_have_left_troubles_nobody():
    troubles = []

    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: troubles.append(context))
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 10), Lookup(gate)
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


def test_a_lookup_is_bounded():
    async def main():
        cache, look_up = Cache(lambda value: 10, timeout=5), Lookup(asyncio.Event())
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


def test_who_asks_while_an_answer_is_on_its_way_waits_for_that_one():
    async def main():
        gate = asyncio.Event()
        cache, look_up = Cache(lambda value: 10), Lookup(gate)
        first = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        await settle()
        gate.set()
        second = asyncio.ensure_future(cache.find("k", look_up(), SOMEBODY))
        assert await second == await first == "k!"
        assert look_up.calls == 1

    run(main())


# --- its size


# CA-020
def test_it_never_holds_more_than_its_size_and_the_oldest_goes_first():
    async def main():
        cache = Cache(lambda value: 10, size=3)
        for key in "abcd":
            await cache.find(key, Lookup()(key), SOMEBODY)
            assert len(cache) <= 3
        assert [key for key in "abcd" if cache.get(key)] == ["b", "c", "d"]

    on_the_clock(main)


def test_what_has_lapsed_goes_before_what_has_not():
    async def main():
        cache = Cache(lambda value: 5 if value == "short!" else 50, size=3)
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


def test_what_has_lapsed_is_swept_although_nobody_asks_for_it():
    async def main():
        cache = Cache(lambda value: 5)
        for key in range(SWEEP_EVERY - 1):
            await cache.find(key, Lookup()(key), SOMEBODY)
        assert len(cache) == SWEEP_EVERY - 1
        await pass_time(6)
        await cache.find("new", Lookup()("new"), SOMEBODY)
        assert len(cache) == 1

    on_the_clock(main)


def test_clearing_forgets_everything():
    async def main():
        cache = Cache(lambda value: 10)
        await cache.find("k", Lookup()(), SOMEBODY)
        cache.clear()
        assert cache.get("k") is None
        assert len(cache) == 0

    on_the_clock(main)
