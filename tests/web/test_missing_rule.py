"""The rule that a page says was missing, applied as it stands, is enough."""

from __future__ import annotations

import asyncio
import html
import re
from pathlib import Path

from tests.fakes import run
from tests.probe.world import Answer, World, service, world
from tests.web.test_who_sees import HTML

WITHIN = 60.0  # seconds: ten that a refusal is remembered, and what a busy machine takes
CODE = re.compile(r"<code>(apiVersion: rbac.*?)</code>", re.DOTALL)


async def opened(bastion: World, path: str, user: str) -> Answer:
    return await bastion.get(path, user, accept=HTML, sec_fetch_mode="navigate", sec_fetch_dest="document")


def rule(page: str) -> str:
    (found,) = CODE.findall(page)
    return html.unescape(found)


def apply(folder: Path, text: str) -> None:
    file = folder / "cluster.yaml"
    beside = file.with_suffix(".new")
    beside.write_text(f"{file.read_text()}\n---\n{text}\n")
    beside.replace(file)


async def until_status(bastion: World, path: str, user: str, word: str) -> None:
    async with asyncio.timeout(WITHIN):
        while word not in (await opened(bastion, path, user)).text:
            await asyncio.sleep(0.3)


def test_who_may_open_nothing_is_given_what_makes_a_list(tmp_path: Path) -> None:
    async def main() -> None:
        async with world(tmp_path, [service("front"), service("vault", "secret")]) as bastion:
            page = (await opened(bastion, "/", "none")).text
            assert "Nothing yet, for none" in page
            assert "The cluster is well, and it knows you" in page
            apply(tmp_path, rule(page).replace("NAMESPACE", "shop"))
            await until_status(bastion, "/", "none", "shop/front")
            assert "vault" not in (await opened(bastion, "/", "none")).text

    run(main())
