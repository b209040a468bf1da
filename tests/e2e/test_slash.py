"""Where does a relative reference lead, seen from the path that the client asked for, with or without the
slash behind the prefix?
"""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin

import pytest

from tests.e2e.harness import Bastion, Place
from tests.e2e.wire import Visit, ask, backend, request


@pytest.mark.parametrize(
    ("asked", "location", "leads_to"),
    [
        ("", "next", "/next"),
        ("", "./next?x#y", "/next?x#y"),
        ("", "?done", "?done"),
        ("?x", "next", "/next"),
        ("/", "next", "/next"),
        ("/", "../next", "/next"),
        ("/a/b", "next", "/a/next"),
        ("/a/b?c/d/", "../next", "/next"),
    ],
)
def test_a_relative_redirect_stays_under_the_prefix(
    bastion: Bastion, pod: Place, asked: str, location: str, leads_to: str
) -> None:
    async def redirect(visit: Visit) -> None:
        message = await visit.message()
        assert message.target == (asked if asked.startswith("/") else f"/{asked}")
        await visit.answer(b"", f"Location: {location}", status="303 See Other")

    async def main() -> None:
        async with backend(pod.address, redirect):
            answer = await ask(bastion, request(pod.path(asked), method="POST", body=b""))
            assert answer.status == 303
            assert (
                urljoin(f"https://bastion.test{pod.path(asked)}", answer.one("Location"))
                == f"https://bastion.test{pod.path(leads_to)}"
            )

    asyncio.run(main())


def test_so_does_a_relative_link_in_a_page(bastion: Bastion, pod: Place) -> None:
    async def page(visit: Visit) -> None:
        await visit.message()
        await visit.answer(b"<a href=next>", "Content-Type: text/html")

    async def main() -> None:
        async with backend(pod.address, page):
            answer = await ask(bastion, request(pod.path(""), method="POST", body=b""))
            assert answer.body.decode() == f'<a href="{pod.path("/next")}">'

    asyncio.run(main())
