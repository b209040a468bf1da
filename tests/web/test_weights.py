"""How heavy is a page with all that it loads?"""

from __future__ import annotations

import asyncio
import gzip
import random
import re
import sqlite3
import time
from pathlib import Path

import pytest

from bastion.probe.history import SLOT, SLOTS, History
from bastion.probe.store import Store
from tests.fakes import run
from tests.probe.world import Document, World, service, world

HTML = "text/html,*/*;q=0.8"
MOST = 60 * 1024  # bytes, compressed, of a page of at most 500 targets with its style, script and icon
ASSET = re.compile(r'(?:href|src)="(/[^"]*/assets/[^"]+)"')
TOLD = {"bastion.dev/description": "What it is for, said in a sentence of some length"}
PROBE = TOLD | {"bastion.dev/probe": "true", "bastion.dev/probe-path": "/", "bastion.dev/probe-port": "http"}


async def page(bastion: World, path: str, user: str = "all") -> tuple[str, int]:
    """Its text, and how much comes over the wire with all that it loads."""
    answer = await bastion.get(path, user, accept=HTML, sec_fetch_mode="navigate", accept_encoding="gzip, br")
    assert answer.status == 200
    packed = answer.fields.get("content-encoding") == "gzip"
    text = (gzip.decompress(answer.body) if packed else answer.body).decode()
    assets = set(ASSET.findall(text))
    assert len(assets) == 3
    loaded = [await bastion.get(one, "", accept_encoding="gzip, br") for one in assets]
    assert all(one.status == 200 for one in loaded)
    return text, len(answer.body) + sum(len(one.body) for one in loaded)


@pytest.mark.parametrize("each", [150, 100, 5])
def test_a_page_of_500_services_is_light(tmp_path: Path, each: int) -> None:
    """So many to a group: of the whole list, of one group that is shown, and of many groups."""
    many = [(f"team-{n // each}", f"web-{n}") for n in range(500)]
    there = [service(name, namespace, annotations=TOLD) for namespace, name in many]

    async def main() -> None:
        async with world(tmp_path, there) as bastion:
            for path in ("/", "/?group=team-1", "/?q=web-1", "/status"):
                text, weight = await page(bastion, path)
                assert weight < MOST, (path, weight)
                shown = {"/?group=team-1": "team-1/web-", "/?q=web-1": "team-0/web-1<"}.get(path, "")
                assert shown in text, path

    run(main())


def history(file: Path, services: list[Document], now: float) -> None:
    """Ninety days of each, with a bad time on every fifth of them."""
    chance = random.Random(5)

    async def make() -> None:
        store = Store(file)
        await store.open(History(), now)
        store.close()

    asyncio.run(make())
    with sqlite3.connect(file) as connection:
        for number, one in enumerate(services, 1):
            name = f"services/{one['metadata']['namespace']}/{one['metadata']['name']}:http/"
            connection.execute("INSERT INTO series VALUES (?, ?, 'http_2xx', '')", (number, name))
            last = int(now // SLOT)
            rows = [
                (number, last - n, 0 if n % 720 < 3 and chance.random() < 0.9 else 20, int(n % 720 < 3) * 20)
                for n in range(SLOTS)
            ]
            connection.executemany("INSERT INTO slots VALUES (?, ?, ?, ?)", rows)


def test_ninety_days_of_forty_services_are_less_than_100_kib(tmp_path: Path) -> None:
    there = [service(f"web-{n}", f"team-{n % 4}", annotations=PROBE) for n in range(40)]
    history(tmp_path / "h.db", there, time.time())

    async def main() -> None:
        flags = ("--probe-store", str(tmp_path / "h.db"), "--probe-interval", "1h")
        async with world(tmp_path, there, "", *flags) as bastion:
            text, weight = await page(bastion, "/status")
            async with asyncio.timeout(20):
                while text.count('<path class="u"') < 40:
                    await asyncio.sleep(0.2)
                    text, weight = await page(bastion, "/status")
            assert text.count('class="bars"') == 40
            assert text.count('<path class="d"') >= 40
            assert len(text.encode()) < 100 * 1024, len(text.encode())
            assert weight < MOST

    run(main())
