"""Chromium with the bastion as its HTTPS proxy, to which it speaks HTTP/2."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Error, sync_playwright

from tests.demo.conftest import FLAGS, chromium
from tests.e2e.harness import ALICE, PORT, Bastion, Place
from tests.e2e.wire import Visit, backend
from tests.tunnel.test_connect import proxy  # noqa: F401


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    flags = [flag for flag in FLAGS.split() if flag != "--no-proxy-server"]
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium(), args=flags)
        yield running
        running.close()


async def page(visit: Visit) -> None:
    message = await visit.message()
    await visit.answer(f"<p>{message.start}</p>".encode(), "Content-Type: text/html")


@pytest.fixture
def served(pod: Place) -> Iterator[str]:
    """The authority of a backend, which is served beside Playwright's own loop."""
    ready, over = threading.Event(), threading.Event()

    async def serve() -> None:
        async with backend(pod.address, page):
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    ready.wait()
    yield f"{pod.name}.default.pod:{PORT}"
    over.set()
    thread.join()


def test_a_page_of_a_pod(proxy: Bastion, browser: Browser, served: str) -> None:  # noqa: F811
    way = {"server": proxy.url, "username": "x", "password": ALICE}
    with browser.new_context(proxy=way) as context:  # type: ignore[arg-type]
        opened = context.new_page()
        opened.goto(f"http://{served}/x?y")
        assert opened.locator("p").inner_text() == "GET /x?y HTTP/1.1"
        answer = opened.goto("http://example.com/")
        assert answer is not None and answer.status == 400 and "names no target" in answer.text()
    [line] = [line for line in proxy.lines() if line.get("path", "").startswith("/x")][-1:]
    assert line["protocol"] == "HTTP/2" and line["user"] == "alice"


def test_no_page_without_credentials(proxy: Bastion, browser: Browser, served: str) -> None:  # noqa: F811
    with browser.new_context(proxy={"server": proxy.url}) as context:
        opened = context.new_page()
        try:
            answer = opened.goto(f"http://{served}/x")
        except Error:
            return
        assert answer is not None and answer.status == 407
