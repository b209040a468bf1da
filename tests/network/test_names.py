"""Which sockets do URLs lead to, however their names are resolved, and for how long?"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from bastion.network.names import KEPT, MOST, ApiSockets, addresses_of
from tests.fakes import run


class Names:
    """`known` may be changed; every question is counted."""

    def __init__(self, **known: Any) -> None:
        self.known = known
        self.asked: list[tuple[str, int]] = []
        self.now = 0.0

    async def resolve(self, host: str, port: int) -> Any:
        self.asked.append((host, port))
        found = self.known[host]
        if isinstance(found, Exception):
            raise found
        return found

    def sockets(self, *urls: str, **more: object) -> ApiSockets:
        return ApiSockets(urls, lambda: self.now, self.resolve, **more)  # type: ignore[arg-type]


URLS: dict[str, tuple[str, set[tuple[str, int]], int]] = {
    "an address": ("https://10.0.0.1:6443", {("10.0.0.1", 6443)}, 0),
    "no port": ("https://10.0.0.1", {("10.0.0.1", 443)}, 0),
    "plain": ("http://10.0.0.1/path", {("10.0.0.1", 80)}, 0),
    "IPv6": ("https://[fd00::1]:6443", {("fd00::1", 6443)}, 0),
    "a name": ("https://api:6443", {("10.1.0.1", 6443), ("fd00::2", 6443)}, 1),
}


@pytest.mark.parametrize(("url", "expected", "asked"), URLS.values(), ids=URLS)
def test_where_a_url_leads(url: str, expected: set[tuple[str, int]], asked: int) -> None:
    async def main() -> None:
        names = Names(api=["10.1.0.1", "fd00::2"])
        sockets = names.sockets(url)
        await sockets.look()
        assert set(sockets()) == expected
        assert len(names.asked) == asked

    run(main())


def test_a_name_that_moves_leads_to_both_for_a_while() -> None:
    async def main() -> None:
        names = Names(api=["10.1.0.1"])
        sockets = names.sockets("https://api")
        await sockets.look()
        names.known["api"] = ["10.1.0.2"]
        names.now = KEPT
        await sockets.look()
        assert set(sockets()) == {("10.1.0.1", 443), ("10.1.0.2", 443)}
        names.now = KEPT + 1
        await sockets.look()
        assert set(sockets()) == {("10.1.0.2", 443)}

    run(main())


@pytest.mark.parametrize(
    "error", [OSError(-2, "Name or service not known"), TimeoutError(), UnicodeError("label too long")]
)
def test_a_name_that_cannot_be_resolved_is_told_once_and_changes_nothing(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        names = Names(api=["10.1.0.1"])
        sockets = names.sockets("https://api", "https://10.0.0.1")
        await sockets.look()
        names.known["api"] = error
        with caplog.at_level(logging.WARNING):
            await sockets.look()
            await sockets.look()
        assert set(sockets()) == {("10.1.0.1", 443), ("10.0.0.1", 443)}
        assert ["cannot resolve api" in message for message in caplog.messages] == [True]

    run(main())


def test_a_name_with_very_many_addresses_is_bounded() -> None:
    async def main() -> None:
        sockets = Names(api=[f"10.{i >> 8}.{i & 255}.1" for i in range(MOST + 100)]).sockets("https://api")
        await sockets.look()
        assert len(sockets()) == MOST

    run(main())


def test_somebody_else_is_looked_at_as_often_and_cannot_keep_names_waiting() -> None:
    async def main() -> None:
        looks = []

        async def more() -> None:
            looks.append(1)
            raise TimeoutError

        sockets = Names(api=["10.1.0.1"]).sockets("https://api", more=more)
        await sockets.look()
        assert looks
        assert set(sockets()) == {("10.1.0.1", 443)}

    run(main())


def test_the_systems_names_are_resolved() -> None:
    async def main() -> None:
        assert set(await addresses_of("localhost", 443)) & {"127.0.0.1", "::1"}
        with pytest.raises(OSError):
            await asyncio.wait_for(addresses_of("no such name", 443), 5)

    run(main())
