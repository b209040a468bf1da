"""What do listeners hear, and when does it end?"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from typing import Any

import orjson
import pytest

from bastion.web.live.events import Changing
from bastion.web.live.feed import ENDED, Feed
from bastion.web.live.rowsource import GRACE, RowSource
from bastion.web.portal.groups import Filter
from bastion.web.portal.inventory import Listed
from tests.fakes import unavailable
from tests.web.test_rows import row


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Rows:
    """The rows that a reader may open, as an inventory and a board."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.failing = False
        self.version = 1
        self.state = "up"

    async def look(self) -> None:
        pass

    def changed(self, refs: Any, since: int) -> list[Any]:
        return [(ref, "up") for ref in sorted(refs)] if since < self.version else []

    def states(self, refs: Any) -> dict[str, str]:
        return dict.fromkeys(sorted(refs), self.state)

    async def listed(self, *_: Any) -> Listed:
        if self.failing:
            raise unavailable("no answer")
        return Listed(tuple(row(name=name) for name in self.names))


def source(rows: Rows, clock: Clock) -> RowSource:
    return RowSource(None, Filter(), rows, rows, None, clock, recheck=60.0)  # type: ignore[arg-type]


def test_a_row_that_is_no_longer_its_readers_goes_and_a_new_one_waits_behind_a_button() -> None:
    async def main() -> None:
        rows, clock = Rows("a", "b"), Clock()
        listening = source(rows, clock)
        assert [one[0] for one in (await listening.changes())["rows"]] == [
            "shop/services/a",
            "shop/services/b",
        ]
        assert await listening.changes() == {}
        rows.names = ["b", "c", "d"]
        assert await listening.changes() == {}
        clock.now += 60
        found = await listening.changes()
        assert (found["gone"], found["news"]) == (["shop/services/a"], 2)

    asyncio.run(main())


def test_what_is_said_of_the_rows_as_a_whole_changes_with_them() -> None:
    async def main() -> None:
        rows, clock = Rows("a", "b"), Clock()
        listening = source(rows, clock)
        assert (await listening.changes())["stats"] == {
            "lede": "2 services, in one namespace. None needs a look.",
            "trouble": "0",
            "group:shop": "2 of 2 up",
        }
        rows.state, rows.version = "down", 2
        assert (await listening.changes())["stats"] == {
            "lede": "2 services, in one namespace. Two need a look.",
            "trouble": "2",
            "group:shop": "0 of 2 up",
        }
        rows.version = 3
        assert "stats" not in await listening.changes()

    asyncio.run(main())


def test_rows_stay_for_a_while_where_nobody_can_say_whose_they_are() -> None:
    async def main() -> None:
        rows, clock = Rows("a"), Clock()
        listening = source(rows, clock)
        await listening.changes()
        rows.failing = True
        clock.now += 60
        assert await listening.changes() == {}
        clock.now += GRACE
        with pytest.raises(Exception, match="no answer"):
            await listening.changes()

    asyncio.run(main())


def test_of_a_page_only_what_is_new_is_told() -> None:
    async def main() -> None:
        clock = Clock()
        says: Mapping[str, Any] = {"rows": [("a", "up"), ("b", "up")], "stats": {"rps": "1"}}

        async def changes(reader: Any, path: str) -> Mapping[str, Any]:
            return says

        page = Changing(None, "/", changes, clock)  # type: ignore[arg-type]
        assert (await page.changes())["all"] == ["a", "b"]
        assert await page.changes() == {}
        clock.now += 5
        assert await page.changes() == {}
        clock.now += 5
        says = {"rows": [("a", "down")], "stats": {"rps": "2"}}
        assert await page.changes() == {"rows": [("a", "down")], "stats": {"rps": "2"}, "gone": ["b"]}

    asyncio.run(main())


class Silent:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    async def changes(self) -> Mapping[str, Any]:
        if self.error is not None:
            raise self.error
        return {}


class Reader:
    """`until`: the end of the session."""

    def __init__(self, until: float) -> None:
        self.until = until


@pytest.mark.parametrize(
    ("until", "error", "why"),
    [(999.0, None, ENDED), (0.0, unavailable("no answer"), "")],
    ids=["the session has ended", "nobody answers"],
)
def test_the_page_is_told_why_it_ends(until: float, error: Exception | None, why: str) -> None:
    async def main() -> None:
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            sent.append(message["body"])

        feed = Feed(Reader(until), Silent(error), None, None, Clock())  # type: ignore[arg-type]
        assert await feed._events(send) == why

    asyncio.run(main())


def test_a_silent_page_hears_a_beat_so_that_it_knows_that_it_is_heard() -> None:
    async def main() -> None:
        sent: list[bytes] = []

        async def send(message: Any) -> None:
            sent.append(message["body"])

        feed = Feed(Reader(0.0), Silent(), None, None, Clock())  # type: ignore[arg-type]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(feed._events(send), 0.2)
        text = b"".join(sent).decode()
        assert text.startswith("retry: 3000")
        (data,) = re.findall(r"event: beat\ndata: (.*)\n\n", text)
        assert orjson.loads(data) == {"at": 1000.0}

    asyncio.run(main())
